import type { Clock } from '../../base/index.ts';
import { isGrant, type Passport } from '../identity/index.ts';
import type { PeerId } from '../transport.ts';

/** Uses of tokens that are remembered. Of the token with most of them the oldest goes first. */
const maxUses = 4096;

/**
 * Which hosts used which tokens, as long as a token could still be used: also where the host was expelled, its passport ended, or it has another one now. What
 * shows it is the passport that the host made with the token, so another member's word is not needed for it.
 */
export class TokenUses {
  readonly #clock: Clock;
  readonly #byToken = new Map<string, Map<PeerId, Passport>>();
  #size = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True where the use is news, and the token has not expired. */
  note(passport: Passport): boolean {
    const { invitation, peer } = passport;
    // What a grant was made with is thrown away at once.
    if (invitation === undefined || isGrant(passport) || invitation.expiresMs <= this.#clock.wallMs()) return false;
    const users = this.#byToken.get(invitation.id) ?? new Map<PeerId, Passport>();
    // Each host has one passport of a token, as far as uses go; and no more than make it used up are of interest.
    if (users.has(peer) || users.size >= invitation.uses) return false;
    users.set(peer, passport);
    this.#byToken.set(invitation.id, users);
    if (++this.#size > maxUses) this.#makeRoom();
    return true;
  }

  usersOf(tokenId: string): PeerId[] {
    return [...(this.#byToken.get(tokenId)?.keys() ?? [])];
  }

  /** The tokens that a host used and that may be good for others. */
  tokensOf(peer: PeerId): string[] {
    return this.passports().flatMap((passport) => (passport.peer === peer ? passport.invitation!.id : []));
  }

  /** All uses of tokens that have not expired. */
  passports(): Passport[] {
    this.#forgetExpired();
    return [...this.#byToken.values()].flatMap((users) => [...users.values()]);
  }

  clear(): void {
    this.#byToken.clear();
    this.#size = 0;
  }

  #makeRoom(): void {
    this.#forgetExpired();
    if (this.#size <= maxUses) return;
    const [most] = [...this.#byToken.values()].sort((a, b) => b.size - a.size);
    most!.delete(most!.keys().next().value!);
    this.#size--;
  }

  #forgetExpired(): void {
    const now = this.#clock.wallMs();
    for (const [id, users] of this.#byToken) {
      const [first] = users.values();
      if (first !== undefined && first.invitation!.expiresMs > now) continue;
      this.#byToken.delete(id);
      this.#size -= users.size;
    }
  }
}
