/** Bytes of one piece of memory. What is kept holds all of its piece: at the worst so many bytes for each thing kept. */
const slabBytes = 8192;
/** Longer ones have memory of their own. */
const maxSharedBytes = 1024;

let slab = new Uint8Array(0);
let used = 0;

/**
 * Memory for something small that is kept for long, with anything in it. Each ArrayBuffer costs V8 as much as some twenty small objects, to make and to bury:
 * a write of 256 bytes makes one at each of three hosts. Apart from Node's own pool, so that what is soon thrown away does not lie between what is kept.
 */
export function keptMemory(length: number): Uint8Array {
  if (length > maxSharedBytes) return new Uint8Array(length);
  if (used + length > slab.length) {
    slab = new Uint8Array(slabBytes);
    used = 0;
  }
  const memory = slab.subarray(used, used + length);
  used += length;
  return memory;
}

/** A copy in {@link keptMemory}: of what lies in a large receive buffer, for one. */
export function keptCopy(bytes: Uint8Array): Uint8Array {
  const copy = keptMemory(bytes.length);
  copy.set(bytes);
  return copy;
}
