import { headBytes } from './redo-head.ts';
import type { RedoRing } from './redo-ring.ts';
import type { SurvivingMemory } from './surviving-memory.ts';

/** An empty log keeps its memory for so long, in ms. */
const keepMs = 5000;

/** The memory of a redo log: taken as it is used, and given back where the log stays empty. */
export class RedoMemory {
  readonly #memory: SurvivingMemory;
  readonly #space: RedoRing;
  readonly #isEmpty: () => boolean;
  /** There is some to be given back. */
  #holds = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(memory: SurvivingMemory, space: RedoRing, isEmpty: () => boolean) {
    this.#memory = memory;
    this.#space = space;
    this.#isEmpty = isEmpty;
  }

  /** A process before took some. */
  adopted(): void {
    this.#holds = true;
  }

  /** From now on these places of the ring may be touched; false: there is no memory for it. */
  provide(from: number, to: number): boolean {
    if (!this.#memory.provide(headBytes + from, headBytes + to)) return false;
    this.#holds = true;
    return true;
  }

  /** Nothing is in the log. */
  empty(): void {
    if (!this.#holds || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.giveBack();
    }, keepMs);
    this.#timer.unref();
  }

  /** What {@link empty} began does not come. */
  keep(): void {
    clearTimeout(this.#timer);
  }

  /** Piece by piece, as long as it stays empty: all at once would hold up the thread for 15 ms and more. */
  giveBack(): void {
    if (!this.#isEmpty()) return;
    const from = this.#space.giveUp();
    this.#holds = from !== undefined;
    if (from === undefined) return;
    this.#memory.release(headBytes + from);
    setImmediate(() => this.giveBack()).unref();
  }
}
