import type { Address } from '../block/index.ts';

/**
 * One host's own storage: bytes under a block address, plus a few small named facts about the host itself.
 * It knows nothing of consensus: what lies under a mutable address is an acceptor's state, opaque here.
 * Implementations: LogDisk (append segments + index) and MemoryDisk; test/suites/disk-suite.ts judges both.
 */
export interface Disk extends AsyncDisposable {
  /** The bytes last written under the address; undefined where there are none. The caller owns the result, which may lie in `memory` where that is given. @throws InfinitError `damaged`. */
  read(address: Address, memory?: Uint8Array): Promise<Uint8Array | undefined>;
  /** `length` bytes of the value from `offset` on, verified without the others. The caller owns them. @throws InfinitError `damaged`, `bad-argument` where the value is shorter. */
  readPart(address: Address, offset: number, length: number): Promise<Uint8Array | undefined>;
  /** The first bytes of the value, `length` at the most, not verified: for looking through many blocks, see whose they are. @throws InfinitError `damaged`. */
  head(address: Address, length: number): Promise<Uint8Array | undefined>;
  /** True where the address is present, and not noted in the log as lost. Never touches the data. */
  has(address: Address): Promise<boolean>;
  /** True where the block was found damaged and not written since (of a bounded number of them). */
  isDamaged(address: Address): boolean;
  /**
   * Applies the operations in order and resolves once all are on stable storage. Concurrent calls share a group, in call order:
   * after a crash a prefix of all operations of all calls survives, never a later one without an earlier one.
   * Bulk data that waits for room on a full disk may be overtaken, by what touches none of its addresses; and what was refused is not there.
   * The given bytes must not change until it resolves.
   * On a full disk a reserve stays: immutable blocks and values over 64 KiB are refused first, then all puts; deletes go on, since they make room.
   * @throws InfinitError `disk-full`, `disk-failed`, `overloaded`: then nothing of this call is acknowledged (though a prefix may survive a restart).
   */
  write(operations: readonly DiskOperation[]): Promise<void>;
  /** A small durable fact about this host (identity, incarnation, catalogue cache). Key: 1–128 characters. */
  readMeta(key: string): Promise<Uint8Array | undefined>;
  /** Addresses in ascending order, from `after` (exclusive) on, at most `limit`. For scrub and repair: cheap, may miss what is written meanwhile. */
  list(after: Address | undefined, limit: number): Promise<DiskEntry[]>;
  status(): DiskStatus;
  /** Records that were made durable since the store was made: it grows with each, over restarts too. Smaller than it was once: what was acknowledged is gone. */
  readonly written: number;
  /** Tells of a change of `status().state`. Returns the way to stop listening. */
  onStateChange(listener: (status: DiskStatus) => void): () => void;
}

export type DiskOperation =
  | { readonly type: 'put'; readonly address: Address; readonly bytes: Uint8Array }
  | { readonly type: 'delete'; readonly address: Address }
  | { readonly type: 'put-meta'; readonly key: string; readonly bytes: Uint8Array }
  | { readonly type: 'delete-meta'; readonly key: string };

export interface DiskEntry {
  readonly address: Address;
  /** Bytes of the value. */
  readonly size: number;
}

export interface DiskStatus {
  /** `read-only`: full or failed; it still serves reads. */
  readonly state: 'healthy' | 'read-only';
  /** Why it is read-only, for people. */
  readonly reason?: string;
  /** Blocks with a value; one that was overwritten or deleted may still count for a second or so. */
  readonly blocks: number;
  /** Bytes of live values. */
  readonly liveBytes: number;
  /** Bytes on the medium, garbage not yet compacted included. */
  readonly usedBytes: number;
  /** Bytes that may still be written: the file system's free space or what is left of the configured capacity. */
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Records found damaged since start. */
  readonly damaged: number;
}
