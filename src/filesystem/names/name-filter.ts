/** Bits of the first filter, few for the sake of many small directories; each further one has four times as many. */
const firstBits = 2 ** 9;
const growth = 4;
/** A filter with so many bits for each place gives a false alarm for one in a hundred; it is full then, and the next one begins. */
const bitsPerPlace = 10;
const probes = 6;
/** Further filters are not made: 8 MiB for 6.7 million names. */
const maxBits = 2 ** 26;

interface Filter {
  readonly words: Uint32Array;
  readonly mask: number;
  /** Places that it still takes. */
  room: number;
}

/**
 * Which places of a directory can have a name: a Bloom filter (Bloom 1970) that grows by further filters (Almeida 2007). Whoever makes a file asks
 * twice whether its name is taken; in a large directory each time would cost a leaf of the tree that is not in memory. Says "perhaps" or "surely not". Names that
 * were removed still count, so it serves only a directory that it knows from the first name on.
 */
export class NameFilter {
  readonly #filters: Filter[] = [];
  #full = false;

  /** Bytes that it takes. */
  get bytes(): number {
    return this.#filters.reduce((sum, { words }) => sum + words.byteLength, 0);
  }

  /** Whether a name may be there; false is certain. `position`: see {@link NameHash}, random bits already. */
  has(position: number): boolean {
    return this.#full || this.#filters.some((filter) => isSet(filter, position));
  }

  add(position: number): void {
    if (this.has(position)) return;
    let filter = this.#filters.at(-1);
    if (filter === undefined || filter.room === 0) {
      const bits = filter === undefined ? firstBits : (filter.mask + 1) * growth;
      if (bits > maxBits) {
        // Nothing can be excluded any more.
        this.#full = true;
        this.#filters.length = 0;
        return;
      }
      this.#filters.push((filter = { words: new Uint32Array(bits / 32), mask: bits - 1, room: Math.floor(bits / bitsPerPlace) }));
    }
    filter.room--;
    let [bit, step] = split(position);
    for (let probe = 0; probe < probes; probe++, bit = (bit + step) | 0) filter.words[(bit & filter.mask) >>> 5]! |= 1 << (bit & 31);
  }
}

function isSet({ words, mask }: Filter, position: number): boolean {
  let [bit, step] = split(position);
  for (let probe = 0; probe < probes; probe++, bit = (bit + step) | 0) if ((words[(bit & mask) >>> 5]! & (1 << (bit & 31))) === 0) return false;
  return true;
}

/** Two numbers of the place's 52 bits, for double hashing (Kirsch, Mitzenmacher 2006): an odd step meets every bit. */
function split(position: number): [bit: number, step: number] {
  return [position | 0, (Math.imul(Math.floor(position / 2 ** 32), 0x9e3779b1) >>> 3) | 1];
}
