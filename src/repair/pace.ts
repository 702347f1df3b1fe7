import { maxBusyJobs, maxIdleJobs } from './settings.ts';

/** After a client was seen it counts as busy for so long, in ms. */
const busyMs = 250;
/** Work in one piece on the event loop, in ms. */
const sliceMs = 2;
/** The longest rest after one piece of work while clients are busy, in ms. */
const maxRestMs = 100;
/** What may be spent at once after a pause, in seconds of the rate. */
const burstSeconds = 0.25;

/**
 * Keeps repair out of the clients' way: a few jobs at once and a bounded number of bytes a second; while clients are at work each lane rests as
 * long as it worked; and no long stretch on the event loop.
 */
export class Pace {
  readonly #clientCalls: () => number;
  readonly #bytesPerSecond: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #busyUntil = -Infinity;
  #sliceFrom = performance.now();
  /** When the bytes spent so far are paid for. */
  #paidAt = performance.now();
  /** Bytes moved since the start. */
  bytes = 0;

  constructor(clientCalls: () => number, bytesPerSecond: number) {
    this.#clientCalls = clientCalls;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Runs a job when there is a lane for it. */
  async run<T>(job: () => Promise<T>): Promise<T> {
    while (this.#running >= this.#lanes) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    const started = performance.now();
    try {
      return await job();
    } finally {
      if (this.#isBusy()) await rest(Math.min(performance.now() - started, maxRestMs));
      this.#running--;
      // There may be more lanes than when they began to wait.
      for (const go of this.#waiting.splice(0, this.#lanes - this.#running)) go();
    }
  }

  /**
   * Runs a job for each item, as many at once as there are lanes.
   * @param inLane Jobs that one lane runs together: for small ones that mostly wait for others.
   */
  async each<T>(items: readonly T[], job: (item: T) => Promise<void>, inLane = 1): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < items.length) {
        const some = items.slice(next, (next += inLane));
        await this.run(() => Promise.all(some.map(job)));
      }
    };
    await Promise.all(Array.from({ length: Math.min(maxIdleJobs, Math.ceil(items.length / inLane)) }, lane));
  }

  /** Waits until the bytes fit the rate. */
  async spend(bytes: number): Promise<void> {
    this.bytes += bytes;
    const now = performance.now();
    this.#paidAt = Math.max(this.#paidAt, now - burstSeconds * 1000) + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#paidAt > now) await rest(this.#paidAt - now);
  }

  /** Lets others have the event loop where this turn has lasted long enough. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#sliceFrom < sliceMs) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceFrom = performance.now();
  }

  get #lanes(): number {
    return this.#isBusy() ? maxBusyJobs : maxIdleJobs;
  }

  #isBusy(): boolean {
    const now = performance.now();
    if (this.#clientCalls() > 0) this.#busyUntil = now + busyMs;
    return now < this.#busyUntil;
  }
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
