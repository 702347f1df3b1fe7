/** What an answer of the operating system's memory never takes, in ms, and a disk always does... */
const slowMs = 1;
/** ...and so many in a row, or nearly, mean a slow disk rather than a busy processor: then the thread pool is asked for a while. */
const maxSlow = 4;
const slowPeriodMs = 1000;
/** So many fast ones make up for a slow one. */
const fastPerSlow = 16;
/** What reads may take of one turn of the event loop, in ms: many that come together must not hold up everything else either. */
const maxMsPerTurn = 2;

/**
 * Whether small reads may run on the event loop. From the operating system's memory they take a few microseconds there, a tenth of the way through
 * the thread pool; where they have to wait for a disk they must not hold up everything else.
 */
export class Pace {
  #slowUntil = 0;
  #slowness = 0;
  /** What this turn's reads took. */
  #turnMs = 0;
  #turning = false;

  /** Reads at once; undefined where it is to be done through the thread pool. */
  run<T>(read: () => T): { readonly result: T } | undefined {
    const start = performance.now();
    if (start < this.#slowUntil || this.#turnMs >= maxMsPerTurn) return undefined;
    const result = read();
    const end = performance.now();
    this.#count(end - start);
    if (end - start <= slowMs) this.#slowness = Math.max(0, this.#slowness - 1 / fastPerSlow);
    else if (++this.#slowness >= maxSlow) {
      this.#slowUntil = end + slowPeriodMs;
      this.#slowness = 0;
    }
    return { result };
  }

  #count(ms: number): void {
    this.#turnMs += ms;
    if (this.#turning) return;
    this.#turning = true;
    setImmediate(() => {
      this.#turning = false;
      this.#turnMs = 0;
    });
  }
}
