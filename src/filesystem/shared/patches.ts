/** Bytes that were written at one place of a file. */
export interface Patch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** Whether the patches have all of [start, end). */
export function coversAll(patches: readonly Patch[], start: number, end: number): boolean {
  let at = start;
  for (const { offset, bytes } of patches.toSorted((a, b) => a.offset - b.offset)) {
    if (offset > at) return false;
    at = Math.max(at, offset + bytes.length);
  }
  return at >= end;
}

/** Puts the patches into bytes from `start` on, the last one uppermost. */
export function patch(target: Uint8Array, start: number, patches: readonly Patch[]): void {
  for (const { offset, bytes } of patches) {
    const [from, until] = [Math.max(start, offset), Math.min(start + target.length, offset + bytes.length)];
    if (from < until) target.set(bytes.subarray(from - offset, until - offset), from - start);
  }
}
