import type { Address } from '../block/index.ts';
import type { PeerId } from '../overlay/index.ts';
import { place, type Roster } from '../placement/index.ts';
import type { RosterView } from './views.ts';

/** Hosts that a view had when it was retired and that were lost, so many that all who had a block may be among them. */
export interface Loss {
  /** The view's number; of several that are put together, the newest's. */
  readonly view: number;
  /** What says which blocks these are. undefined: it was too much to keep, and it may be any. */
  readonly placed: Placed | undefined;
}

interface Placed {
  readonly roster: Roster;
  readonly replicas: number;
  readonly lost: ReadonlySet<PeerId>;
}

/** What is lost with hosts, and nobody is left to know of: docs/decisions/lost-hosts.md. */
export interface Losses {
  readonly list: readonly Loss[];
  /** What was lost with hosts of views up to this one a person has accepted. */
  readonly forgiven: number;
}

/** More are put together: then any block may be among those that are lost. */
export const maxLosses = 4;

/** Addresses by which it is reckoned how many may be lost. */
const sampledAddresses = 1000;

export const noLosses: Losses = { list: [], forgiven: 0 };

function majorityOf(size: number): number {
  return Math.floor(size / 2) + 1;
}

/** Whether hosts of the view that are lost may have been all that had some block: what a majority accepted is nowhere else then. */
function mayHideBlocks({ roster, replicas, lost }: Placed): boolean {
  return lost.size >= majorityOf(Math.min(replicas, roster.size));
}

/** What is lost with a view that is retired without the hosts for which `isGone` holds. */
export function lossOf({ number, roster, replicas }: RosterView, isGone: (peer: PeerId) => boolean): Loss | undefined {
  const lost = new Set(roster.eligible.map(({ peer }) => peer).filter(isGone));
  const placed = { roster, replicas, lost };
  return mayHideBlocks(placed) ? { view: number, placed } : undefined;
}

/** All that either knows of, but for what was accepted: the same object where the first knows it already. */
export function joinLosses(known: Losses, told: Losses): Losses {
  const forgiven = Math.max(known.forgiven, told.forgiven);
  const all = [...known.list, ...told.list.filter(({ view }) => known.list.every((loss) => loss.view !== view))];
  const list = inShort(all.filter(({ view }) => view > forgiven));
  const isKnown = forgiven === known.forgiven && list.length === known.list.length && list.every((loss, index) => loss === known.list[index]);
  return isKnown ? known : { list, forgiven };
}

function inShort(losses: readonly Loss[]): readonly Loss[] {
  const sorted = losses.toSorted((a, b) => a.view - b.view);
  const all = sorted.findLast(({ placed }) => placed === undefined);
  const list = all === undefined ? sorted : sorted.filter((loss) => loss === all || loss.view > all.view);
  const several = list.filter((loss, index) => !list.slice(index + 1).some((later) => isSame(loss, later)));
  return several.length > maxLosses ? [withoutPlaces(several)] : several;
}

/** Views of which one has no other hosts than another, and lost the same, lost the same blocks. */
function isSame({ placed: one }: Loss, { placed: other }: Loss): boolean {
  if (one === undefined || other === undefined || one.replicas !== other.replicas || one.lost.size !== other.lost.size) return false;
  return [...one.lost].every((peer) => other.lost.has(peer)) && one.roster.id === other.roster.id;
}

function withoutPlaces(list: readonly Loss[]): Loss {
  return { view: Math.max(...list.map(({ view }) => view)), placed: undefined };
}

/** The same in a few bytes. */
export function shortened({ list, forgiven }: Losses): Losses {
  return { list: list.length === 0 ? list : [withoutPlaces(list)], forgiven };
}

/** Whether a block of which nobody has anything may have been lost with all that had it. */
export function mayBeLost({ list }: Losses, address: Address): boolean {
  return list.some(({ placed }) => {
    if (placed === undefined) return true;
    const set = place(address, placed.roster, placed.replicas);
    return set.filter((peer) => placed.lost.has(peer)).length >= majorityOf(set.length);
  });
}

/** Of how many in a hundred addresses it is so, whether there was anything or not; `address` draws one. */
export function percentLost(losses: Losses, address: (index: number) => Address): number {
  let lost = 0;
  for (let index = 0; index < sampledAddresses; index++) if (mayBeLost(losses, address(index))) lost++;
  return Math.round((100 * lost) / sampledAddresses);
}

/** What becomes of losses once a person says that these hosts are lost, with what they had; or the hosts that he has to name beside them. */
export function forgive({ list, forgiven }: Losses, named: readonly PeerId[]): Losses | readonly PeerId[] {
  const unnamed = new Set<PeerId>();
  for (const { placed } of list) {
    if (placed === undefined) continue;
    const others = new Set([...placed.lost].filter((peer) => !named.includes(peer)));
    if (mayHideBlocks({ ...placed, lost: others })) for (const peer of others) unnamed.add(peer);
  }
  return unnamed.size > 0 ? [...unnamed] : { list: [], forgiven: Math.max(forgiven, ...list.map(({ view }) => view)) };
}

/** For people. */
export function saysLosses({ list }: Losses): string {
  const hosts = new Set(list.flatMap(({ placed }) => [...(placed?.lost ?? [])]));
  const who = hosts.size === 0 ? 'hosts' : `${hosts.size} hosts`;
  const named = hosts.size === 0 ? '' : ` --lost ${[...hosts].sort().join(' ')}`;
  return `${who} were lost together, and blocks may be lost with all that had them: what is not found is said to be lost until a person accepts it (look with infinit volume check first, then infinit salvage --give-up --force${named})`;
}
