import { assert } from './assert.ts';

/** Below it the way does not matter. */
const minLargeBytes = 4096;

/**
 * Copies all of `from` to place `at` of `into`. Where either lies in shared memory, `TypedArray.set` copies word by word, or byte by byte, which takes up to ten
 * times as long as the plain copy of memory that Node has for a part of a buffer.
 */
export function copyBytes(from: Uint8Array, into: Uint8Array, at: number): void {
  assert(into.length - at >= from.length, 'bytes are copied to where there is room for them');
  if (from.length < minLargeBytes) return into.set(from, at);
  into[at] = from[0]!;
  Buffer.from(from.buffer).copy(into, at + 1, from.byteOffset + 1, from.byteOffset + from.length);
}
