import { type Accepted, compareBallots, productionRules } from '../../src/consensus/index.ts';
import type { Host } from './host.ts';
import type { World } from './world.ts';

/** The highest record of a block that any host which is up has, of those that count. */
export function newestRecord(world: World, block: string, counts: (host: Host) => boolean = () => true): Accepted | null {
  let newest: Accepted | null = null;
  for (const host of world.left) {
    const accepted = host.up && counts(host) ? host.acceptedOf(block) : null;
    if (accepted !== null && !accepted.pointer && (newest === null || compareBallots(accepted.ballot, newest.ballot) > 0)) newest = accepted;
  }
  return newest;
}

/** Whether a majority of the set is among the hosts for which `counts` holds. */
export function hasMajority(world: World, set: readonly string[], counts: (host: Host) => boolean): boolean {
  return set.filter((peer) => counts(world.hosts[world.indexOf(peer)]!)).length >= productionRules.majority(set.length);
}

/**
 * Whether bits may rot in a host's copy: what is damaged counts as away until it is replaced, and no more than a minority may be. Where only one host's disk
 * is bad that is so in any set of three. Elsewhere it is looked at what there is.
 */
export function bearsRot(world: World, at: Host, block: string): boolean {
  const others = world.hosts.filter((host) => host !== at);
  if (others.some((host) => host.isDamaged(block))) return false;
  if (!others.some((host) => host.rotted)) return true;
  if (world.isReplacing(block) || world.hosts.some((host) => !host.up || host.evicted)) return false;
  const record = newestRecord(world, block)?.record;
  return record === undefined || productionRules.setsOf(record).every((set) => set.length >= 3 && hasMajority(world, set, (host) => host !== at));
}
