import { copiesOf, hostsCalled, type HostStatus, storingHosts } from '../api/index.ts';
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

/**
 * What a host that leaves costs where the others are fewer than the copies that are wanted: it is done all the same, and somebody who means to replace it had better do that first.
 * @param own The status of the host that was asked, from before.
 */
export function fewerCopies(name: string, own: Pick<HostStatus, 'hosts' | 'replicas'>): string | undefined {
  const { wanted } = own.replicas;
  // One that drains already offers nothing, and is not counted.
  const left = storingHosts(own) - (hostsCalled(name, own.hosts).some(({ capacity }) => capacity > 0) ? 1 : 0);
  if (left < 1 || left >= wanted) return undefined;
  const { spare } = copiesOf(wanted, left);
  const bearable = spare === 0 ? 'none of them may be lost then' : `${spare} of them may be lost then`;
  return `without ${name} ${left === 1 ? '1 host stores' : `${left} hosts store`} blocks, and ${wanted} copies are wanted: ${bearable}. To replace it, let another host join first: \`infinit node drain --cancel ${name}\` takes this back`;
}
