import type { Clock } from '../../base/index.ts';

/** Of requests that may have been made before, those that the mount's kernel has not had an answer to by then have failed, in ms. */
const settledMs = 180_000;

/** A number for the next process of the mount, which outlives this one. */
export interface CallNote {
  /** 0: there is none. */
  callMemory: number;
  /** No process before had requests of this mount. */
  readonly isFresh: boolean;
}

/**
 * The memory of calls that the volume had (see `CallTable`) when whatever the kernel has no answer to was first made: for the next process of the mount, which the kernel asks for that again. It is noted only where that is
 * one memory for all of it.
 */
export class CallMemory {
  /** As the process before noted it; 0: it is not known. */
  readonly left: number;
  readonly #note: CallNote | undefined;
  readonly #clock: Clock;
  #noted: number;
  /** By then the kernel waits for nothing any more that was made in another memory, or in none. */
  #settledAtMs: number;

  constructor(clock: Clock, note: CallNote | undefined) {
    this.#clock = clock;
    this.#note = note;
    this.left = this.#noted = note?.callMemory ?? 0;
    this.#settledAtMs = note?.isFresh === true ? -Infinity : clock.monotonicMs() + settledMs;
  }

  /** The host that serves the volume says so; what is made from now on is made in this one. */
  learn(memory: number): void {
    if (memory === this.#noted) return;
    if (this.#noted !== 0) this.spoil();
    else if (this.#clock.monotonicMs() >= this.#settledAtMs) this.#set(memory);
  }

  /** Something is made of which no memory may know. */
  spoil(): void {
    this.#settledAtMs = this.#clock.monotonicMs() + settledMs;
    this.#set(0);
  }

  #set(memory: number): void {
    this.#noted = memory;
    if (this.#note !== undefined) this.#note.callMemory = memory;
  }
}
