import type { Clock } from '../../base/index.ts';
import { isGrant, type Passport } from '../identity/index.ts';
import type { PeerId } from '../transport.ts';

/** Uses of tokens that are remembered. Of the token with most of them the oldest goes first. */
const maxUses = 4096;
/**
 * Of them those of tokens that have ended. They are of no interest where this host's clock is right; where it is far ahead all tokens seem to have ended, and whoever
 * is expelled here would come back with a token that is good everywhere else. The first to end goes first, by which no clock is asked.
 */
const maxEnded = 256;

/**
 * Which hosts used which tokens: also where the host was expelled, its passport ended, or it has another one now. What
 * shows it is the passport that the host made with the token, so another member's word is not needed for it.
 */
export class TokenUses {
  readonly #clock: Clock;
  readonly #byToken = new Map<string, Users>();
  #size = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True where the use is news, and is remembered. */
  note(passport: Passport): boolean {
    const { invitation, peer } = passport;
    // What a grant was made with is thrown away at once.
    if (invitation === undefined || isGrant(passport)) return false;
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
  }

  #makeRoom(): void {
    const now = this.#clock.wallMs();
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
