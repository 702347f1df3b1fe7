import type { ErrorCode } from '../base/index.ts';
import type { Address } from '../block/index.ts';

/** The largest value of a mutable or named block. */
export const maxValueBytes = 64 * 1024;
/** The largest value of an immutable block. */
export const maxImmutableValueBytes = 4 * 1024 * 1024;

/** What a block holds now. */
export interface BlockState {
  /** Counts the block's writes, removals included, from 1, and never goes back. An immutable block is at version 1 for ever. */
  readonly version: number;
  readonly value: Uint8Array;
}

/** How a write ended. Every one of them is an answer, not an exception. */
export type WriteOutcome =
  /** On stable storage at a majority of the block's replicas. */
  | { readonly status: 'committed'; readonly version: number }
  /** Nothing was changed: the block is not at the expected version. `current` is what it is; undefined: there is no such block. */
  | { readonly status: 'conflict'; readonly current: BlockState | undefined }
  /** Nothing was changed, for certain. */
  | { readonly status: 'failed'; readonly code: ErrorCode; readonly message: string }
  /** It may or may not take effect, now or later: read the block to learn. */
  | { readonly status: 'unknown'; readonly code: ErrorCode; readonly message: string };

/** Deadline and cancellation of one call. */
export interface CallLimits {
  /** Milliseconds until the call gives up; 10 s where absent. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** The value store as a daemon serves it to programs. All values are of programs: what belongs to a volume or to the system is refused with `denied`. */
export interface BlockService {
  /** Keeps an immutable block; the same bytes have the same address. @throws InfinitError `too-large`, `unavailable`, `disk-full` … */
  put(value: Uint8Array, limits: CallLimits): Promise<Address>;
  /** Makes a mutable block under a fresh address. */
  make(value: Uint8Array, limits: CallLimits): Promise<{ readonly address: Address; readonly outcome: WriteOutcome }>;
  /** Makes a named block, or a mutable one of that address, where nothing is, or only a removed one. */
  create(address: Address, value: Uint8Array, limits: CallLimits): Promise<WriteOutcome>;
  /** Writes (null: removes) a block that exists, at `expect` where that is given. */
  update(address: Address, value: Uint8Array | null, expect: number | undefined, limits: CallLimits): Promise<WriteOutcome>;
  /** The block's state, linearizable; undefined where it is not. @throws InfinitError `unavailable`, `denied` … */
  get(address: Address, limits: CallLimits): Promise<BlockState | undefined>;
  /** Removes an immutable block from all hosts in reach. */
  drop(address: Address, limits: CallLimits): Promise<WriteOutcome>;
  inspect(address: Address, limits: CallLimits): Promise<BlockReport>;
}

/** What the hosts of a block say about it. */
export interface BlockReport {
  readonly address: Address;
  readonly kind: 'immutable' | 'mutable' | 'named';
  /** `program`, `system`, or the volume's id; undefined where no copy was found. */
  readonly owner: string | undefined;
  /** Copies that there should be. */
  readonly wanted: number;
  readonly replicas: readonly ReplicaReport[];
}

/** One host's copy of a block. */
export interface ReplicaReport {
  /** The host's name. */
  readonly host: string;
  readonly peer: string;
  /**
   * `ok`: it has what the others have; `behind`: an older version; `missing`: nothing; `removed`: it knows that the block was removed;
   * `lost`: its record was damaged; `silent`: it did not answer.
   */
  readonly state: 'ok' | 'behind' | 'missing' | 'removed' | 'lost' | 'silent';
  /** Of mutable and named blocks: the version, the ballot it was accepted at, and the highest ballot promised. */
  readonly version?: number;
  readonly ballot?: string;
  readonly promised?: string;
  /** Bytes of the value. */
  readonly size?: number;
  /** Why it is silent. */
  readonly reason?: string;
}
