import type { ClusterStatus, HostStatus } from '../../api/index.ts';
import { wrongClock } from '../../overlay/index.ts';

/** What was said of hosts, their clocks as they are now: one that was far off when its host connected may have been set right since, and one that was right have jumped. @param nowMs This host's wall clock. */
export function presentTroubles(
  troubles: ClusterStatus['troubles'],
  hosts: readonly Pick<HostStatus, 'peer' | 'time'>[],
  nowMs: number,
): ClusterStatus['troubles'] {
  const times = new Map(hosts.map(({ peer, time }) => [peer, Date.parse(time)] as const).filter(([, time]) => Number.isFinite(time)));
  const others = troubles.filter(({ kind, about }) => kind !== 'clock' || !times.has(about));
  return [...others, ...[...times].flatMap(([peer, time]) => wrongClock(peer, time - nowMs) ?? [])];
}
