import type { FileTime } from '../file-system.ts';

/** `now`, or the moment right after `before` where the clock has not come so far: it was set back, or is another host's. */
export function laterThan(before: FileTime, now: FileTime): FileTime {
  if (now.seconds > before.seconds || (now.seconds === before.seconds && now.nanoseconds > before.nanoseconds)) return now;
  return nextTime(before);
}

/** A nanosecond later. */
export function nextTime({ seconds, nanoseconds }: FileTime): FileTime {
  return nanoseconds === 999_999_999 ? { seconds: seconds + 1, nanoseconds: 0 } : { seconds, nanoseconds: nanoseconds + 1 };
}

export function isSameTime(one: FileTime, other: FileTime | undefined): boolean {
  return one.seconds === other?.seconds && one.nanoseconds === other.nanoseconds;
}
