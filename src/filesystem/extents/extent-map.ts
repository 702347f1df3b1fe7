import { assert } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { MaybePromise } from '../file-system.ts';
import { BlockTable } from './block-table.ts';
import { compactionRanges } from './compaction.ts';
import { CowTree, type Missing } from './cow-tree.ts';
import { extentEdits } from './extent-edits.ts';
import { ExtentNodeCache } from './extent-node-cache.ts';
import { Loader } from './loader.ts';
import { type Child, isLeaf, storedChild } from './node.ts';
import { RecentExtents } from './recent-extents.ts';
import { blockCodec, type BlockRecord, type Extent, extentCodec, hasBytes, reserved } from './records.ts';
import { decodeRoot, encodeRoot, leastRootBytes, type MapRoot, type TreeRef } from './root-codec.ts';
import { holeAfter, layerAt, visitLayers } from './layers.ts';
import type { BlockUse, ByteRange, ExtentCommit, ExtentNodeIo, ExtentOptions, Segment } from './types.ts';
import { walkBlocks } from './walk.ts';

/** Bytes that a node aims at: small ones, because scattered synced writes copy a path of nodes each. */
const defaultNodeBytes = 4 * 1024;
const minNodeBytes = 256;
const maxNodeBytes = 16 * 1024;
/** Bytes of recent changes in the root: about 50 scattered writes of a block each. */
const defaultRecentBytes = 4 * 1024;
/** Uncommitted changes after which a commit is due. */
const dueChanges = 16_384;
/** Leaves that one step of a large truncation takes away. */
const stepLeaves = 16;
/** Changes merged, and nodes sealed, before other work may run. */
const mergeSlice = 64;
const sealSlice = 16;
/** Nodes of a map that shares no cache. */
const ownCachedNodes = 64;
/** The most that one extent sets aside. */
const maxReservedBytes = 2 ** 30;

const emptyRoot: MapRoot = {
  epoch: 0,
  nextBlock: 1,
  allocatedBytes: 0,
  reserves: false,
  extents: undefined,
  blocks: undefined,
  recent: [],
  added: [],
  lives: new Map(),
};

/**
 * The map of one file's bytes. Knows nothing of the file's size: what lies past it is a hole like any other.
 *
 * Mutations are synchronous and need the nodes around what they replace, so a caller does
 * `for (let wait = map.ensureLoaded(o, l); wait !== undefined; wait = map.ensureLoaded(o, l)) await wait;`
 * and then mutates with no `await` in between. Answers return at once where the nodes are cached.
 *
 * Inside, recent changes lie over two trees (extents by offset, data blocks by number) and are merged into them by a commit once the
 * root would get too long. The trees in memory are therefore always those of a commit.
 */
export class ExtentMap {
  readonly #io: ExtentNodeIo;
  readonly #extents: CowTree<Extent>;
  readonly #blocks: CowTree<BlockRecord>;
  readonly #recent: RecentExtents;
  readonly #table: BlockTable;
  readonly #recentBytes: number;
  #allocated: number;
  /** Room was set aside in it. */
  #reserves: boolean;
  #epoch: number;
  /** Nothing refers to these once the next commit is durable. */
  #drops: BlockUse[] = [];
  #committing: { readonly drops: readonly BlockUse[] } | undefined;
  #dirty = false;
  /** Mutations since the last commit was prepared. */
  #mutations = 0;
  readonly #loader: Loader;
  /** Where the next search for compaction candidates goes on. */
  #compactFrom = 0;

  private constructor(root: MapRoot, io: ExtentNodeIo, options: ExtentOptions) {
    const cache = options.cache ?? new ExtentNodeCache(ownCachedNodes);
    const nodeBytes = Math.min(maxNodeBytes, Math.max(minNodeBytes, options.nodeBytes ?? defaultNodeBytes));
    this.#io = io;
    this.#extents = new CowTree(extentCodec, io, cache, nodeBytes);
    this.#blocks = new CowTree(blockCodec, io, cache, nodeBytes);
    this.#extents.root = childOf(root.extents);
    this.#blocks.root = childOf(root.blocks);
    this.#loader = new Loader([this.#extents, this.#blocks]);
    this.#recent = new RecentExtents([...root.recent]);
    this.#table = new BlockTable(this.#blocks, root);
    this.#recentBytes = options.recentBytes ?? defaultRecentBytes;
    this.#allocated = root.allocatedBytes;
    this.#reserves = root.reserves;
    this.#epoch = options.epoch ?? root.epoch;
  }

