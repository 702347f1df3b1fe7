/** How evenly hosts are loaded, and what moves when hosts join: the real placement, block by block. */
import { type Address, namedAddress } from '../src/block/index.ts';
import { type Member, place, Roster } from '../src/placement/index.ts';

export const replication = 3;

export interface Balance {
  readonly hosts: number;
  readonly blocks: number;
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  /** Standard deviation over mean, as measured, */
  readonly spread: number;
  /** and what dice alone would give: 1/√mean. */
  readonly dice: number;
  /** Share of the hosts whose load is within each tenth of the mean: [0, 0.1), [0.1, 0.2) … */
  readonly histogram: readonly number[];
}

export interface Join {
  readonly hosts: number;
  readonly joined: number;
  readonly blocks: number;
  /** Copies that have to be made, over those that the newcomers' share of the capacity calls for. */
  readonly moved: number;
  readonly ideal: number;
}

/** Host number `index` of the model; each is a zone of its own unless there are `zones` of them. */
export function modelHost(index: number, zones = 0): Member {
  return { peer: `h-${index}`, zone: zones === 0 ? `z${index}` : `z${index % zones}`, capacity: 1 };
}

export function modelRoster(hosts: number): Roster {
  return Roster.of(Array.from({ length: hosts }, (_, index) => modelHost(index)));
}

export function modelBlock(index: number): Address {
  return namedAddress('scale', `${index}`);
}

/** The number of a host of the model. */
export function hostNumber(peer: string): number {
  return Number(peer.slice(2));
}

/** The replicas of blocks 0 to `blocks` − 1, `replicas` numbers each. */
export function placements(roster: Roster, blocks: number, replicas: number): Int32Array {
  const chosen = new Int32Array(blocks * replicas);
  for (let block = 0; block < blocks; block++) {
    for (const [index, peer] of place(modelBlock(block), roster, replicas).entries()) chosen[block * replicas + index] = hostNumber(peer);
  }
  return chosen;
}

export function balanceOf(chosen: Int32Array, hosts: number, blocks: number): Balance {
  const held = new Int32Array(hosts);
  for (const host of chosen) held[host]!++;
  const mean = chosen.length / hosts;
  const histogram = Array.from({ length: 31 }, () => 0);
  let [min, max, squares] = [Infinity, 0, 0];
  for (const load of held) {
    min = Math.min(min, load);
    max = Math.max(max, load);
    squares += (load - mean) ** 2;
    histogram[Math.min(30, Math.floor((10 * load) / mean))]! += 1 / hosts;
  }
  return { hosts, blocks, min, mean, max, spread: Math.sqrt(squares / hosts) / mean, dice: 1 / Math.sqrt(mean), histogram };
}

/** Adds `joined` hosts at once and compares every block's replicas with those before. */
export function joinOf(roster: Roster, before: Int32Array, joined: number, blocks: number): Join {
  const hosts = roster.size;
  const after = roster.with(...Array.from({ length: joined }, (_, index) => modelHost(hosts + index)));
  const copies = before.length / blocks;
  let moved = 0;
  for (let block = 0; block < blocks; block++) {
    const had = before.subarray(block * copies, (block + 1) * copies);
    for (const peer of place(modelBlock(block), after, copies)) if (!had.includes(hostNumber(peer))) moved++;
  }
  return { hosts, joined, blocks, moved, ideal: (before.length * joined) / (hosts + joined) };
}
