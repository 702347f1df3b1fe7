import { maxBusyInLane, maxBusyJobs, maxIdleJobs, maxStrainedJobs } from './settings.ts';
import { Strain } from './strain.ts';

/** After a client was seen it counts as busy for so long, in ms. */
const busyMs = 250;
/** Work in one piece on the event loop, in ms. */
const sliceMs = 2;
/** The longest rest after one piece of work while clients are busy, in ms; where the host is strained as many times that as it is strained. */
const maxRestMs = 100;
/** Strained by more than this a host has fewer jobs under way, and rests though it has no clients of its own: it may serve those of others. */
const strainedFrom = 2;
/** A job among several in a lane that takes longer waits for a host that does not answer; the lane goes on without it, in ms... */
const lateMs = 250;
/** ...while fewer than so many are waited for. */
const maxLate = 256;
/** What may be spent at once after a pause, in seconds of the rate. */
const burstSeconds = 0.25;

/**
 * Keeps repair out of the clients' way: a few jobs at once and a bounded number of bytes a second; while clients are at work each lane rests as
 * long as it worked, and longer the more this host or the one that is sent to is strained; and no long stretch on the event loop.
 */
export class Pace {
  readonly strain: Strain;
  readonly #hasClients: () => boolean;
  readonly #bytesPerSecond: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #busyUntil = -Infinity;
  #sliceFrom = performance.now();
  /** When the bytes spent so far are paid for. */
  #paidAt = performance.now();
  /** Bytes moved since the start. */
  bytes = 0;

  constructor(hasClients: () => boolean, bytesPerSecond: number, strain = new Strain()) {
    this.#hasClients = hasClients;
    this.#bytesPerSecond = bytesPerSecond;
    this.strain = strain;
  }

  /** Runs a job when there is a lane for it. */
  async run<T>(job: () => Promise<T>): Promise<T> {
    while (this.#running >= this.#lanes) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    const started = performance.now();
    this.strain.began();
    try {
      return await job();
    } finally {
      this.strain.ended();
      const { factor } = this.strain;
      const share = this.#isBusy() ? factor : factor - strainedFrom;
      if (share > 0) await rest(Math.min(performance.now() - started, maxRestMs) * share);
      this.#running--;
      // There may be more lanes than when they began to wait.
      for (const go of this.#waiting.splice(0, this.#lanes - this.#running)) go();
    }
  }

  /**
   * Runs a job for each item, as many at once as there are lanes.
   * @param inLane Jobs that one lane runs together at the most: for small ones that mostly wait for others. It does not wait long for the last of them. While clients are
   *   at work they are fewer: what comes in one burst, on this host and on those that are asked, holds theirs up for as long.
   */
  async each<T>(items: readonly T[], job: (item: T) => Promise<void>, inLane = 1): Promise<void> {
    let next = 0;
    const late = new Set<Promise<void>>();
    const lane = async (): Promise<void> => {
      while (next < items.length) {
        await this.run<unknown>(() => {
          const some = items.slice(next, (next += this.#isBusy() ? Math.min(inLane, maxBusyInLane) : inLane));
          return inLane > 1 ? together(some.map(job), late) : Promise.all(some.map(job));
        });
      }
    };
    await Promise.all(Array.from({ length: Math.min(maxIdleJobs, Math.ceil(items.length / inLane)) }, lane));
    await Promise.all(late);
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
    const isStrained = this.strain.factor > strainedFrom;
    if (this.#isBusy()) return isStrained ? maxStrainedJobs : maxBusyJobs;
    return isStrained ? maxBusyJobs : maxIdleJobs;
  }

  #isBusy(): boolean {
    const now = performance.now();
    if (this.#hasClients()) this.#busyUntil = now + busyMs;
    return now < this.#busyUntil;
  }
}

/** Waits for the jobs; for the last of them not longer than their lane should, then they are in `late` until they end. */
async function together(jobs: readonly Promise<void>[], late: Set<Promise<void>>): Promise<void> {
  const open = new Set(jobs);
  for (const job of jobs) job.finally(() => open.delete(job)).catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<void>((resolve) => (timer = setTimeout(resolve, lateMs)));
  await Promise.race([Promise.all(jobs), tooLong]).finally(() => clearTimeout(timer));
  for (const job of open) {
    late.add(job);
    // Whoever runs the lanes hears of its failure: what has failed stays until then.
    job.then(
      () => late.delete(job),
      () => {},
    );
  }
  while (late.size > maxLate) await Promise.race(late);
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
