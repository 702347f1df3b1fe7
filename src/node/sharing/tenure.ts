import type { Clock, Moment } from '../../base/index.ts';

/**
 * A stretch of time in which nobody else can have had the volume. What a worker knows of the volume is good within the tenure in which it was
 * read: so each has a place of its own that says until when it may be used, and nothing of an earlier one comes back to life.
 *
 * Two limits, the monotonic clock's and the wall's, and both must be ahead: the first stands still while the machine is suspended, and others take
 * the volume meanwhile. A wall clock that is set forward ends the tenure until the next renewal, which does no harm.
 */
export class Tenure {
  /** In shared memory: a volume's worker reads what the lease in the main thread writes. */
  readonly shared: SharedArrayBuffer;
  readonly #limits: Float64Array<SharedArrayBuffer>;

  /** @param shared Another thread's tenure; absent: a new one, over as yet. */
  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(2 * Float64Array.BYTES_PER_ELEMENT)) {
    this.shared = shared;
    this.#limits = new Float64Array(shared);
  }

  /** How long it may be used yet, in ms; not positive: no longer. */
  leftMs(clock: Clock): number {
    return Math.min(this.#limits[0]! - clock.monotonicMs(), this.#limits[1]! - clock.wallMs());
  }

  /** It may be used for so long from a moment that both clocks told. */
  extend(began: Moment, forMs: number): void {
    this.#limits[1] = began.wallMs + forMs;
    this.#limits[0] = began.monotonicMs + forMs;
  }

  /** It may not be used, unless it is extended again. */
  end(): void {
    this.#limits[0] = 0;
  }
}
