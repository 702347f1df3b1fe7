/**
 * The time, in ms, by several hosts' wall clocks: the latest that at least half of them have reached, so that one which is far ahead (of three or more: or behind)
 * makes no difference. What is no time is left out.
 */
export function sharedTime(clocksMs: readonly number[]): number {
  const sorted = clocksMs.filter(Number.isFinite).toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? -Infinity;
}
