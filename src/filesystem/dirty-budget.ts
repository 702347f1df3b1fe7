/** Bytes of content held back in memory unless told otherwise. */
export const defaultMaxDirtyBytes = 64 * 1024 * 1024;

/** Counts the bytes that are not durable yet and lets writers wait while there are too many. */
export class DirtyBudget {
  readonly limit: number;
  /** Called when half of the budget is used: time to write out. */
  onHalf: (() => void) | undefined;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  constructor(limit: number = defaultMaxDirtyBytes) {
    this.limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: number): void {
    const before = this.#bytes;
    this.#bytes += bytes;
    if (before <= this.limit / 2 && this.#bytes > this.limit / 2) this.onHalf?.();
    if (this.#bytes <= this.limit && this.#waiting.length > 0) this.release();
  }

  /** Undefined while there is room; otherwise a promise for the moment when there is again, or when nothing can be written out at present. */
  wait(): Promise<void> | undefined {
    if (this.#bytes <= this.limit) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets everybody go on. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
