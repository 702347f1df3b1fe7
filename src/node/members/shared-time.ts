/**
 * The time, in ms, by several hosts' wall clocks: the one in the middle, so that of three or more one which is far off makes no difference. What is no time is left out.
 * @param ofTwo Which counts where two are in the middle: the earlier for what must not come too early, the later for what must not seem to be long ago.
 */
export function sharedTime(clocksMs: readonly number[], ofTwo: 'earlier' | 'later' = 'earlier'): number {
  const sorted = clocksMs.filter(Number.isFinite).toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - (ofTwo === 'earlier' ? 1 : 0)) / 2)] ?? -Infinity;
}