  /** The map that a root encodes; undefined or empty bytes: an empty map. No I/O. @throws InfinitError `damaged`, `wrong-version`. */
  static open(root: Uint8Array | undefined, io: ExtentNodeIo, options: ExtentOptions = {}): ExtentMap {
    return new ExtentMap(root === undefined || root.length === 0 ? emptyRoot : decodeRoot(root), io, options);
  }

  /** Bytes that are mapped to data blocks (not holes), or set aside; what st_blocks is made of. */
  get allocatedBytes(): number {
    return this.#allocated;
  }

  /** There are changes that no successful commit covers. */
  get dirty(): boolean {
    return this.#dirty || this.#committing !== undefined;
  }

  /** So many changes are uncommitted that a commit is due now, whatever the caller's timers say. */
  get commitDue(): boolean {
    return this.#mutations >= dueChanges;
  }

  /** The epoch that new blocks belong to. */
  get epoch(): number {
    return this.#epoch;
  }
  set epoch(epoch: number) {
    this.#epoch = epoch;
  }

  /** What lies in [offset, offset + length): segments in order, without gaps, holes merged. */
  lookup(offset: number, length: number): MaybePromise<readonly Segment[]> {
    return this.#loader.whenLoaded((missing) => this.#lookup(offset, offset + length, missing));
  }

