import { copyBytes } from '../../base/index.ts';

/** Memory that small pieces are cut from. */
const slabBytes = 64 * 1024;
/** Larger ones get memory of their own: they would pin little of a slab and waste much. */
const maxSmallBytes = 16 * 1024;

/** Bytes and where they begin in their memory. */
export interface Kept {
  readonly buffer: Uint8Array;
  readonly at: number;
}

/**
 * Copies of what small writes bring, many in one piece of memory: a buffer for each costs the garbage collector more than the write. A slab lives as
 * long as anything in it, which is until the flush that comes within a second.
 */
export class SmallBuffers {
  #slab: Uint8Array | undefined;
  #at = 0;

  /** A copy of borrowed bytes, followed by nothing of its own. */
  keep(data: Uint8Array): Kept {
    const { length } = data;
    if (length > maxSmallBytes) {
      const buffer = Buffer.allocUnsafeSlow(length);
      copyBytes(data, buffer, 0);
      return { buffer, at: 0 };
    }
    if (this.#slab === undefined || this.#at + length > slabBytes) {
      this.#slab = Buffer.allocUnsafeSlow(slabBytes);
      this.#at = 0;
    }
    const at = this.#at;
    copyBytes(data, this.#slab, at);
    this.#at += length;
    return { buffer: this.#slab, at };
  }
}
