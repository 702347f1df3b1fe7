import type { Segment } from '../extents/index.ts';

/** Segments that are remembered at the most, of all files: 24 MiB of a guest's memory. */
const defaultMaxSegments = 131_072;

/** Where the bytes of a part of a file lie in the store, holes without an address, in order. */
export interface StoredPart {
  readonly start: number;
  readonly end: number;
  readonly segments: readonly Segment[];
}

/** Where large files lie in the store, as far as that was asked: some parts of each file, those that were used longest ago go first. */
export class StoredParts {
  readonly #maxSegments: number;
  readonly #parts = new Map<number, Set<StoredPart>>();
  /** Least recently used first. */
  readonly #uses = new Map<StoredPart, number>();
  #segments = 0;

  constructor(maxSegments = defaultMaxSegments) {
    this.#maxSegments = maxSegments;
  }

  /** A part that covers [start, end). */
  find(inode: number, start: number, end: number): StoredPart | undefined {
    for (const part of this.#parts.get(inode) ?? []) {
      if (part.start > start || part.end < end) continue;
      this.#uses.delete(part);
      this.#uses.set(part, inode);
      return part;
    }
    return undefined;
  }

  /** Takes the place of what it overlaps. */
  add(inode: number, part: StoredPart): void {
    this.forgetIn(inode, part.start, part.end);
    const parts = this.#parts.get(inode) ?? new Set();
    this.#parts.set(inode, parts.add(part));
    this.#uses.set(part, inode);
    this.#segments += costOf(part);
    for (const [oldest, owner] of this.#uses) {
      if (this.#segments <= this.#maxSegments) break;
      this.#drop(owner, oldest);
    }
  }

  forgetIn(inode: number, start: number, end: number): void {
    for (const part of this.#parts.get(inode) ?? []) if (part.start < end && part.end > start) this.#drop(inode, part);
  }

  forget(inode: number): void {
    for (const part of this.#parts.get(inode) ?? []) this.#drop(inode, part);
  }

  clear(): void {
    this.#parts.clear();
    this.#uses.clear();
    this.#segments = 0;
  }

  #drop(inode: number, part: StoredPart): void {
    const parts = this.#parts.get(inode);
    if (parts?.delete(part) === true) this.#segments -= costOf(part);
    if (parts?.size === 0) this.#parts.delete(inode);
    this.#uses.delete(part);
  }
}

function costOf({ segments }: StoredPart): number {
  return 1 + segments.length;
}

/** The index of the first segment that has something from `start` on, of such as are in order. */
export function firstFrom(segments: readonly Segment[], start: number): number {
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const { offset, length } = segments[middle]!;
    if (offset + length <= start) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Those that have something of [start, end). */
export function segmentsIn(segments: readonly Segment[], start: number, end: number): readonly Segment[] {
  const first = firstFrom(segments, start);
  let until = first;
  while (until < segments.length && segments[until]!.offset < end) until++;
  return segments.slice(first, until);
}
