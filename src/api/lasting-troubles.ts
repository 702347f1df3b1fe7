import type { ClusterStatus, HostStatus } from './status.ts';

/** Clocks that differ by less are nobody's trouble, in ms. */
const maxClockDifferenceMs = 5 * 60_000;

/** Of what was once said of hosts what is still so: a clock that was far off when its host connected may have been set right since. @param nowMs This host's wall clock. */
export function lastingTroubles(
  troubles: ClusterStatus['troubles'],
  hosts: readonly Pick<HostStatus, 'peer' | 'time'>[],
  nowMs: number,
): ClusterStatus['troubles'] {
  const times = new Map(hosts.map(({ peer, time }) => [peer, Date.parse(time)]));
  return troubles.filter(({ kind, about }) => {
    const time = kind === 'clock' ? times.get(about) : undefined;
    return time === undefined || !(Math.abs(time - nowMs) < maxClockDifferenceMs);
  });
}