  #lookup(start: number, end: number, missing: Missing): Segment[] {
    const segments: Segment[] = [];
    this.#visit(start, end, missing, (extent) => {
      const { offset, length, block, at } = extent;
      const last = segments.at(-1);
      if (hasBytes(extent)) segments.push({ offset, length, address: this.#table.get(block, missing)?.address, blockOffset: at });
      else if (last !== undefined && last.address === undefined) segments[segments.length - 1] = { ...last, length: last.length + length };
      else segments.push({ offset, length, address: undefined, blockOffset: 0 });
    });
    return segments;
  }

  /** Loads what a mutation of this range needs; undefined where it is all there. `length` may be Infinity. */
  ensureLoaded(offset: number, length: number): Promise<void> | undefined {
    const attempt = (missing: Missing): void =>
      this.#visit(offset, offset + length, missing, (extent) => void (hasBytes(extent) && this.#table.get(extent.block, missing)));
    const missing: Missing = new Map();
    attempt(missing);
    return missing.size === 0 ? undefined : this.#loader.load(attempt, missing, false);
  }

  /**
   * Maps [offset, offset + length) to the bytes at `blockOffset` of a data block of `blockSize` bytes. A new address is a new block, owned by
   * this file; several extents may share one that was added since the last commit was prepared, as when scattered writes are packed into one block.
   * @throws InfinitError `bug` where the range was not loaded.
   */
  write(offset: number, length: number, address: Address, blockOffset: number, blockSize: number): void {
    assert(offset >= 0 && length > 0 && Number.isSafeInteger(offset + length), 'an extent lies in the first 2^53 bytes');
    assert(blockOffset >= 0 && blockOffset + length <= blockSize, 'an extent lies within its block');
    // Counted as live first: a block that replaces a part of itself must not seem dead in between.
    const block = this.#table.use(address, blockSize, length, this.#epoch);
    this.#clear(offset, offset + length);
    this.#recent.put({ offset, length, block, at: blockOffset });
    this.#allocated += length;
    this.#changed();
  }

  /** Makes [offset, offset + length) a hole. @throws InfinitError `bug` where the range was not loaded. */
  punch(offset: number, length: number): void {
    if (length <= 0) return;
    this.#clear(offset, offset + length);
    this.#recent.put({ offset, length, block: 0, at: 0 });
    if (this.#extents.root === undefined) this.#recent.dropHoles();
    this.#changed();
  }

  /** Sets room aside for [offset, offset + length), which becomes a hole. @throws InfinitError `bug` where the range was not loaded. */
  reserve(offset: number, length: number): void {
    this.#clear(offset, offset + length);
    for (let done = 0; done < length; done += maxReservedBytes)
      this.#recent.put({ offset: offset + done, length: Math.min(maxReservedBytes, length - done), block: reserved, at: 0 });
    this.#allocated += length;
    this.#reserves = true;
    this.#changed();
  }

  /** Makes everything from `size` on a hole; {@link ensureLoaded}(size, Infinity) first. For large files go in steps, see {@link truncateStep}. */
  truncate(size: number): void {
    this.punch(size, Infinity);
  }

  /** The smallest size, at least `size`, to which truncating takes a bounded amount of memory and time; `size` itself at last. Truncate to it (and commit) and ask again. */
  truncateStep(size: number): MaybePromise<number> {
    return this.#loader.whenLoaded((missing) => {
      const last = this.#recent.list.at(-1);
      // What lies under a hole without end is gone already.
      const end = last?.length === Infinity ? last.offset : Infinity;
      return Math.max(size, this.#extents.leafBefore(end, stepLeaves, missing) ?? 0);
    });
  }

  /** The first mapped offset at or after `offset`; undefined where only a hole follows. */
  seekData(offset: number): MaybePromise<number | undefined> {
    return this.#loader.whenLoaded((missing) => {
      for (let position = offset; position < Infinity;) {
        const { data, until } = layerAt(this.#recent, this.#extents, position, missing);
        if (missing.size > 0) return undefined;
        if (data) return position;
        position = until;
      }
      return undefined;
    });
  }

  /** The first offset at or after `offset` that is in a hole; there always is one. */
  seekHole(offset: number): MaybePromise<number> {
    return this.#loader.whenLoaded((missing) => holeAfter(this.#recent, this.#extents, offset, missing));
  }

  /**
   * The current state as a commit; changes made afterwards belong to the next one. One commit at a time.
   * A promise only where recent changes have to be merged into nodes that were evicted.
   */
  prepareCommit(): MaybePromise<ExtentCommit> {
    assert(this.#committing === undefined, 'one commit of an extent map at a time');
    const least = leastRootBytes(this.#recent.list.length, this.#table.added.length, this.#table.lives.size);
    // Trees of a file that became empty go at once.
    const emptied = this.#allocated === 0 && this.#extents.root !== undefined;
    if (least <= this.#recentBytes && !emptied) {
      // New nodes there are only where an earlier commit failed on its way.
      this.#seal(Infinity);
      const root = this.#encode();
      if (root.length <= this.#recentBytes) return this.#commit(root);
    }
    const { pause } = this.#io;
    if (pause !== undefined) return this.#commitInSlices(() => pause.call(this.#io));
    return this.#loader.whenLoaded((missing) => {
      if (!this.#merge(Infinity, missing)) return undefined as never;
      this.#seal(Infinity);
      return this.#commit(this.#encode());
    });
  }

  /** The trees do not change between slices but by these; what is mutated meanwhile is a recent change and goes with this commit. */
  async #commitInSlices(pause: () => Promise<void>): Promise<ExtentCommit> {
    for (let left = this.#recent.list.length + this.#table.added.length + this.#table.lives.size; left > 0; left -= mergeSlice) {
      await this.#loader.whenLoaded((missing) => this.#merge(mergeSlice, missing));
      await pause();
    }
    while (this.#seal(sealSlice)) await pause();
    return this.#commit(this.#encode());
  }

  /** Takes up to `limit` recent extents and as many blocks over into the trees; false where nodes for that are missing. */
  #merge(limit: number, missing: Missing): boolean {
    const recent = this.#recent.list.slice(0, limit);
    const extents = extentEdits(this.#extents, recent, missing);
    const blocks = this.#table.edits(limit, missing);
    if (missing.size > 0) return false;
    this.#drops.push(...this.#extents.edit(extents), ...this.#blocks.edit(blocks));
    this.#recent.removeFirst(recent.length);
    this.#table.merged(blocks);
    return true;
  }

  /** Seals up to `limit` new nodes; true where there may be more. */
  #seal(limit: number): boolean {
    const done = this.#extents.seal(this.#epoch, limit);
    return done >= limit || done + this.#blocks.seal(this.#epoch, limit - done) >= limit;
  }

  #commit(root: Uint8Array): ExtentCommit {
    assert(this.#committing === undefined, 'one commit of an extent map at a time');
    const extents = this.#extents.sealed();
    const blocks = this.#blocks.sealed();
    const committing = { drops: this.#drops };
    this.#committing = committing;
    this.#drops = [];
    this.#dirty = false;
    this.#mutations = 0;
    const end = (): void => {
      assert(this.#committing === committing, 'a commit ends once');
      this.#committing = undefined;
    };
    return {
      root,
      nodes: [...extents, ...blocks].map((child) => child.sealed!),
      drops: committing.drops,
      succeeded: () => {
        end();
        this.#extents.settle(extents);
        this.#blocks.settle(blocks);
      },
      failed: () => {
        end();
        this.#drops = [...committing.drops, ...this.#drops];
        this.#dirty = true;
      },
    };
  }

  #encode(): Uint8Array {
    return encodeRoot({
      epoch: this.#epoch,
      nextBlock: this.#table.next,
      allocatedBytes: this.#allocated,
      reserves: this.#reserves && this.#allocated > 0,
      extents: refOf(this.#extents.root),
      blocks: refOf(this.#blocks.root),
      recent: this.#recent.list,
      added: this.#table.added,
      lives: this.#table.lives,
    });
  }

  /** Ranges worth to be read and written again (by the caller, as an ordinary write): they refer to data blocks less than half live, or are scattered over many. At most about `limit` bytes. */
  async compactionCandidates(limit: number): Promise<readonly ByteRange[]> {
    const { ranges, next } = await compactionRanges(this.#compactFrom, limit, {
      segments: (offset) => this.#loader.whenLoaded((missing) => this.#following(offset, missing)),
      block: (id) => this.#loader.whenLoaded((missing) => this.#table.get(id, missing)),
      pause: async () => this.#io.pause?.(),
    });
    this.#compactFrom = next;
    return ranges;
  }

  /** Some mapped extents from `offset` on, and where to go on. */
  #following(offset: number, missing: Missing): { extents: Extent[]; next: number | undefined } {
    const data = layerAt(this.#recent, this.#extents, offset, missing);
    const start = data.data ? offset : data.until;
    if (start === Infinity || missing.size > 0) return { extents: [], next: undefined };
    const end = Math.max(start + 1, this.#extents.leafEnd(start, missing) ?? Infinity);
    const extents: Extent[] = [];
    this.#visit(start, end, missing, (extent) => void (hasBytes(extent) && extents.push(extent)));
    return { extents, next: end === Infinity ? undefined : end };
  }

  /** Every block that the last committed state and this one refer to, for unlink: data blocks and nodes. */
  async *allBlocks(): AsyncIterable<BlockUse> {
    const pending = [...(this.#committing?.drops ?? []), ...this.#drops];
    const added = this.#table.added;
    const lives = new Map(this.#table.lives);
    const [extents, blocks] = [this.#extents.root, this.#blocks.root];
    yield* pending;
    for (const { address, epoch } of added) yield { address, epoch, kind: 'data' };
    yield* walkBlocks(this.#blocks, blocks, (node) =>
      isLeaf(node)
        ? node.records.filter(({ id }) => lives.get(id) !== 0).map(({ address, epoch }): BlockUse => ({ address, epoch, kind: 'data' }))
        : [],
    );
    yield* walkBlocks(this.#extents, extents, () => []);
  }

  /** Visits what lies in [start, end), holes too, cut to it. */
  #visit(start: number, end: number, missing: Missing, visit: (extent: Extent) => void): void {
    visitLayers(this.#recent, this.#extents, start, end, missing, visit);
  }

  /** Releases what is mapped in [start, end), which is about to be replaced. */
  #clear(start: number, end: number): void {
    const missing: Missing = new Map();
    const released: Extent[] = [];
    this.#visit(start, end, missing, (extent) => void (extent.block !== 0 && released.push(extent)));
    assert(missing.size === 0, 'a range is loaded before it is changed');
    for (const extent of released) {
      const { block, length } = extent;
      this.#allocated -= length;
      if (!hasBytes(extent)) continue;
      const dead = this.#table.release(block, length);
      if (dead !== undefined) this.#drops.push({ address: dead.address, epoch: dead.epoch, kind: 'data' });
    }
  }

  #changed(): void {
    this.#dirty = true;
    this.#mutations++;
    this.#loader.unpin();
  }
}

function childOf<R>(ref: TreeRef | undefined): Child<R> | undefined {
  return ref === undefined ? undefined : storedChild(ref.address, ref.epoch, ref.weight);
}

function refOf(child: Child<unknown> | undefined): TreeRef | undefined {
  if (child === undefined) return undefined;
  assert(child.address !== undefined, 'a tree is sealed before its root is encoded');
  return { address: child.address, epoch: child.epoch, weight: child.weight };
}
