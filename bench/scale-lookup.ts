/**
 * A model of Kademlia's look-up (Maymounkov & Mazières 2002) over the same roster and keys that placement uses. Tables of a million
 * hosts would not fit, so a bucket is drawn when it is first read, from the host and the bucket alone: it holds up to k
 * random hosts of the subtree that the bucket stands for, as the protocol would have left there.
 */
import type { Roster } from '../src/placement/index.ts';
import { seeded } from '../test/suites/seeded.ts';

/** Kademlia's k (size of a bucket and of an answer) and α (requests in flight). */
export const bucketSize = 20;
export const parallelism = 3;

/** Bits of a key that the model looks at: what a number holds. */
const keyBits = 52;

export interface Lookup {
  /** Requests one after another on the way to the first that knew the nearest host. */
  readonly hops: number;
  /** Requests in all, until the nearest 20 had all answered. */
  readonly requests: number;
  /** Indexes of the 20 nearest that were found. */
  readonly found: readonly number[];
}

interface Contact {
  readonly index: number;
  readonly distance: number;
  /** Requests in a row that led to it. */
  readonly depth: number;
}

export class KademliaModel {
  readonly #roster: Roster;
  /** The first 52 bits of each member's key as one number, so that distances are numbers too. */
  readonly #keys: Float64Array;
  readonly #seed: number;

  constructor(roster: Roster, seed: number) {
    this.#roster = roster;
    this.#seed = seed;
    this.#keys = Float64Array.from({ length: roster.size }, (_, index) => roster.keyHigh[index]! * 2 ** 20 + (roster.keyLow[index]! >>> 12));
  }

  /** Looks a key (its first two words) up from one host. */
  lookUp(from: number, high: number, low: number): Lookup {
    const known = new Map<number, Contact>();
    const learn = (index: number, depth: number): void => {
      if (!known.has(index)) known.set(index, { index, distance: this.#distance(index, high, low), depth });
    };
    const asked = new Set([from]);
    learn(from, 0);
    for (const index of this.#closest(from, high, low)) learn(index, 0);
    for (;;) {
      const nearest = [...known.values()].sort((a, b) => a.distance - b.distance).slice(0, bucketSize);
      const round = nearest.filter(({ index }) => !asked.has(index)).slice(0, parallelism);
      if (round.length === 0) return { hops: nearest[0]!.depth, requests: asked.size - 1, found: nearest.map(({ index }) => index) };
      for (const { index, depth } of round) {
        asked.add(index);
        for (const learnt of this.#closest(index, high, low)) learn(learnt, depth + 1);
      }
    }
  }

  /**
   * The up to 20 hosts of a host's table that are nearest to a key: the bucket on the key's side, then the host's own subtree,
   * then buckets ever farther away.
   */
  #closest(host: number, high: number, low: number): number[] {
    const shared = sharedBits((this.#roster.keyHigh[host]! ^ high) >>> 0, (this.#roster.keyLow[host]! ^ low) >>> 0);
    const closest = this.#bucket(host, shared);
    if (closest.length < bucketSize) {
      const own: number[] = [];
      for (let bit = shared + 1; bit < keyBits && !this.#isAlone(host, bit); bit++) own.push(...this.#bucket(host, bit));
      closest.push(...own.sort((a, b) => this.#distance(a, high, low) - this.#distance(b, high, low)));
    }
    for (let bit = shared - 1; bit >= 0 && closest.length < bucketSize; bit--) closest.push(...this.#bucket(host, bit));
    return closest.slice(0, bucketSize);
  }

  #distance(index: number, high: number, low: number): number {
    return ((this.#roster.keyHigh[index]! ^ high) >>> 0) * 2 ** 20 + (((this.#roster.keyLow[index]! ^ low) >>> 0) >>> 12);
  }

  /** True where no other host shares `bit` bits with this one. */
  #isAlone(host: number, bit: number): boolean {
    const size = 2 ** (keyBits - bit);
    const from = Math.floor(this.#keys[host]! / size) * size;
    return this.#firstFrom(from + size) - this.#firstFrom(from) === 1;
  }

  /** The range of members that share `bit` bits with the host and differ in the next. */
  #sibling(host: number, bit: number): readonly [from: number, to: number] {
    const size = 2 ** (keyBits - 1 - bit);
    const mine = Math.floor(this.#keys[host]! / size);
    const other = mine % 2 === 0 ? mine + 1 : mine - 1;
    return [this.#firstFrom(other * size), this.#firstFrom((other + 1) * size)];
  }

  /** The first member whose key is at least this. */
  #firstFrom(key: number): number {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #bucket(host: number, bit: number): number[] {
    const [from, to] = this.#sibling(host, bit);
    const count = to - from;
    if (count <= bucketSize) return Array.from({ length: count }, (_, index) => from + index);
    const random = seeded((host * 64 + bit) ^ this.#seed);
    const chosen = new Set<number>();
    while (chosen.size < bucketSize) chosen.add(from + Math.floor(random() * count));
    return [...chosen];
  }
}

function sharedBits(high: number, low: number): number {
  return high === 0 ? 32 + Math.clz32(low) : Math.clz32(high);
}
