/** Upper ends of the buckets, in seconds: 50 µs, and twice as much each, to 26 s. */
const firstBound = 0.000_05;
const buckets = 20;

/** The bounds of every {@link Histogram}; what is above the last has a bucket of its own. */
export const histogramBounds: readonly number[] = Array.from({ length: buckets }, (_, index) => firstBound * 2 ** index);

/** How long things took. Cheap enough for every operation: some additions, no memory. */
export class Histogram {
  /** One for each bound, and one for what is above. Not cumulative. */
  readonly counts = new Float64Array(buckets + 1);
  sumSeconds = 0;

  /** @param milliseconds As `performance.now()` differs. */
  observe(milliseconds: number): void {
    const seconds = milliseconds / 1000;
    this.sumSeconds += seconds;
    // The number of doublings, rounded up: 1 to 2^k bounds fall into bucket k.
    const steps = Math.ceil(seconds / firstBound) - 1;
    const bucket = steps <= 0 ? 0 : Math.min(buckets, 32 - Math.clz32(Math.min(steps, 0x7fff_ffff)));
    this.counts[bucket] = this.counts[bucket]! + 1;
  }

  get count(): number {
    let sum = 0;
    for (const count of this.counts) sum += count;
    return sum;
  }
}
