import { RecentMap } from '../base/index.ts';
import type { PeerId } from '../overlay/index.ts';

/** Another host is asked where an answer has not come within so many times of what its host takes. */
const patience = 3;
/** Hosts that take less than this are equally good, and then those that take less than twice as much, and so on: which of them is asked is for placement to say. */
const evenMs = 4;
/** A host that is not asked because it was slow gets another chance after so long, by one question. */
const forgetMs = 10_000;
/** Slower news count at once for half, better ones little by little: one quick answer is no promise. */
const rise = 1 / 2;
const fall = 1 / 8;
const maxPeers = 1024;

interface Seen {
  ms: number;
  at: number;
  /** It is asked, whatever is known of it: what it takes this time replaces that. */
  trying: boolean;
}

/** How long a host is waited for before another one is asked, in ms. */
export interface Waits {
  readonly minMs: number;
  readonly maxMs: number;
  /** Where nothing is known of any host. */
  readonly firstMs: number;
}

/** How long hosts lately took to answer this one's questions of one kind: whom to ask first, and when to ask another as well. */
export class AnswerTimes {
  readonly #waits: Waits;
  readonly #seen = new RecentMap<PeerId, Seen>(maxPeers);
  readonly #now: () => number;

  constructor(waits: Waits, now: () => number = () => performance.now()) {
    this.#waits = waits;
    this.#now = now;
  }

  /** The host answered after so long. */
  took(peer: PeerId, ms: number): void {
    const seen = this.#seen.get(peer);
    const known = seen === undefined || seen.trying ? ms : seen.ms + (ms - seen.ms) * (ms > seen.ms ? rise : fall);
    this.#seen.set(peer, { ms: known, at: this.#now(), trying: false });
  }

  /** After so long it had not, or the answer was of no use. */
  failed(peer: PeerId, ms: number): void {
    const known = this.#seen.get(peer)?.ms ?? 0;
    this.#seen.set(peer, { ms: Math.max(known, ms), at: this.#now(), trying: false });
  }

  /** The hosts, the quick ones first, otherwise as they are. One of which nothing is known, or no longer, counts as quick: it is to be asked. */
  ordered(peers: readonly PeerId[]): readonly PeerId[] {
    if (peers.length < 2) return peers;
    const classes = peers.map((peer) => ({ peer, slow: this.#class(peer) }));
    // As a rule: to sort them costs more than all else here.
    if (classes.every(({ slow }) => slow === 0)) return peers;
    return classes.toSorted((a, b) => a.slow - b.slow).map(({ peer }) => peer);
  }

  /** How long to wait for a host before another one is asked, in ms. Of a host on trial no more is expected than of the best. */
  waitMs(peer: PeerId, peers: readonly PeerId[]): number {
    const own = this.#seen.get(peer);
    let best = Infinity;
    for (const other of peers) best = Math.min(best, this.#known(other) ?? Infinity);
    const expected = own === undefined || own.trying ? best : own.ms;
    const { minMs, maxMs, firstMs } = this.#waits;
    return expected === Infinity ? firstMs : Math.min(Math.max(expected * patience, minMs), maxMs);
  }

  #known(peer: PeerId): number | undefined {
    const seen = this.#seen.get(peer);
    return seen === undefined || seen.trying ? undefined : seen.ms;
  }

  #class(peer: PeerId): number {
    const seen = this.#seen.get(peer);
    if (seen === undefined) return 0;
    const slow = Math.max(0, Math.ceil(Math.log2(seen.ms / evenMs)));
    if (slow === 0 || this.#now() - seen.at < forgetMs) return slow;
    // This one alone tries: the others go on as before until it knows.
    this.#seen.set(peer, { ms: seen.ms, at: this.#now(), trying: true });
    return 0;
  }
}
