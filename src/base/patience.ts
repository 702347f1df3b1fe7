import type { Clock } from './clock.ts';

/**
 * How long a program's operation on a volume waits for what is out of reach, a majority or the volume's holder, before it fails, in ms. Long, as with a hard mount of NFS: a database
 * that sees EIO stops, and nothing is lost by waiting. Bounded, so that nothing hangs for ever; who is killed meanwhile waits no longer. Below FUSE's own deadline.
 */
export const programPatienceMs = 60_000;
/** The same where it has been out of reach for longer than that already: a program makes many calls, and each would wait so long. */
export const waningPatienceMs = 10_000;

/** How long what begins now may wait for one party, by how long that has been out of reach. */
export class Patience {
  readonly #clock: Clock;
  readonly #wholeEveryMs: number;
  /** Since when it is out of reach, when that was seen last, and when something that began last was given all the time there is. */
  #out: { readonly since: number; seen: number; whole: number } | undefined;

  /** @param wholeEveryMs so often something is given all the time there is though the minute has passed: where a call is cut off at its deadline, one that is slow only might never end. */
  constructor(clock: Clock, wholeEveryMs = Infinity) {
    this.#clock = clock;
    this.#wholeEveryMs = wholeEveryMs;
  }

  /** It is in reach. */
  heard(): void {
    this.#out = undefined;
  }

  /** It was out of reach from then on until now, by the clock. */
  missed(since = this.#clock.monotonicMs()): void {
    this.#out ??= { since, seen: since, whole: since };
    this.#out.seen = this.#clock.monotonicMs();
  }

  /** What may wait that begins now, in ms. */
  take(): number {
    if (this.#out === undefined) return programPatienceMs;
    const now = this.#clock.monotonicMs();
    // Nobody asked for so long: what it is now is another matter.
    if (now - this.#out.seen > programPatienceMs) {
      this.#out = undefined;
      return programPatienceMs;
    }
    if (now - this.#out.whole >= this.#wholeEveryMs) {
      this.#out.whole = now;
      return programPatienceMs;
    }
    return Math.max(waningPatienceMs, this.#out.since + programPatienceMs - now);
  }
}
