import { InfinitError } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { MaybePromise } from '../file-system.ts';
import type { BlockUse, ByteRange, ExtentCommit, ExtentNodeIo, ExtentOptions, Segment } from './types.ts';

const pending = (): never => {
  throw new InfinitError('unsupported', 'not written yet');
};

/**
 * The map of one file's bytes. Knows nothing of the file's size: what lies past it is a hole like any other.
 *
 * Mutations are synchronous and need the nodes around what they replace, so a caller does
 * `for (let wait = map.ensureLoaded(o, l); wait !== undefined; wait = map.ensureLoaded(o, l)) await wait;`
 * and then mutates with no `await` in between. Answers return at once where the nodes are cached.
 */
export class ExtentMap {
  /** The map that a root encodes; undefined or empty bytes: an empty map. No I/O. @throws InfinitError `damaged`, `wrong-version`. */
  static open(root: Uint8Array | undefined, io: ExtentNodeIo, options?: ExtentOptions): ExtentMap {
    void root;
    void io;
    void options;
    return pending();
  }

  /** Bytes that are mapped to data blocks (not holes); what st_blocks is made of. */
  get allocatedBytes(): number {
    return pending();
  }

  /** There are changes that no successful commit covers. */
  get dirty(): boolean {
    return pending();
  }

  /** So many changes are uncommitted that a commit is due now, whatever the caller's timers say. */
  get commitDue(): boolean {
    return pending();
  }

  /** The epoch that new blocks belong to. */
  get epoch(): number {
    return pending();
  }
  set epoch(epoch: number) {
    void epoch;
  }

  /** What lies in [offset, offset + length): segments in order, without gaps, holes merged. */
  lookup(offset: number, length: number): MaybePromise<readonly Segment[]> {
    void offset;
    void length;
    return pending();
  }

  /** Loads what a mutation of this range needs; undefined where it is all there. `length` may be Infinity. */
  ensureLoaded(offset: number, length: number): Promise<void> | undefined {
    void offset;
    void length;
    return pending();
  }

  /**
   * Maps [offset, offset + length) to the bytes at `blockOffset` of a data block of `blockSize` bytes. A new address is a new block, owned by
   * this file; several extents may share one that was added since the last merge, as when scattered writes are packed into one block.
   * @throws InfinitError `bug` where the range was not loaded.
   */
  write(offset: number, length: number, address: Address, blockOffset: number, blockSize: number): void {
    void offset;
    void length;
    void address;
    void blockOffset;
    void blockSize;
    pending();
  }

  /** Makes [offset, offset + length) a hole. @throws InfinitError `bug` where the range was not loaded. */
  punch(offset: number, length: number): void {
    void offset;
    void length;
    pending();
  }

  /** Makes everything from `size` on a hole; {@link ensureLoaded}(size, Infinity) first. For large files go in steps, see {@link truncateStep}. */
  truncate(size: number): void {
    void size;
    pending();
  }

  /** The smallest size, at least `size`, to which truncating takes a bounded amount of memory and time; `size` itself at last. Truncate to it (and commit) and ask again. */
  truncateStep(size: number): MaybePromise<number> {
    void size;
    return pending();
  }

  /** The first mapped offset at or after `offset`; undefined where only a hole follows. */
  seekData(offset: number): MaybePromise<number | undefined> {
    void offset;
    return pending();
  }

  /** The first offset at or after `offset` that is in a hole; there always is one. */
  seekHole(offset: number): MaybePromise<number> {
    void offset;
    return pending();
  }

  /**
   * The current state as a commit; changes made afterwards belong to the next one. One commit at a time.
   * A promise only where recent changes have to be merged into nodes that were evicted.
   */
  prepareCommit(): MaybePromise<ExtentCommit> {
    return pending();
  }

  /** Ranges worth to be read and written again (by the caller, as an ordinary write): they refer to data blocks less than half live, or are scattered over many. At most about `limit` bytes. */
  compactionCandidates(limit: number): Promise<readonly ByteRange[]> {
    void limit;
    return pending();
  }

  /** Every block that the last committed state and this one refer to, for unlink: data blocks and nodes. */
  allBlocks(): AsyncIterable<BlockUse> {
    return pending();
  }
}
