import type { BlockCounts } from './counts.ts';
import type { ScrubStatus } from './scrubber.ts';

/**
 * `waiting`: this host has done its part in moving blocks, others have not; `open`: something could not be looked at or mended, and is tried again; `idle`: all is
 * as it should be, as far as is known.
 */
export type RepairPhase = 'idle' | 'moving' | 'waiting' | 'checking' | 'open';

/** How far repair is: what `infinit status` shows of it. */
export interface RepairStatus {
  readonly phase: RepairPhase;
  /** Blocks walked over and blocks in all, of the walk under way. */
  readonly done: number;
  readonly total: number;
  /** Bytes of blocks that repair moves in a second. */
  readonly bytesPerSecond: number;
  /** Seconds until the walk under way ends, if it goes on as it did; absent where there is none. */
  readonly etaSeconds?: number;
  /** What the last check of everything found, how long ago, and whether it left something open; absent before the first. */
  readonly lastCheck?: { readonly ageSeconds: number; readonly counts: BlockCounts; readonly open: boolean };
  /** Copies that were missing or older somewhere and were brought up, since the start. */
  readonly repaired: number;
  readonly scrub: ScrubStatus;
}

/** Measures one walk after another. */
export class Progress {
  readonly #bytes: () => number;
  #phase: RepairPhase = 'idle';
  #done = 0;
  #total = 0;
  #since = performance.now();
  #bytesBefore = 0;
  #lastCheck: { readonly at: number; readonly counts: BlockCounts; readonly open: boolean } | undefined;
  repaired = 0;

  /** @param bytes Bytes moved since the start. */
  constructor(bytes: () => number) {
    this.#bytes = bytes;
  }

  begin(phase: RepairPhase, total: number): void {
    [this.#phase, this.#done, this.#total] = [phase, 0, total];
    [this.#since, this.#bytesBefore] = [performance.now(), this.#bytes()];
  }

  advance(blocks: number): void {
    this.#done += blocks;
    this.#total = Math.max(this.#total, this.#done);
  }

  checked(counts: BlockCounts, open: boolean): void {
    this.#lastCheck = { at: performance.now(), counts, open };
  }

  status(): Omit<RepairStatus, 'scrub'> {
    const seconds = Math.max(0.001, (performance.now() - this.#since) / 1000);
    const active = this.#phase === 'moving' || this.#phase === 'checking';
    const last = this.#lastCheck;
    return {
      phase: this.#phase,
      done: this.#done,
      total: this.#total,
      bytesPerSecond: active ? Math.round((this.#bytes() - this.#bytesBefore) / seconds) : 0,
      ...(active && this.#done > 0 ? { etaSeconds: Math.ceil(((this.#total - this.#done) * seconds) / this.#done) } : {}),
      ...(last === undefined
        ? {}
        : { lastCheck: { ageSeconds: Math.floor((performance.now() - last.at) / 1000), counts: last.counts, open: last.open } }),
      repaired: this.repaired,
    };
  }
}
