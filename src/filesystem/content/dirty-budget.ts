/** Bytes of content held back in memory unless told otherwise. */
export const defaultMaxDirtyBytes = 64 * 1024 * 1024;

/** Counts the bytes that are not durable yet and lets writers wait while there are too many; and, for the volume's size, what no commit has counted yet. */
export class DirtyBudget {
  readonly limit: number;
  /** Called when half of the budget is used: time to write out. */
  onHalf: (() => void) | undefined;
  /**
   * Content taken in that the volume's usage does not count yet: unlike {@link bytes}, blocks that are in the store already, until the commit that refers
   * to them.
   */
  uncommitted = 0;
  /** Of {@link uncommitted}, what cannot be committed at present. */
  #late = 0;
  /** Times that something was cut out of a file: what that frees shows once it is written out. */
  cuts = 0;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  constructor(limit: number = defaultMaxDirtyBytes) {
    this.limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What counts against the limit: files that cannot be written out have as much again for themselves, so that others need not wait for them. */
  get pressing(): number {
    return this.#bytes - Math.min(this.#late, this.limit);
  }

  get late(): number {
    return this.#late;
  }

  set late(bytes: number) {
    this.#late = bytes;
    if (this.pressing <= this.limit && this.#waiting.length > 0) this.release();
  }

  add(bytes: number): void {
    const before = this.pressing;
    this.#bytes += bytes;
    if (before <= this.limit / 2 && this.pressing > this.limit / 2) this.onHalf?.();
    if (this.pressing <= this.limit && this.#waiting.length > 0) this.release();
  }

  /** Undefined while there is room; otherwise a promise for the moment when there is again, or when nothing can be written out at present. */
  wait(): Promise<void> | undefined {
    if (this.pressing <= this.limit) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Lets everybody go on. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
