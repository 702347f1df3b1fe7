import { type HostsSeen, noMajority } from '../../api/index.ts';
import type { Membership, RosterView } from '../../membership/index.ts';
import type { MemberView, Overlay } from '../../overlay/index.ts';

type Seen = Pick<MemberView, 'name' | 'peer' | 'self' | 'capacity' | 'state' | 'liveness'>;

/** Names in one sentence; the rest is counted. */
const maxNames = 8;

/** A host that drains offers room until it is gone; once the newest view gives it none, no new block goes there. */
export function asPlaced<T extends Pick<Seen, 'peer' | 'capacity' | 'state'>>(members: readonly T[], newest: RosterView | undefined): readonly T[] {
  if (newest === undefined) return members;
  return members.map((member) =>
    member.state === 'draining' && (newest.roster.get(member.peer)?.capacity ?? 0) === 0 ? { ...member, capacity: 0 } : member,
  );
}

/** The members as this host knows them, by {@link asPlaced}. */
export function placedMembers(overlay: Pick<Overlay, 'members'>, membership: Pick<Membership, 'isKnown' | 'inForce'>): readonly MemberView[] {
  return asPlaced(overlay.members(), membership.isKnown ? membership.inForce().at(-1) : undefined);
}

/** Members that are missed where they are silent. */
function missable(members: readonly Seen[], countedOut: readonly string[]): readonly Seen[] {
  return members.filter(({ peer, state }) => state !== 'left' && !countedOut.includes(peer));
}

/** The hosts that store, as this host's health counts them. A moment's silence is no loss. */
export function hostsSeen(members: readonly Seen[], countedOut: readonly string[], wanted: number): HostsSeen {
  const storing = missable(members, countedOut).filter(({ capacity }) => capacity > 0);
  const count = (how: Seen['liveness']): number => storing.filter(({ liveness }) => liveness === how).length;
  return { wanted, storing: storing.length, up: count('alive'), lost: count('down') };
}

/**
 * Why blocks are out of reach, for whoever called and knows nothing of blocks; undefined: not for want of hosts.
 * A call failed already, so the silence of a moment counts.
 */
export function whoIsMissing(members: readonly Seen[], countedOut: readonly string[], wanted: number): string | undefined {
  const { storing, up } = hostsSeen(members, countedOut, wanted);
  if (noMajority({ wanted, storing, lost: storing - up }) === undefined) return undefined;
  const all = missable(members, countedOut);
  const silent = all.filter(({ liveness }) => liveness !== 'alive').map(({ name }) => name);
  const names = silent.length > maxNames ? [...silent.slice(0, maxNames), '…'] : silent;
  return `${silent.length} of ${all.length} hosts ${silent.length === 1 ? 'does' : 'do'} not answer (${names.join(', ')}); see \`infinit status\``;
}
