import type { HostStatus } from '../api/index.ts';
import { humanBytes } from './output.ts';

/** How far a host is that gives its blocks away. */
export interface DrainProgress {
  readonly text: string;
  /** From 0 to 1, where that is known. */
  readonly done?: number;
}

/**
 * Until the others have everything the host keeps all it has, and more as programs write; what it keeps tells only afterwards how far it is, when it lets go of that.
 * @param hosts All that answer.
 * @param mostBytes The most that it was seen to keep.
 */
export function drainProgress(
  host: Pick<HostStatus, 'name' | 'disk' | 'roster'>,
  hosts: readonly Pick<HostStatus, 'repair'>[],
  mostBytes: number,
): DrainProgress {
  const { name, disk, roster } = host;
  if (roster.standing === 'member') {
    const moving = hosts.flatMap(({ repair }) => (repair?.phase === 'moving' && repair.total > 0 ? [repair] : []));
    const slowest = moving.toSorted((a, b) => a.done / a.total - b.done / b.total)[0];
    if (slowest === undefined) return { text: `${name}: its blocks go to the other hosts` };
    return { text: `${name}: its blocks go to the other hosts, ${slowest.done} of ${slowest.total} looked at`, done: slowest.done / slowest.total };
  }
  const text = `${name}: ${disk.blocks} blocks, ${humanBytes(disk.liveBytes)} left`;
  return mostBytes === 0 ? { text } : { text, done: 1 - disk.liveBytes / mostBytes };
}
