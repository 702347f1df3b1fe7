/**
 * Fingerprints of 53 bits and a set of them. Two of a million states share one with a chance of 6e-5; then one of both would not be looked at.
 */

/** Gathers whole numbers of 32 bits, in an order that matters, or others' results, in one that does not. */
export class Fingerprint {
  #high = 0xdeadbeef | 0;
  #low = 0x41c6ce57;

  reset(): void {
    this.#high = 0xdeadbeef | 0;
    this.#low = 0x41c6ce57;
  }

  add(number: number): void {
    this.#high = Math.imul(this.#high ^ number, 2654435761);
    this.#high ^= this.#high >>> 15;
    this.#low = Math.imul(this.#low ^ number, 1597334677);
    this.#low ^= this.#low >>> 13;
  }

  /** The same in whatever order several are added. */
  addUnordered(other: Fingerprint): void {
    other.#spread();
    this.#high = (this.#high + other.#high) | 0;
    this.#low = (this.#low + other.#low) | 0;
  }

  /** Not 0. */
  value(): number {
    this.#spread();
    return 4294967296 * (2097151 & this.#low) + (this.#high >>> 0) || 1;
  }

  #spread(): void {
    const [high, low] = [this.#high, this.#low];
    this.#high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
    this.#low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(this.#high ^ (this.#high >>> 13), 3266489909);
  }
}

/** Fingerprints, at most half of the places taken: an array and nothing else, for there are millions. */
export class FingerprintSet {
  #places = new Float64Array(1 << 16);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** False where it was there already. */
  add(fingerprint: number): boolean {
    if (!insert(this.#places, fingerprint)) return false;
    if (++this.#size * 2 > this.#places.length) this.#grow();
    return true;
  }

  #grow(): void {
    const larger = new Float64Array(this.#places.length * 2);
    for (const fingerprint of this.#places) if (fingerprint !== 0) insert(larger, fingerprint);
    this.#places = larger;
  }
}

function insert(places: Float64Array, fingerprint: number): boolean {
  const mask = places.length - 1;
  for (let at = fingerprint & mask; ; at = (at + 1) & mask) {
    const found = places[at]!;
    if (found === fingerprint) return false;
    if (found !== 0) continue;
    places[at] = fingerprint;
    return true;
  }
}
