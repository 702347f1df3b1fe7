import type { Address } from '../../block/index.ts';
import type { SealedBlock } from '../../store/index.ts';
import type { ExtentNodeCache } from './extent-node-cache.ts';

/** A part of a file: bytes of a data block's body, or (address undefined) a hole. */
export interface Segment {
  /** In the file. */
  readonly offset: number;
  readonly length: number;
  readonly address: Address | undefined;
  /** In the body of the data block; 0 in a hole. */
  readonly blockOffset: number;
}

/** Bytes from `offset` on. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A block that a file owns, and the snapshot epoch it was written in: one of an older epoch than the last snapshot belongs to the snapshot too and must stay. */
export interface BlockUse {
  readonly address: Address;
  readonly epoch: number;
  readonly kind: 'data' | 'node';
}

/** Reads and seals the tree's nodes: immutable blocks of the file's inode. */
export interface ExtentNodeIo {
  /** The body of a node. @throws InfinitError `not-found`, `damaged`, `unavailable` … */
  read(address: Address): Promise<Uint8Array>;
  /** Seals a node's body (synchronous; the block is not stored yet). */
  seal(body: Uint8Array): SealedBlock;
  /** Lets other work of this thread run; a commit that has much to merge calls it every few milliseconds. Without it a commit goes through in one piece. */
  pause?(): Promise<void>;
}

/** What makes a state of the map durable: `nodes` first, then the inode with `root` in it, then `drops`. */
export interface ExtentCommit {
  /** The encoded root. */
  readonly root: Uint8Array;
  /** Node blocks to put before the root (with, or after, the data blocks). */
  readonly nodes: readonly SealedBlock[];
  /** Blocks, data and nodes, that nothing refers to once the root is durable. To be dropped only then. */
  readonly drops: readonly BlockUse[];
  /** The root is durable. Must be called (or {@link failed}) before the next commit is prepared. */
  succeeded(): void;
  /** The root is not durable: everything goes into the next commit again, drops included. */
  failed(): void;
}

export interface ExtentOptions {
  /** Shared by all files of a volume, so that its bound is one; a small one of its own by default. */
  readonly cache?: ExtentNodeCache;
  /** Snapshot epoch that blocks written from now on belong to; 0 by default. */
  readonly epoch?: number;
  /** Bytes that a node aims at, up to 16 KiB. */
  readonly nodeBytes?: number;
  /** Bytes of recent changes that the root may carry before they are merged into the tree. */
  readonly recentBytes?: number;
}
