/**
 * Time as a value. Nothing under the shell layers reads a clock of its own: production passes {@link systemClock},
 * the simulator passes one that it drives.
 */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin. Only differences mean something. */
  monotonicMs(): number;
  /** Wall-clock milliseconds since the epoch. For people and file times, never for safety. */
  wallMs(): number;
}

/** The machine's own clocks; unlike performance.now() the monotonic one reads the same in all threads. */
export const systemClock: Clock = {
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
  wallMs: () => Date.now(),
};

/** One moment by both clocks. */
export interface Moment {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** Now, or a little before. */
export function momentOf(clock: Clock): Moment {
  return { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() };
}
