import { cutExtent, type Extent } from './records.ts';

/**
 * Recent changes of a map: extents and holes that lie over the tree, sorted, without overlaps. Adjacent ones that go on in the same
 * block, and adjacent holes, are one.
 */
export class RecentExtents {
  readonly #list: Extent[];

  /** @param list sorted and without overlaps; taken over. */
  constructor(list: Extent[] = []) {
    this.#list = list;
  }

  get list(): readonly Extent[] {
    return this.#list;
  }

  /** Index of the first that ends after `offset`. */
  find(offset: number): number {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (endOf(this.#list[middle]!) <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Puts one over whatever it covers. */
  put(extent: Extent): void {
    const list = this.#list;
    const end = endOf(extent);
    const first = this.find(extent.offset);
    let after = first;
    while (after < list.length && list[after]!.offset < end) after++;
    const pieces: Extent[] = [];
    const head = list[first];
    if (head !== undefined && head.offset < extent.offset) pieces.push(cutExtent(head, head.offset, extent.offset));
    pieces.push(extent);
    const tail = list[after - 1];
    if (after > first && tail !== undefined && endOf(tail) > end) pieces.push(cutExtent(tail, end, endOf(tail)));
    list.splice(first, after - first, ...pieces);
    this.#join(list.indexOf(extent, first));
  }

  #join(index: number): void {
    const list = this.#list;
    for (const at of [index + 1, index]) {
      const [a, b] = [list[at - 1], list[at]];
      if (a === undefined || b === undefined || endOf(a) !== b.offset || a.block !== b.block) continue;
      if (a.block === 0 || a.at + a.length === b.at) list.splice(at - 1, 2, { ...a, length: a.length + b.length });
    }
  }

  /** Removes holes: where nothing lies below, they say nothing. */
  dropHoles(): void {
    const kept = this.#list.filter((extent) => extent.block !== 0);
    if (kept.length < this.#list.length) this.#list.splice(0, this.#list.length, ...kept);
  }

  /** Forgets the first `count`: they are in the tree now. */
  removeFirst(count: number): void {
    this.#list.splice(0, count);
  }
}

/** Where an extent ends; Infinity for a hole without end. */
export function endOf(extent: Extent): number {
  return extent.offset + extent.length;
}
