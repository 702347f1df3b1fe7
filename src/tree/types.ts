import type { InfinitError, Random } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { BlockStore } from '../store/index.ts';
import type { NodeCache } from './node-cache.ts';

/** A byte string, one character a byte ('latin1'), so that `<` on strings is the order of bytes. 1 to {@link maxKeyBytes} bytes. */
export type Key = string;

/** The longest key. */
export const maxKeyBytes = 1024;
/** The longest value; what is larger belongs into a block of its own, with its address as the value. */
export const maxValueBytes = 16 * 1024;

/** Whether a change may be made, from the key's current value. Pure: it may be asked more than once. */
export type Condition = (current: Uint8Array | undefined) => boolean;

/** O_EXCL, put-if-absent: the key must not be there. */
export const ifAbsent: Condition = (current) => current === undefined;
/** The key must be there. */
export const ifPresent: Condition = (current) => current !== undefined;

/**
 * What becomes of a key: its new value, or null to delete it; a function computes it from the current value (pure: it may be called
 * more than once). With a condition that does not hold the change is refused and the answer carries the current value.
 * Values are borrowed until `apply` settles and not changed by the tree.
 */
export type Change =
  | Uint8Array
  | null
  | {
      readonly value: Uint8Array | null | ((current: Uint8Array | undefined) => Uint8Array | null);
      readonly condition?: Condition;
    };

/** What became of a batch. A key that is in neither map was applied and is durable. */
export interface ApplyResult {
  /** Condition did not hold: nothing was changed; the current value. */
  readonly refused: ReadonlyMap<Key, Uint8Array | undefined>;
  /**
   * Not applied, except that under code `unknown-outcome` it may have been, now or later: read the key to learn.
   * Each leaf is a quorum of its own, so some keys of a batch can fail and others not.
   */
  readonly failed: ReadonlyMap<Key, InfinitError>;
}

export interface Entry {
  readonly key: Key;
  /** Not to be changed: it may be the cache's own memory. */
  readonly value: Uint8Array;
}

/** Consecutive entries; `done` where none follows them. */
export interface Page {
  readonly entries: readonly Entry[];
  readonly done: boolean;
}

/** Turns a node's bytes into a mutable block's payload and back, bound to the address. An implementation wraps the volume's `Sealer`. */
export interface NodeSealer {
  seal(address: Address, body: Uint8Array): Uint8Array;
  /** @throws InfinitError `damaged`, `wrong-key`, `wrong-version`. */
  open(address: Address, payload: Uint8Array): Uint8Array;
}

/** How a tree is opened. */
export interface TreeOptions {
  readonly store: BlockStore;
  readonly sealer: NodeSealer;
  /** Shared by all trees of a volume, so that its bound is one; a small one of its own by default. */
  readonly cache?: NodeCache;
  /**
   * True: while {@link BLinkTree.leased}, what the cache holds is current and answers without the store. False (default): a leaf is
   * always fetched; inner nodes may be cached all the same, since right links make a stale one harmless.
   */
  readonly leased?: boolean;
  /**
   * 'create' (default): a missing root is an empty tree, and the first write makes it. 'fresh': so it is, and nobody ever tried to write it: it is not looked for.
   * 'fail': then every call fails with `not-found`.
   */
  readonly missingRoot?: 'create' | 'fresh' | 'fail';
  /** Bytes that a node aims at, 512 to 32 KiB; 8 KiB by default. */
  readonly nodeBytes?: number;
  /** Where new nodes get their random addresses from; the system's randomness by default. */
  readonly random?: Random;
}
