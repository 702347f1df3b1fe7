import type { ErrorCode } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { Sent } from '../consensus/index.ts';

/**
 * The block store as everything above it sees it: trees, file systems and programs.
 * It may be this host alone or a thousand hosts: the contract is the same.
 *
 * - An immutable block is acknowledged once a majority of its replicas has it on stable storage.
 * - A mutable (or named) block is a linearizable register; each is its own quorum.
 */
export interface BlockStore {
  /** The sealed bytes of an immutable block, verified, in a buffer of the caller's own. @throws InfinitError `not-found`, `damaged`, `unavailable`, `deadline-exceeded`. */
  get(address: Address, options?: CallOptions): Promise<Uint8Array>;
  /** The current value of a mutable or named block; undefined where it was never written or was removed. Linearizable. @throws InfinitError `unavailable`, `lost` where it was given up. */
  fetch(address: Address, options?: CallOptions): Promise<StoredBlock | undefined>;
  /**
   * Applies stages in order: a stage starts only when all of the stage before is durable, and is not started at all
   * where an update of the stage before did not commit.
   * Rejects only where nothing of any stage was changed, for certain (`commitLeavesUnchanged` in src/base), or with `unknown-outcome`. Within a stage everything runs in parallel.
   * On one host all stages share one disk group: order in the log is what makes a torn group safe.
   */
  commit(stages: readonly Stage[], options?: CallOptions): Promise<CommitResult>;
}

/** Deadline and cancellation of one call. */
export interface CallOptions {
  /** Milliseconds until the call gives up; the store's own default where absent. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Of `commit`: asked before each stage that is an exchange of its own with other hosts. The stage waits for a promise. False: it is not begun, and the call rejects. */
  readonly proceed?: () => boolean | Promise<boolean>;
  /** Of `commit`: told of each block to put whose bytes nobody reads any more, where the result could not say `released` yet. Not told where that is never known: a copy that failed may be on its way still. */
  readonly onReleased?: (block: SealedBlock) => void;
  /** Of `commit`: answers to whoever waits for it. Where the way to them is known, they are sent the moment all of it is durable, and the result says `told`. */
  readonly tell?: readonly Uint8Array[];
  /** Of `fetch`: no lease is asked for. A block that is written all the time would make its writer wait for whoever reads it, and for the rest of a lease's term where that host is lost. */
  readonly unleased?: boolean;
  /** Of `get`: shared memory in which the answer may be given, where it fits. Not to be touched before the call has succeeded, nor after it has failed. */
  readonly memory?: Uint8Array | undefined;
  /** Of `get`: only these bytes. On this host's disk they are read and verified without the others. */
  readonly part?: { readonly offset: number; readonly length: number } | undefined;
}

/** A mutable block as read. `version` counts its committed writes from 1 and never goes back, removal included. */
export interface StoredBlock {
  readonly version: number;
  readonly payload: Uint8Array;
}

/** An immutable block to keep; `address` is the hash of `sealed`. */
export interface SealedBlock {
  readonly address: Address;
  readonly sealed: Uint8Array;
}

/** A compare-and-set of one mutable or named block. */
export interface Update {
  readonly address: Address;
  /** The version that must be current; 'absent': none or a removed one; 'any': whatever is there, also where the block was given up; 'lost': it was, and is not made anew yet. All else fails as `lost` then. */
  readonly expect: number | 'absent' | 'any' | 'lost';
  /** With 'absent': nobody ever wrote to the address before, and no other update of it is ever called so. Between hosts that is a round less. Others may write to it meanwhile. */
  readonly fresh?: boolean;
  /** The new value, at most {@link maxMutableBytes}; null removes the block (a tombstone remains in the quorum). */
  readonly payload: Uint8Array | null;
  /**
   * Whose the block must be (16 bytes, as in its owner tag): one of somebody else, or none at all, is left alone and the outcome is a conflict.
   * The payload must be sealed plainly and begin an empty lineage (src/block/lineage.ts), which is continued. Absent: nobody looks.
   */
  readonly owner?: Uint8Array;
}

/**
 * What a stage does, all in parallel. `drop` lists immutable blocks that nothing refers to any longer and whose bytes nobody ever puts again: they
 * are told of in the background, and remembered for a while as gone. `erase` is for those that may be put again: it waits until no host in reach
 * will delete them any more, and nothing is remembered; a host that is away may bring its copy back. Where a host in reach does not say that it is
 * done the commit rejects with `unknown-outcome`.
 */
export interface Stage {
  readonly put?: readonly SealedBlock[];
  readonly update?: readonly Update[];
  readonly drop?: readonly Address[];
  readonly erase?: readonly Address[];
}

export type UpdateOutcome =
  /** Durable at a majority. */
  | { readonly status: 'committed'; readonly version: number }
  /** Nothing was changed: the block was not at the expected version. */
  | { readonly status: 'conflict'; readonly current: StoredBlock | undefined }
  /** Nothing was changed: no majority, disk full, read-only … */
  | { readonly status: 'failed'; readonly code: ErrorCode; readonly message: string }
  /** It may or may not take effect, now or later: read the block to learn. `code` says what came between, `sent` what would have become of it. */
  | { readonly status: 'unknown'; readonly code: ErrorCode; readonly message: string; readonly sent?: Sent };

export type { Sent } from '../consensus/index.ts';

/** `done`: every stage committed; `released`: nobody reads the bytes that were given any more, so they may be overwritten; `told`: which of those who waited for it have their answers. Otherwise `stage` is the first that did not, `outcomes` are those of its updates, in order, and no later stage was begun. */
export type CommitResult =
  | { readonly done: true; readonly versions: readonly (readonly number[])[]; readonly released?: boolean; readonly told?: readonly boolean[] }
  | { readonly done: false; readonly stage: number; readonly outcomes: readonly UpdateOutcome[] };

/** The largest payload of a mutable block. */
export const maxMutableBytes = 64 * 1024;
/** The largest sealed immutable block. */
export const maxImmutableBytes = 4 * 1024 * 1024 + 256;
