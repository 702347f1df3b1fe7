/** A small fast seeded generator (sfc32): the only source of chance in the simulation. */
export class SeededRandom {
  #a: number;
  #b: number;
  #c = 0x9e3779b9;
  #d = 1;

  /** Different streams of one seed are independent: removing a fault must not change the workload. */
  constructor(seed: number, stream = 0) {
    this.#a = seed >>> 0;
    this.#b = (Math.floor(seed / 0x1_0000_0000) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
    for (let round = 0; round < 15; round++) this.next();
  }

  /** Uniform in [0, 2^32). */
  next(): number {
    const sum = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    return this.next() / 0x1_0000_0000;
  }

  /** Uniform in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  chance(probability: number): boolean {
    return probability > 0 && this.unit() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** So many of the items, in random order. */
  sample<T>(items: readonly T[], count: number): T[] {
    const left = [...items];
    const taken: T[] = [];
    while (taken.length < count && left.length > 0) taken.push(left.splice(this.below(left.length), 1)[0]!);
    return taken;
  }
}
