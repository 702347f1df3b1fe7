import type { PeerId } from '../overlay/index.ts';
import { bearableLosses, countingHosts, hostsInForce, isCountedOut, type RosterState } from './roster-state.ts';

/** Bound of the clocks' rates against each other, as for leases (docs/consensus.md). */
const rateBound = 0.02;

const nobody: ReadonlySet<PeerId> = new Set();

/** How long it takes, by any clock within the bound, until what was confirmed before has expired everywhere. */
export function expiryMs(termMs: number): number {
  return termMs * (1 + 2 * rateBound);
}

/**
 * Which hosts confirmed to this one, less than a term ago, that they know no newer roster than it does. Without enough of them its acceptor has no say.
 *
 * When a host is counted out, nobody relies on it before all hosts that count know of that and a term has passed. So one confirmation by a host that
 * counts would be enough; at most as many hosts as a majority can bear to lose are counted out at once, and do not know it, so that many are asked for:
 * no more than a majority of any block's hosts can give each other.
 */
export class Confirmations {
  readonly #self: PeerId;
  readonly #termMs: number;
  readonly #sentAt = new Map<PeerId, number>();
  /** The latest of hosts that count, the last one first, as many as are needed. It is asked for with each report, of which each host sends some a second. */
  #latest: readonly { readonly peer: PeerId; readonly sentAt: number }[] = [];
  #agreedAt = -Infinity;
  /** The state that the rest was reckoned for, and how many hosts were expelled then: they only become more. */
  #state: RosterState | undefined;
  #revoked = 0;
  #needed = 0;
  /** This host was counted out itself. */
  #isOut = false;
  #counting: ReadonlySet<PeerId> = nobody;

  constructor(self: PeerId, termMs: number) {
    this.#self = self;
    this.#termMs = termMs * (1 - 2 * rateBound);
  }

  /** A peer answered to what was sent at this time (by the clock of leases, ms) that it knows nothing newer. */
  note(peer: PeerId, sentAtMs: number): void {
    if (this.#state !== undefined && !hostsInForce(this.#state).has(peer)) return;
    if (sentAtMs <= (this.#sentAt.get(peer) ?? -Infinity)) return;
    this.#sentAt.set(peer, sentAtMs);
    this.#rank(peer, sentAtMs);
  }

  /** What this host knew at this time (by the clock of leases, ms) turned out to be what all agreed on: the block said so. */
  noteAgreed(sentAtMs: number): void {
    this.#agreedAt = Math.max(this.#agreedAt, sentAtMs);
  }

  /**
   * Until when (by the clock of leases, ms) this host has a say by what was confirmed so far; ∞: it needs nobody.
   * @param revoked Hosts that were expelled: they confirm nothing any more, nor count anybody out.
   */
  until(state: RosterState, revoked: ReadonlySet<PeerId> = nobody): number {
    if (state !== this.#state || revoked.size !== this.#revoked) this.#reckon(state, revoked);
    if (this.#isOut) return -Infinity;
    if (this.#needed === 0) return Infinity;
    const last = this.#latest[this.#needed - 1]?.sentAt ?? -Infinity;
    return Math.max(last, this.#agreedAt) + this.#termMs;
  }

  #reckon(state: RosterState, revoked: ReadonlySet<PeerId>): void {
    this.#state = state;
    this.#revoked = revoked.size;
    this.#needed = neededBy(this.#self, state, revoked);
    this.#isOut = isCountedOut(state, this.#self);
    this.#counting = new Set(countingHosts(state));
    const members = hostsInForce(state);
    this.#latest = [];
    for (const [peer, sentAt] of this.#sentAt) {
      if (members.has(peer)) this.#rank(peer, sentAt);
      else this.#sentAt.delete(peer);
    }
  }

  /** Times of one host only go up, so whoever falls out of the latest comes back with a time of its own. */
  #rank(peer: PeerId, sentAt: number): void {
    if (peer === this.#self || !this.#counting.has(peer)) return;
    const others = this.#latest.filter((one) => one.peer !== peer);
    const after = others.findIndex((one) => one.sentAt < sentAt);
    this.#latest = others.toSpliced(after < 0 ? others.length : after, 0, { peer, sentAt }).slice(0, this.#needed);
  }
}

/**
 * How many others must have confirmed a state. Where all were expelled, after a disaster, there is nobody left who could count this host out; and
 * without a say it could not even read the roster that salvage brought back.
 */
function neededBy(self: PeerId, state: RosterState, revoked: ReadonlySet<PeerId>): number {
  const others = countingHosts(state).filter((peer) => peer !== self && !revoked.has(peer)).length;
  return Math.min(others, Math.max(...state.views.map(bearableLosses)));
}
