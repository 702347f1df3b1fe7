/** What the values of a map take. */
export interface Weights<V> {
  /** At most, of all together; one that alone takes half of it is kept all the same. */
  readonly max: number;
  /** Of a value: always the same. */
  readonly of: (value: V) => number;
}

/**
 * A map that forgets what was not written or read for long: between `max` / 2 and `max` entries are kept, fewer where they weigh much. Two generations, of which the older is
 * dropped whole: to look for the oldest entry of one Map, its iterator walks over every hole that deleted ones left at its front.
 */
export class RecentMap<K, V> {
  readonly #half: number;
  readonly #weights: Weights<V> | undefined;
  #young = new Map<K, V>();
  #old = new Map<K, V>();
  /** Of the young ones. */
  #weight = 0;

  constructor(max: number, weights?: Weights<V>) {
    this.#half = Math.max(1, Math.floor(max / 2));
    this.#weights = weights;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  /** The value, which thereby counts as recent. */
  get(key: K): V | undefined {
    const young = this.#young.get(key);
    if (young !== undefined) return young;
    const old = this.#old.get(key);
    if (old === undefined) return undefined;
    this.#old.delete(key);
    this.set(key, old);
    return old;
  }

  set(key: K, value: V): void {
    this.#old.delete(key);
    this.#weight += this.#weightOf(value) - this.#weightOf(this.#young.get(key));
    this.#young.set(key, value);
    if (this.#young.size < this.#half && this.#weight < (this.#weights?.max ?? Infinity) / 2) return;
    this.#old = this.#young;
    this.#young = new Map();
    this.#weight = 0;
  }

  delete(key: K): void {
    this.#weight -= this.#weightOf(this.#young.get(key));
    this.#young.delete(key);
    this.#old.delete(key);
  }

  values(): V[] {
    return [...this.#old.values(), ...this.#young.values()];
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#weight = 0;
  }

  #weightOf(value: V | undefined): number {
    return this.#weights === undefined || value === undefined ? 0 : this.#weights.of(value);
  }
}
