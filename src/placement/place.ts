import { assert } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import { addressKey, keyWord } from './key.ts';
import { nearest } from './nearest.ts';
import { hashText, lot } from './rendezvous.ts';
import type { Member, PeerId, Roster } from './roster.ts';

/** How many hosts may come to hold a block: what one Kademlia look-up finds (its k). */
export const candidateCount = 20;

/**
 * The hosts that should hold a block, best first: at most `replicas`, fewer where the roster has fewer. A larger number of
 * replicas keeps those of a smaller one. Zones differ as long as there are zones left; then each is used twice, and so on.
 */
export function place(address: Address, roster: Roster, replicas: number): PeerId[] {
  assert(Number.isInteger(replicas) && replicas >= 0, `a block has a whole number of replicas, not ${replicas}`);
  return ranked(address, roster, replicas);
}

/** All hosts that may come to hold a block, in the order in which they should: the successors of a lost replica. */
export function candidates(address: Address, roster: Roster): PeerId[] {
  return ranked(address, roster, candidateCount);
}

/**
 * The members among which an address is placed, in no particular order. Placement over these alone is placement over the whole roster:
 * a host that knows no more than an address's neighbourhood comes to the same answer.
 */
export function neighbourhood(address: Address, roster: Roster): Member[] {
  const count = neighbours(address, roster);
  return Array.from({ length: count }, (_, index) => roster.eligible[scratch.found[index]!]!);
}

/** Working memory of one call: nothing here outlives it, and a call never yields. */
const scratch = {
  found: new Int32Array(candidateCount),
  lots: new Float64Array(candidateCount),
  levels: new Int32Array(candidateCount),
};

/** Fills `scratch.found` and returns how many there are. */
function neighbours(address: Address, roster: Roster): number {
  const { size } = roster;
  if (size > candidateCount) {
    const key = addressKey(address);
    return nearest(roster, keyWord(key, 0), keyWord(key, 1), candidateCount, scratch.found);
  }
  for (let index = 0; index < size; index++) scratch.found[index] = index;
  return size;
}

function ranked(address: Address, roster: Roster, limit: number): PeerId[] {
  const count = neighbours(address, roster);
  sortByLot(address, roster, count);
  const { found, levels } = scratch;
  // The level of a host is how many better ones share its zone: whoever comes first in each zone goes before all seconds.
  let deepest = 0;
  for (let index = 0; index < count; index++) {
    const zone = roster.zones[found[index]!]!;
    let level = 0;
    for (let better = 0; better < index; better++) if (roster.zones[found[better]!] === zone) level++;
    levels[index] = level;
    if (level > deepest) deepest = level;
  }
  const chosen: PeerId[] = [];
  for (let level = 0; level <= deepest; level++) {
    for (let index = 0; index < count; index++) {
      if (chosen.length >= limit) return chosen;
      if (levels[index] === level) chosen.push(roster.eligible[found[index]!]!.peer);
    }
  }
  return chosen;
}

/** Sorts `scratch.found` by lot, then by index (which is the order of keys): insertion, as there are at most 20. */
function sortByLot(address: Address, roster: Roster, count: number): void {
  const { found, lots } = scratch;
  const hashed = hashText(address);
  for (let index = 0; index < count; index++) {
    const member = found[index]!;
    const mine = lot(hashed, roster.lotHigh[member]!, roster.lotLow[member]!) / roster.eligible[member]!.capacity;
    let at = index;
    for (; at > 0 && (lots[at - 1]! > mine || (lots[at - 1] === mine && found[at - 1]! > member)); at--) {
      lots[at] = lots[at - 1]!;
      found[at] = found[at - 1]!;
    }
    lots[at] = mine;
    found[at] = member;
  }
}
