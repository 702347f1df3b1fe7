/**
 * Parts of the room in a redo log. A flush is due, and whoever writes waits, when so much was written since the last one; as much again may come from those who write at that moment.
 * All of that can be what cannot be written out, and is carried over then, logged anew behind the rest: that, what comes beside it, and the same once more fit.
 */
const share = { filling: 1 / 16, waiting: 1 / 8, carried: 5 / 16, fillingBeside: 1 / 32, waitingBeside: 1 / 16 };
/** What a process before left can be as much as it had carried over, and what came beside that: where it cannot be written out it is all carried on. */
const leftShare = share.carried + share.waitingBeside;

/** How much there is in a redo log, and who waits for there to be less. */
export class RedoRoom {
  readonly #capacity: number;
  /** Bytes of records so far, and of those the ones that are trimmed. */
  #written = 0;
  #trimmed = 0;
  /** Of those that are left, what was carried over. */
  #carried = 0;
  #waiting: (() => void)[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get written(): number {
    return this.#written;
  }

  get used(): number {
    return this.#written - this.#trimmed;
  }

  /** Time to write out. */
  get filling(): boolean {
    return this.used > this.#most(share.filling, share.fillingBeside);
  }

  /** So much can be carried over. */
  get maxCarried(): number {
    return share.carried * this.#capacity;
  }

  add(bytes: number): void {
    this.#written += bytes;
  }

  /** What was written up to there is not in the log any more; `carried`: of what came after it. */
  trim(written: number, carried: number): void {
    this.#trimmed = written;
    this.#carried = Math.min(carried, leftShare * this.#capacity);
    if (!this.#crowded) this.release();
  }

  /** Undefined while there is room; otherwise a promise for the moment when there is again, or when nothing can be written out at present. */
  wait(): Promise<void> | undefined {
    if (!this.#crowded) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets everybody go on. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  get #crowded(): boolean {
    return this.used > this.#most(share.waiting, share.waitingBeside);
  }

  #most(part: number, beside: number): number {
    return Math.max(part * this.#capacity, this.#carried + beside * this.#capacity);
  }
}
