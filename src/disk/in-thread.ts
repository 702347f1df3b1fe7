/** Only small groups: a larger one takes the disk long enough for the way to another thread not to matter. */
const maxBytes = 64 * 1024;
/** A write that took longer was slow: until then the thread would hardly have been back from the other one. */
const slowMs = 0.5;
/** So many slow ones in a row, or nearly, mean a slow disk rather than a hiccup of a quick one... */
const maxSlow = 3;
/** ...where so many quick ones make up for a slow one. */
const quickPerSlow = 16;
/** Then the next so many times the last one's duration are for other threads: the thread stands still for a slow disk that part of the time at most. */
const pauseFactor = 20;
/** A write that comes sooner after the last one is one of several that wait for this thread: they are to gather in one group meanwhile. */
const restMs = 0.05;

/**
 * Which durable writes the calling thread makes itself. Another thread's takes two wake-ups more, which on a fast disk is as long as the write;
 * but nothing else happens in this thread meanwhile. So: small ones, while the disk is quick and nobody else waits.
 */
export class InThread {
  #notBefore = 0;
  #slowness = 0;

  allows(bytes: number, now: number): boolean {
    return bytes <= maxBytes && now >= this.#notBefore;
  }

  /** A write ended at `now`. */
  ended(inThread: boolean, durationMs: number, now: number): void {
    this.#notBefore = Math.max(this.#notBefore, now + (inThread && this.#isSlow(durationMs) ? durationMs * pauseFactor : restMs));
  }

  /** One that is slow after a pause brings the next pause at once. */
  #isSlow(durationMs: number): boolean {
    if (durationMs > slowMs) this.#slowness = Math.min(maxSlow, this.#slowness + 1);
    else this.#slowness = Math.max(0, this.#slowness - 1 / quickPerSlow);
    return durationMs > slowMs && this.#slowness >= maxSlow;
  }
}
