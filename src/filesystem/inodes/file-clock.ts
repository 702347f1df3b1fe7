import type { Clock } from '../../base/index.ts';
import type { FileTime } from '../file-system.ts';

/**
 * File times: the wall clock, refined below the millisecond by the monotonic one, so that two changes in a row get different times
 * (make, rsync and git compare them). Never ahead of the wall clock's own millisecond.
 */
export class FileClock {
  readonly #clock: Clock;
  #wallMs = -1;
  #sinceMs = 0;
  #last: FileTime = { seconds: 0, nanoseconds: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): FileTime {
    const wallMs = Math.floor(this.#clock.wallMs());
    const monotonicMs = this.#clock.monotonicMs();
    if (wallMs !== this.#wallMs) {
      this.#wallMs = wallMs;
      this.#sinceMs = monotonicMs;
    }
    const fraction = Math.min(999_999, Math.floor((monotonicMs - this.#sinceMs) * 1e6));
    const seconds = Math.floor(wallMs / 1000);
    const nanoseconds = (wallMs - seconds * 1000) * 1e6 + Math.max(0, fraction);
    if (seconds === this.#last.seconds && nanoseconds === this.#last.nanoseconds) return this.#last;
    this.#last = { seconds, nanoseconds };
    return this.#last;
  }
}
