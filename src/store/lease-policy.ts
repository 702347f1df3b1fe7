import type { Address } from '../block/index.ts';

/** Blocks on which this host holds leases at once. */
const maxHeld = 65_536;
/** Bytes of their values. */
const maxHeldBytes = 64 * 1024 * 1024;
/** Blocks whose reads are counted. */
const maxCounted = 16_384;
/** Reads of one block within {@link windowMs} that make a lease worth asking for. */
const minReads = 2;
const windowMs = 5000;
/** A lease that answered so many reads before it was recalled was worth the wait that it cost the writer. */
const minAnswered = 16;
/** After a recall the block is left alone for so long; twice as long each time the lease was not worth it, up to the maximum. */
const firstPauseMs = 50;
const maxPauseMs = 60_000;
/** A lease that was not used during so many rounds of heartbeats is given back. */
const maxUnusedRounds = 12;

interface Interest {
  reads: number;
  since: number;
  pauseMs: number;
  notBefore: number;
}

interface Held {
  readonly bytes: number;
  answered: number;
  round: number;
}

/** Which blocks are worth a lease: those read again and again here and not written elsewhere meanwhile. What is kept of them is bounded. */
export class LeasePolicy {
  readonly #interest = new Map<Address, Interest>();
  /** In the order in which they were granted. */
  readonly #held = new Map<Address, Held>();
  #heldBytes = 0;
  #round = 0;

  get held(): number {
    return this.#held.size;
  }

  holds(block: Address): boolean {
    return this.#held.has(block);
  }

  /** Counts a read that had to ask a quorum; true where a lease would have spared it. */
  isWanted(block: Address, now: number): boolean {
    let interest = this.#interest.get(block);
    if (interest === undefined) {
      interest = { reads: 0, since: now, pauseMs: firstPauseMs, notBefore: 0 };
      this.#interest.set(block, interest);
      if (this.#interest.size > maxCounted) this.#interest.delete(this.#interest.keys().next().value!);
    }
    if (now - interest.since > windowMs) {
      interest.reads = 0;
      interest.since = now;
    }
    return ++interest.reads >= minReads && now >= interest.notBefore;
  }

  used(block: Address): void {
    const held = this.#held.get(block);
    if (held === undefined) return;
    held.round = this.#round;
    held.answered++;
  }

  /** A lease was granted. Returns those that must be given back for it. */
  keep(block: Address, bytes: number): Address[] {
    const answered = this.#held.get(block)?.answered ?? 0;
    this.dropped(block);
    this.#held.set(block, { bytes, answered, round: this.#round });
    this.#heldBytes += bytes;
    const surplus: Address[] = [];
    let count = this.#held.size;
    let total = this.#heldBytes;
    for (const [oldest, held] of this.#held) {
      if ((count <= maxHeld && total <= maxHeldBytes) || oldest === block) break;
      surplus.push(oldest);
      count--;
      total -= held.bytes;
    }
    return surplus;
  }

  /** The lease is no more. */
  dropped(block: Address): void {
    const held = this.#held.get(block);
    if (held === undefined) return;
    this.#held.delete(block);
    this.#heldBytes -= held.bytes;
  }

  /** Somebody else writes the block. */
  recalled(block: Address, now: number): void {
    const interest = this.#interest.get(block);
    if (interest === undefined) return;
    const worth = (this.#held.get(block)?.answered ?? 0) >= minAnswered;
    interest.pauseMs = worth ? firstPauseMs : Math.min(interest.pauseMs * 2, maxPauseMs);
    interest.notBefore = now + interest.pauseMs;
  }

  /** Begins a round. Leases that nobody used for long: others should not have to wait for them. */
  unused(): Address[] {
    this.#round++;
    return [...this.#held].filter(([, { round }]) => this.#round - round > maxUnusedRounds).map(([block]) => block);
  }
}
