/** Bytes of one piece of memory, which is free once all that lies in it is. */
const slabBytes = 64 * 1024;
/** Longer ones have memory of their own. */
const maxSharedBytes = 16 * 1024;
/** Where each begins: memory is copied fastest so. */
const alignment = 8;

let slab = Buffer.allocUnsafeSlow(slabBytes);
let used = 0;

/**
 * Memory for what is thrown away at once, with anything in it: a message on its way, a state that is being written. Node shares memory among buffers of up to 4 KiB alone, and what
 * programs write is a page and what is said about it: each such buffer would be an ArrayBuffer to make and to bury, in memory that the kernel hands out page by page.
 * Whoever keeps something copies it, for at the worst all of a piece stays with it.
 */
export function transientMemory(length: number): Buffer {
  if (length > maxSharedBytes) return Buffer.allocUnsafeSlow(length);
  if (used + length > slabBytes) {
    slab = Buffer.allocUnsafeSlow(slabBytes);
    used = 0;
  }
  const memory = slab.subarray(used, used + length);
  used = (used + length + alignment - 1) & -alignment;
  return memory;
}
