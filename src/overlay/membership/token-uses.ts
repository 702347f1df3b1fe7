import type { Clock } from '../../base/index.ts';
import { isGrant, type Passport } from '../identity/index.ts';
import type { PeerId } from '../transport.ts';

/** Uses of tokens that are remembered. Of the token with most of them the oldest goes first. */
const maxUses = 4096;
/** Of them those of tokens that have ended; the first to end goes first. */
const maxEnded = 256;

/**
 * Which hosts used which tokens: also where the host was expelled, its passport ended, or it has another one now. What
 * shows it is the passport that the host made with the token, so another member's word is not needed for it.
 *
 * That a token has ended is not for this host's clock alone to say: where it is far ahead all seem to have, and whoever is expelled here would come back with one that is
 * good everywhere else. The last host that joined knew how late it was by then, and without further hosts there is nothing to make room for.
 */
export class TokenUses {
  readonly #clock: Clock;
  readonly #self: PeerId;
  readonly #byToken = new Map<string, Users>();
  #size = 0;
  /** When another host made its passport, the last of those that are known, by its own clock. */
  #joinedMs = -Infinity;

  /** @param self This host: its own passport is of its own clock. */
  constructor(clock: Clock, self: PeerId) {
    this.#clock = clock;
    this.#self = self;
  }

  /** True where the use is news, and is remembered. */
  note(passport: Passport): boolean {
    const { invitation, peer } = passport;
    // What a grant was made with is thrown away at once.
    if (invitation === undefined || isGrant(passport)) return false;
    // No later than the token allows: when it was made is the word of whoever has the token.
    if (peer !== this.#self) this.#joinedMs = Math.max(this.#joinedMs, Math.min(passport.issuedMs, invitation.expiresMs));
    const users = this.#byToken.get(invitation.id) ?? (new Map() as Users);
    // Each host has one passport of a token, as far as uses go; and no more than make it used up are of interest.
    if (users.has(peer) || users.size >= invitation.uses) return false;
    users.set(peer, passport);
    this.#byToken.set(invitation.id, users);
    this.#size++;
    this.#makeRoom();
    return this.#byToken.get(invitation.id)?.has(peer) === true;
  }

  /** A host comes by another token, and had not used this one after all. */
  takeBack(tokenId: string, peer: PeerId): void {
    if (this.#byToken.get(tokenId)?.has(peer) === true) this.#forget(tokenId, peer);
  }

  usersOf(tokenId: string): PeerId[] {
    return [...(this.#byToken.get(tokenId)?.keys() ?? [])];
  }

  /** The tokens that a host used and that may be good for others. */
  tokensOf(peer: PeerId): string[] {
    return this.passports().flatMap((passport) => (passport.peer === peer ? passport.invitation!.id : []));
  }

  /** All uses. */
  passports(): Passport[] {
    this.#makeRoom();
    return [...this.#byToken.values()].flatMap((users) => [...users.values()]);
  }

  clear(): void {
    this.#byToken.clear();
    this.#size = 0;
    this.#joinedMs = -Infinity;
  }

  #makeRoom(): void {
    const now = Math.min(this.#clock.wallMs(), this.#joinedMs);
    const ended = [...this.#byToken].filter(([, users]) => endOf(users) <= now);
    const tooMany = ended.reduce((sum, [, users]) => sum + users.size, 0) - maxEnded;
    if (tooMany > 0) {
      ended.sort(([, a], [, b]) => endOf(a) - endOf(b));
      const uses = ended.flatMap(([id, users]) => [...users.keys()].map((peer) => ({ id, peer })));
      for (const { id, peer } of uses.slice(0, tooMany)) this.#forget(id, peer);
    }
    while (this.#size > maxUses) {
      const [[id, users]] = [...this.#byToken].sort(([, a], [, b]) => b.size - a.size) as [[string, Users]];
      this.#forget(id, users.keys().next().value!);
    }
  }

  #forget(id: string, peer: PeerId): void {
    const users = this.#byToken.get(id)!;
    users.delete(peer);
    if (users.size === 0) this.#byToken.delete(id);
    this.#size--;
  }
}

type Users = Map<PeerId, Passport>;

/** When the token of these users ends. */
function endOf(users: Users): number {
  const [first] = users.values();
  return first!.invitation!.expiresMs;
}
