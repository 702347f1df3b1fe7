/** The probability that a block loses its majority when random hosts die: computed, and simulated over real placements. */
import { placements } from './scale-balance.ts';
import type { Roster } from '../src/placement/index.ts';

export const deadHosts = 5;

export interface Loss {
  readonly hosts: number;
  readonly replicas: number;
  /** Chance of one block, computed: hypergeometric, as the dead are drawn without regard to placement. */
  readonly computed: number;
  /** The same as counted, with its standard error; undefined where it is too rare to count. */
  readonly simulated?: { readonly probability: number; readonly error: number; readonly blocks: number; readonly draws: number };
}

/** The chance that at least ⌈replicas / 2⌉ (no majority is left) of a block's hosts are among the dead. */
export function computedLoss(hosts: number, replicas: number): number {
  const needed = Math.ceil(replicas / 2);
  let sum = 0;
  for (let dead = needed; dead <= Math.min(replicas, deadHosts); dead++) {
    sum += Math.exp(logChoose(replicas, dead) + logChoose(hosts - replicas, deadHosts - dead) - logChoose(hosts, deadHosts));
  }
  return sum;
}

/** ln C(n, k) for small k. */
function logChoose(n: number, k: number): number {
  if (k < 0 || k > n) return -Infinity;
  let sum = 0;
  for (let index = 0; index < k; index++) sum += Math.log((n - index) / (index + 1));
  return sum;
}

/** Kills five random hosts `draws` times and counts the blocks without a majority. */
export function simulatedLoss(roster: Roster, replicas: number, blocks: number, draws: number, random: () => number): Loss {
  const hosts = roster.size;
  const holds = blocksOf(placements(roster, blocks, replicas), hosts, replicas);
  const needed = Math.ceil(replicas / 2);
  const deaths = new Uint8Array(blocks);
  let [lost, squares] = [0, 0];
  for (let draw = 0; draw < draws; draw++) {
    const dead = [...drawDead(hosts, random)];
    let now = 0;
    for (const host of dead) for (const block of holds(host)) if (++deaths[block]! === needed) now++;
    for (const host of dead) for (const block of holds(host)) deaths[block] = 0;
    lost += now;
    squares += now * now;
  }
  const mean = lost / draws;
  const error = Math.sqrt(Math.max(0, squares / draws - mean * mean) / draws) / blocks;
  const simulated = lost === 0 ? {} : { simulated: { probability: mean / blocks, error, blocks, draws } };
  return { hosts, replicas, computed: computedLoss(hosts, replicas), ...simulated };
}

/** Five different hosts. */
export function drawDead(hosts: number, random: () => number): Set<number> {
  const dead = new Set<number>();
  while (dead.size < deadHosts) dead.add(Math.floor(random() * hosts));
  return dead;
}

/** The blocks that a host holds: all hosts' lists in one array. */
function blocksOf(chosen: Int32Array, hosts: number, replicas: number): (host: number) => Int32Array {
  const starts = new Int32Array(hosts + 1);
  for (const host of chosen) starts[host + 1]!++;
  for (let host = 0; host < hosts; host++) starts[host + 1]! += starts[host]!;
  const lists = new Int32Array(chosen.length);
  const next = starts.slice();
  for (const [index, host] of chosen.entries()) lists[next[host]!++] = Math.floor(index / replicas);
  return (host) => lists.subarray(starts[host], starts[host + 1]);
}

/**
 * The same for three replicas and very many hosts, where a loss is so rare that only the pairs of hosts which share a block are
 * worth looking at. `anyBlock` is the chance that any of the blocks is lost.
 */
export function simulatedPairLoss(
  chosen: Int32Array,
  hosts: number,
  draws: number,
  random: () => number,
): { readonly loss: Loss; readonly anyBlock: number } {
  const replicas = 3;
  const blocks = chosen.length / replicas;
  const pairs = new Float64Array(blocks * 3);
  for (let block = 0; block < blocks; block++) {
    const [a, b, c] = chosen.subarray(block * 3, block * 3 + 3);
    pairs[block * 3] = pairCode(a!, b!, hosts);
    pairs[block * 3 + 1] = pairCode(a!, c!, hosts);
    pairs[block * 3 + 2] = pairCode(b!, c!, hosts);
  }
  pairs.sort();
  let [lost, squares, hits] = [0, 0, 0];
  for (let draw = 0; draw < draws; draw++) {
    const dead = [...drawDead(hosts, random)];
    let now = 0;
    for (const [index, one] of dead.entries()) for (const other of dead.slice(index + 1)) now += occurrences(pairs, pairCode(one, other, hosts));
    lost += now;
    squares += now * now;
    if (now > 0) hits++;
  }
  const probability = lost / draws / blocks;
  const error = Math.sqrt(squares / draws / draws) / blocks;
  return {
    loss: { hosts, replicas, computed: computedLoss(hosts, replicas), simulated: { probability, error, blocks, draws } },
    anyBlock: hits / draws,
  };
}

function pairCode(one: number, other: number, hosts: number): number {
  return Math.min(one, other) * hosts + Math.max(one, other);
}

function occurrences(sorted: Float64Array, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  let count = 0;
  while (sorted[low + count] === value) count++;
  return count;
}
