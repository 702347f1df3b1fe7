import type { Roster } from './roster.ts';

/** Bits of a key that are compared. Two of a million hosts share all 64 with a chance of 3e-8; order of keys decides then. */
const comparedBits = 64;

/**
 * Writes the indexes of the `count` members nearest to a key by XOR into `found`, and returns how many there are. (Maymounkov &
 * Mazières 2002.) The sorted keys are a binary trie: below each bit, all members on the key's own side are nearer than any
 * on the other.
 */
export function nearest(roster: Roster, high: number, low: number, count: number, found: Int32Array): number {
  let [filled, from, to, bit] = [0, 0, roster.size, 0];
  // While everything fits, order within the range does not matter; otherwise split it.
  while (filled + (to - from) > count && to - from > 1 && bit < comparedBits) {
    const middle = split(roster, from, to, bit);
    const isOne = bit < 32 ? (high >>> (31 - bit)) & 1 : (low >>> (63 - bit)) & 1;
    bit++;
    const [nearFrom, nearTo] = isOne === 1 ? [middle, to] : [from, middle];
    if (filled + (nearTo - nearFrom) >= count) {
      [from, to] = [nearFrom, nearTo];
      continue;
    }
    for (let index = nearFrom; index < nearTo; index++) found[filled++] = index;
    [from, to] = isOne === 1 ? [from, middle] : [middle, to];
  }
  for (let index = from; index < to && filled < count; index++) found[filled++] = index;
  return filled;
}

/** The first index of a range whose bit is set. */
function split(roster: Roster, from: number, to: number, bit: number): number {
  const words = bit < 32 ? roster.keyHigh : roster.keyLow;
  const mask = (0x80000000 >>> (bit & 31)) >>> 0;
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((words[middle]! & mask) === 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
