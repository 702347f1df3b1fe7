import type { Address } from '../block/index.ts';

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
