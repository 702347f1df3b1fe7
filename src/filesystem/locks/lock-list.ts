import type { FileLock } from '../file-system.ts';

/** Locks in a chunk at the most: one that grows beyond it becomes two. */
const maxChunk = 256;

interface Chunk {
  readonly locks: FileLock[];
  /** The last byte that any of them has. */
  end: number;
}

/**
 * Locks of one kind, which may overlap, in the order of their first bytes. What is in the way of a range is found by looking at the chunks that reach it: of locks that do not overlap (no two
 * writers' do) these are two or three, however many there are.
 */
export class LockList {
  readonly #chunks: Chunk[] = [];

  add(lock: FileLock): void {
    const at = this.#chunkOf(lock);
    const chunk = this.#chunks[at];
    if (chunk === undefined) {
      this.#chunks.push({ locks: [lock], end: lock.end });
      return;
    }
    chunk.locks.splice(placeIn(chunk.locks, lock), 0, lock);
    chunk.end = Math.max(chunk.end, lock.end);
    if (chunk.locks.length <= maxChunk) return;
    const locks = chunk.locks.splice(maxChunk / 2);
    chunk.end = endOf(chunk.locks);
    this.#chunks.splice(at + 1, 0, { locks, end: endOf(locks) });
  }

  /** One that is there. */
  delete(lock: FileLock): void {
    const at = this.#chunkOf(lock);
    const chunk = this.#chunks[at]!;
    chunk.locks.splice(placeIn(chunk.locks, lock), 1);
    if (chunk.locks.length === 0) this.#chunks.splice(at, 1);
    else if (chunk.end === lock.end) chunk.end = endOf(chunk.locks);
  }

  /** The first that has a byte of the range and is one. */
  find(start: number, end: number, isOne: (lock: FileLock) => boolean): FileLock | undefined {
    for (const chunk of this.#chunks) {
      if (chunk.locks[0]!.start > end) return undefined;
      if (chunk.end < start) continue;
      for (const lock of chunk.locks) {
        if (lock.start > end) return undefined;
        if (lock.end >= start && isOne(lock)) return lock;
      }
    }
    return undefined;
  }

  /** Where it is, or belongs. */
  #chunkOf(lock: FileLock): number {
    let [low, high] = [0, this.#chunks.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(lock, this.#chunks[middle]!.locks[0]!)) high = middle;
      else low = middle + 1;
    }
    return Math.max(0, low - 1);
  }
}

/** Before which of them it belongs, or where it is. */
function placeIn(locks: readonly FileLock[], lock: FileLock): number {
  let [low, high] = [0, locks.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(locks[middle]!, lock)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** No owner has two that begin at one byte. */
function isBefore(one: FileLock, other: FileLock): boolean {
  return one.start < other.start || (one.start === other.start && one.owner < other.owner);
}

function endOf(locks: readonly FileLock[]): number {
  let end = 0;
  for (const lock of locks) end = Math.max(end, lock.end);
  return end;
}
