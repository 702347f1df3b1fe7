import { assert, copyBytes } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { BlockCache } from './block-cache.ts';

/** Up to so many bytes of a block are read without the rest, unless a reader goes through the file in order. */
const maxPartBytes = 64 * 1024;
/** Blocks that one read waits for at once. */
const maxParallelLoads = 8;

/** What a read has waited for. */
export class Pinned {
  /** Parts of blocks by place: they stay at hand until the read is done, whatever the cache does. */
  readonly parts = new Map<string, Uint8Array>();
  /** Times that it waited. */
  waits = 0;
}

/** A read under way: the slices so far, and what has to be loaded for the rest. */
export interface Reading {
  readonly out: Uint8Array[];
  readonly missing: { readonly address: Address; readonly blockOffset: number; readonly length: number; readonly key: string }[];
  readonly pinned: Pinned;
}

const zeroBytes = new Uint8Array(256 * 1024);

/** Adds zeros, all of them slices of the same few. */
export function zeros(length: number, out: Uint8Array[]): void {
  for (let left = length; left > 0; left -= zeroBytes.length) out.push(left >= zeroBytes.length ? zeroBytes : zeroBytes.subarray(0, left));
}

/**
 * Loads what is missing, a few at a time. As a rule all of it is in the cache then; a read that waits again, because the cache is too small for
 * it, keeps copies.
 */
export async function loadMissing(cache: BlockCache, reading: Reading, sequential: boolean): Promise<void> {
  const { missing, pinned } = reading;
  const keep = pinned.waits++ > 0;
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < missing.length) {
      const { address, blockOffset, length, key } = missing[next++]!;
      if (length <= maxPartBytes && !sequential) {
        pinned.parts.set(key, await cache.loadPart(address, blockOffset, length));
        continue;
      }
      const part = (await cache.load(address)).subarray(blockOffset, blockOffset + length);
      assert(part.length === length, 'an extent lies within its block');
      if (keep) pinned.parts.set(key, copyOf(part));
    }
  };
  await Promise.all(Array.from({ length: Math.min(maxParallelLoads, missing.length) }, work));
}

function copyOf(data: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(data.length);
  copyBytes(data, copy, 0);
  return copy;
}
