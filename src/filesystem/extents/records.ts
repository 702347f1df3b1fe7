import { type Address, addressBytes, addressFromBytes } from '../../block/index.ts';

/** Bytes of a file that lie together in one data block. */
export interface Extent {
  /** In the file. */
  readonly offset: number;
  readonly length: number;
  /** The number that the file gave the block, from 1; 0: a hole (only among recent changes); {@link reserved}: a hole that room is set aside for. */
  readonly block: number;
  /** Where in the block's body. */
  readonly at: number;
}

/** The number of no block, the largest that an extent's record can have. */
export const reserved: number = 2 ** 48 - 1;

/** It is no hole, with or without room of its own. */
export function hasBytes({ block }: Extent): boolean {
  return block !== 0 && block !== reserved;
}

/** A data block that a file owns. */
export interface BlockRecord {
  readonly id: number;
  readonly address: Address;
  /** Bytes of its body. */
  readonly size: number;
  /** How many of them extents refer to. At 0 the block is dropped. */
  readonly live: number;
  /** The snapshot epoch it was written in. */
  readonly epoch: number;
}

/** How a tree keeps its records: a key below 2^53 and a fixed number of bytes for the rest. */
export interface RecordCodec<R> {
  /** Tells the two kinds of tree apart in a node's header. */
  readonly kind: number;
  /** Without the key. */
  readonly bytes: number;
  keyOf(record: R): number;
  /** Summed up in inner nodes. */
  weightOf(record: R): number;
  write(record: R, into: Buffer, at: number): void;
  read(key: number, from: Buffer, at: number): R;
}

const two32 = 2 ** 32;

/** Extents by file offset; the weight is mapped bytes. */
export const extentCodec: RecordCodec<Extent> = {
  kind: 1,
  bytes: 14,
  keyOf: (extent) => extent.offset,
  weightOf: (extent) => extent.length,
  write: (extent, into, at) => {
    into.writeUInt32LE(extent.length, at);
    into.writeUInt32LE(extent.at, at + 4);
    into.writeUInt32LE(extent.block % two32, at + 8);
    into.writeUInt16LE(Math.floor(extent.block / two32), at + 12);
  },
  read: (offset, from, at) => ({
    offset,
    length: from.readUInt32LE(at),
    block: from.readUInt32LE(at + 8) + from.readUInt16LE(at + 12) * two32,
    at: from.readUInt32LE(at + 4),
  }),
};

/** Data blocks by number; the weight is live bytes. */
export const blockCodec: RecordCodec<BlockRecord> = {
  kind: 2,
  bytes: addressBytes + 12,
  keyOf: (block) => block.id,
  weightOf: (block) => block.live,
  write: (block, into, at) => {
    into.write(block.address, at, 'hex');
    into.writeUInt32LE(block.size, at + addressBytes);
    into.writeUInt32LE(block.live, at + addressBytes + 4);
    into.writeUInt32LE(block.epoch, at + addressBytes + 8);
  },
  read: (id, from, at) => ({
    id,
    address: addressFromBytes(from, at),
    size: from.readUInt32LE(at + addressBytes),
    live: from.readUInt32LE(at + addressBytes + 4),
    epoch: from.readUInt32LE(at + addressBytes + 8),
  }),
};

/** The part of an extent that lies in [start, end). */
export function cutExtent(extent: Extent, start: number, end: number): Extent {
  return { offset: start, length: end - start, block: extent.block, at: extent.block === 0 ? 0 : extent.at + start - extent.offset };
}
