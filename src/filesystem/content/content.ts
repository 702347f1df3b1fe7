import { assert } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { BlockCache } from './block-cache.ts';
import type { BlockWriter } from './block-writer.ts';
import type { VolumeContext } from '../context.ts';
import { ContentFlush, maxInlineBytes } from './content-flush.ts';
import { DataBlock, dataBlockBytes, sealData } from './data-block.ts';
import type { DirtyBudget } from './dirty-budget.ts';
import { ExtentMap, type ExtentNodeCache, type Segment } from '../extents/index.ts';
import type { ContentPiece } from '../journal/content-journal-codec.ts';
import type { JournalMark } from '../journal/content-journal.ts';
import { type BytesPiece, changeAt, Layer } from './layer.ts';
import { Miss, need } from '../miss.ts';
import { readContent } from './content-reading.ts';
import { loadMissing, Pinned, type Reading } from './reading.ts';
import { maxUnsyncedBytes, maxUnsyncedSpans, Unsynced } from '../journal/unsynced.ts';
import type { StoredPiece } from '../inodes/written.ts';

/** What the contents of a volume's files share. */
export interface ContentServices {
  readonly context: VolumeContext;
  readonly cache: BlockCache;
  readonly nodes: ExtentNodeCache;
  readonly writer: Pick<BlockWriter, 'start'>;
  readonly budget: DirtyBudget;
  /** Told that a flush put scattered pieces of a large file together into blocks. */
  readonly onScattered: (inode: number) => void;
  /** Where the content journal is now. */
  readonly mark: () => JournalMark;
}

/** So many bytes that come at once are a block of their own, wherever they begin. */
const minDirectBytes = 512 * 1024;
/** The first buffer of a run that turns out to be appended to. */
const firstGrowth = 64 * 1024;

/**
 * The bytes of one regular file, in layers: what was written since the last flush, over what is being flushed, over what is durable
 * (inline bytes or an extent map). Knows nothing of the file's size except that whatever lies beyond it is a hole.
 */
export class Content {
  readonly services: ContentServices;
  readonly inode: number;
  /** Changes since the last cut. */
  dirty = new Layer();
  /** What of `dirty` neither the journal nor the store has. */
  unsynced = new Unsynced();
  /** Blocks of `dirty` that were sealed, and put, before any flush. */
  early: Set<DataBlock> | undefined;
  /** Bytes of `early`. */
  #earlySize = 0;
  /** Changes on their way into the store; reads see them until they are durable. */
  flushing: ContentFlush | undefined;
  /** Durable content of a small file. */
  inline: Uint8Array | undefined;
  map: ExtentMap | undefined;
  /** The root of the map as the inode's record has it. */
  committedExtents: Uint8Array | undefined;
  /** Blocks that were put, or are being put, and came to nothing when the file was removed: dropped with it. */
  readonly vain: DataBlock[] = [];
  /** What the volume's usage counts for it. */
  accounted = 0;
  #late = false;

  constructor(services: ContentServices, inode: number, inline: Uint8Array | undefined, extents: Uint8Array | undefined) {
    this.services = services;
    this.inode = inode;
    this.inline = inline;
    this.committedExtents = extents;
    if (extents !== undefined) this.map = this.openMap(extents);
    this.accounted = this.durableAllocated;
  }

  /** There are changes that are not durable. */
  get changed(): boolean {
    return !this.dirty.empty || this.flushing !== undefined;
  }

  /** There are changes that a crash would take. */
  get exposed(): boolean {
    return !this.unsynced.empty || this.flushing?.unsynced.empty === false;
  }

  /** With this size its content would lie in the inode itself. */
  small(size: number): boolean {
    return this.map === undefined && size <= maxInlineBytes;
  }

  /** How much {@link takeUnsynced} would take; `tooMuch`: the journal has no room for it, or it is not in memory. */
  unsyncedSize(): { readonly spans: number; readonly bytes: number; readonly tooMuch: boolean } {
    const below = this.flushing?.unsynced;
    const spans = this.unsynced.spans.length + (below?.spans.length ?? 0);
    const bytes = this.unsynced.bytes + (below?.bytes ?? 0);
    const tooMuch = this.unsynced.tooMuch || below?.tooMuch === true || spans > maxUnsyncedSpans || bytes > maxUnsyncedBytes;
    return { spans, bytes, tooMuch: tooMuch || this.#lacks(this.unsynced) || (below !== undefined && this.#lacks(below)) };
  }

  /** Part of it lies in a block that went into the store already. */
  #lacks({ spans }: Unsynced): boolean {
    // Without either no block was put yet.
    if (this.early === undefined && this.flushing === undefined) return false;
    return spans.some(({ start, end }) => {
      const reading: Reading = { out: [], missing: [], pinned: new Pinned() };
      readContent(this, start, end, reading);
      return reading.missing.length > 0;
    });
  }

  /** What an fsync has to make durable, as slices of what is in memory; counts as synced from now on. */
  takeUnsynced(): ContentPiece[] {
    const taken = this.unsynced;
    this.unsynced = new Unsynced();
    if (this.flushing !== undefined) {
      for (const { start, end } of this.flushing.unsynced.spans) taken.add(start, end);
      this.flushing.unsynced = new Unsynced();
    }
    return taken.spans.map(({ start, end }) => {
      const reading: Reading = { out: [], missing: [], pinned: new Pinned() };
      readContent(this, start, end, reading);
      assert(reading.missing.length === 0, 'what is not durable yet is in memory');
      return { offset: start, length: end - start, slices: reading.out };
    });
  }

  /** Bytes kept for it, as far as known: what is being written counts in full. */
  get allocated(): number {
    return this.durableAllocated + this.uncommitted;
  }

  get durableAllocated(): number {
    return (this.inline?.length ?? 0) + (this.map?.allocatedBytes ?? 0);
  }

  openMap(extents: Uint8Array | undefined): ExtentMap {
    const { context, nodes } = this.services;
    const io = {
      read: async (address: Address): Promise<Uint8Array> => context.sealer.open(address, await context.store.get(address)).body,
      seal: (body: Uint8Array) => context.sealer.seal(context.owner(this.inode), body),
      // A large commit goes in slices, so that other requests get their turn.
      pause: () => new Promise<void>((resolve) => setImmediate(resolve)),
    };
    return ExtentMap.open(extents, io, { cache: nodes, epoch: context.epoch });
  }

  /** Takes bytes in. Large pieces are sealed straight from the borrowed bytes and put in the background. */
  write(offset: number, data: Uint8Array): void {
    this.unsynced.add(offset, offset + data.length);
    this.rewrite(offset, data);
  }

  /** As {@link write}, of bytes that are durable already, in the journal or elsewhere in the store: a crash takes nothing of them. */
  rewrite(offset: number, data: Uint8Array): void {
    const before = this.#inMemory;
    for (let done = 0; done < data.length;) {
      const position = offset + done;
      const rest = data.length - done;
      const cell = position - (position % dataBlockBytes);
      // Large requests of the kernel seldom begin on the grid: cutting them there would mean to copy them once more.
      const direct = rest >= minDirectBytes;
      const length = direct ? Math.min(rest, dataBlockBytes) : Math.min(cell + dataBlockBytes - position, rest);
      const part = length === data.length ? data : data.subarray(done, done + length);
      if (direct) this.#seal(position, part);
      else this.#buffer(position, part, cell);
      done += length;
    }
    this.#grown(before);
  }

  /** A part of a block that is in the store already. */
  adopt({ offset, length, address, at, blockBytes }: StoredPiece): void {
    this.unsynced.add(offset, offset + length);
    const before = this.#inMemory;
    const block = new DataBlock(address, undefined, undefined, blockBytes, () => {});
    block.kept();
    this.dirty.put({ kind: 'block', start: offset, end: offset + length, block, at });
    this.#add(block);
    this.#grown(before);
  }

  /** What the store has of [start, end) shows again. */
  reveal(start: number, end: number): void {
    const before = this.#inMemory;
    this.dirty.clear(start, end);
    this.#grown(before);
  }

  /** All that changed, of a file that is another host's: what becomes of it, and of what the budget counts for it, is the caller's business. */
  take(): { readonly layer: Layer; readonly blocks: ReadonlySet<DataBlock> } {
    const taken = { layer: this.dirty, blocks: this.early ?? new Set<DataBlock>() };
    this.count(-this.#taken);
    this.#begin();
    return taken;
  }

  /** Makes [start, end) a hole; `end` may be Infinity. */
  punch(start: number, end: number): void {
    if (start >= end) return;
    this.unsynced.overflow();
    const before = this.#inMemory;
    this.dirty.put({ kind: 'hole', start, end });
    this.#grown(before);
    this.services.budget.cuts++;
  }

  /** Sets room aside for [start, end), which is a hole. With the file's next record it becomes durable, not with the next fsync: a crash takes nothing that was written. */
  reserve(start: number, end: number): void {
    const before = this.#inMemory;
    this.dirty.put({ kind: 'hole', start, end, reserved: true });
    this.#grown(before);
  }

  /** The bytes of [start, end), holes as zeros; slices of what is in memory. `sequential`: what follows will be read next. @throws Miss */
  read(start: number, end: number, pinned: Pinned, sequential = false): Uint8Array[] {
    const reading: Reading = { out: [], missing: [], pinned };
    readContent(this, start, end, reading);
    if (reading.missing.length > 0) throw new Miss(loadMissing(this.services.cache, reading, sequential));
    return reading.out;
  }

  /** Where the bytes of [start, end) lie in the store; undefined: not all of them do. @throws Miss */
  storedIn(start: number, end: number): readonly Segment[] | undefined {
    for (const layer of this.layers) {
      const piece = layer.pieces[layer.find(start)];
      if (piece !== undefined && piece.start < end) return undefined;
    }
    return this.map === undefined ? undefined : need(this.map.lookup(start, end - start));
  }

  /** Starts loading what lies in [start, end), where that is known at once. */
  prefetch(start: number, end: number): void {
    const segments = this.map?.lookup(start, end - start);
    if (segments === undefined || segments instanceof Promise) return;
    for (const { address } of segments) if (address !== undefined) this.services.cache.prefetch(address);
  }

  /** Whether `position` lies in data, or what room is set aside for, or a hole, and until where at least that goes on. @throws Miss */
  runAt(position: number): { data: boolean; until: number } {
    const { piece, until } = changeAt(this.layers, position);
    if (piece !== undefined) return { data: piece.kind !== 'hole' || piece.reserved === true, until };
    if (this.map === undefined) {
      const length = this.inline?.length ?? 0;
      return position < length ? { data: true, until: Math.min(until, length) } : { data: false, until };
    }
    const data = need(this.map.seekData(position));
    if (data === undefined) return { data: false, until };
    if (data > position) return { data: false, until: Math.min(until, data) };
    return { data: true, until: Math.min(until, need(this.map.seekHole(position))) };
  }

  /** The flush under way, or a new one of all that changed until now; `size` is the file's. Undefined where nothing changed. */
  cut(size: number): ContentFlush | undefined {
    if (this.flushing === undefined && !this.dirty.empty) {
      this.flushing = new ContentFlush(this, this.services.mark(), this.early ?? new Set(), this.#taken, size);
      this.#begin();
    }
    return this.flushing;
  }

  /**
   * A flush that failed takes what changed since along where that cuts something out of the file: its own blocks may be what finds no room.
   * True where it did.
   */
  widen(size: number): boolean {
    if (this.flushing?.failed !== true || !this.dirty.pieces.some((piece) => piece.kind === 'hole' && piece.reserved !== true)) return false;
    this.flushing.absorb(this.dirty, this.early ?? [], this.#taken, this.services.mark(), size);
    this.#begin();
    return true;
  }

  #begin(): void {
    this.dirty = new Layer();
    this.unsynced = new Unsynced();
    this.early = undefined;
    this.#earlySize = 0;
  }

  /** Forgets all changes: the file is gone, and nothing of it is being written any more. */
  discard(): void {
    this.count(-this.#earlySize);
    this.hold(-this.dirty.bytes);
    this.count(-this.#inMemory.counted);
    for (const block of this.early ?? []) block.forget();
    this.vain.push(...(this.early ?? []), ...(this.flushing?.abandon() ?? []));
    this.#begin();
  }

  /** So much more, or less, of it is in memory alone. */
  hold(bytes: number): void {
    this.services.budget.add(bytes);
  }

  /** So much more, or less, of it is in no record. */
  count(bytes: number): void {
    this.services.budget.uncommitted += bytes;
    if (this.#late) this.services.budget.late += bytes;
  }

  /** What of it is in no record cannot become part of one at present. */
  get late(): boolean {
    return this.#late;
  }

  set late(is: boolean) {
    if (is !== this.#late) this.services.budget.late += is ? this.uncommitted : -this.uncommitted;
    this.#late = is;
  }

  /** Bytes of it that are in no record. */
  get uncommitted(): number {
    return this.#taken + (this.flushing?.taken ?? 0);
  }

  get #inMemory(): { readonly bytes: number; readonly counted: number } {
    const { bytes, reserved } = this.dirty;
    return { bytes, counted: bytes + reserved };
  }

  /** It was so much before. */
  #grown(before: { readonly bytes: number; readonly counted: number }): void {
    const { bytes, counted } = this.#inMemory;
    this.hold(bytes - before.bytes);
    this.count(counted - before.counted);
  }

  /** What was written since the last cut. */
  get #taken(): number {
    return this.#inMemory.counted + this.#earlySize;
  }

  /** What is not durable, the newest first. */
  get layers(): readonly Layer[] {
    return this.flushing === undefined ? [this.dirty] : [this.dirty, this.flushing.layer];
  }

  #seal(position: number, data: Uint8Array): void {
    const { context, writer } = this.services;
    const block = sealData(context, this.inode, data, (bytes) => this.hold(bytes));
    this.dirty.put({ kind: 'block', start: position, end: position + data.length, block, at: 0 });
    this.#add(block);
    writer.start(block);
  }

  #add(block: DataBlock): void {
    this.early ??= new Set();
    this.early.add(block);
    this.#earlySize += block.size;
    this.count(block.size);
  }

  #buffer(position: number, data: Uint8Array, cell: number): void {
    const { dirty } = this;
    const end = position + data.length;
    const index = dirty.find(position);
    const over = dirty.pieces[index];
    if (over?.kind === 'bytes' && over.start <= position && over.end >= end) {
      over.buffer.set(data, over.at + position - over.start);
      return;
    }
    const place = dirty.clear(position, end);
    const before = dirty.pieces[place - 1];
    if (before?.kind === 'bytes' && before.end === position && before.start >= cell) {
      this.#append(before, data, cell);
      return;
    }
    // A copy of its own: `data` is borrowed.
    const { buffer, at } = this.services.context.small.keep(data);
    dirty.pieces.splice(place, 0, { kind: 'bytes', start: position, end, buffer, at, limit: at + data.length });
    dirty.bytes += data.length;
  }

  #append(piece: BytesPiece, data: Uint8Array, cell: number): void {
    const used = piece.at + piece.end - piece.start;
    const needed = used + data.length;
    if (needed > piece.limit) {
      const room = cell + dataBlockBytes - piece.start;
      const length = Math.min(room, Math.max(firstGrowth, needed - piece.at, 2 * (piece.end - piece.start)));
      const grown = Buffer.allocUnsafeSlow(length);
      grown.set(piece.buffer.subarray(piece.at, used));
      piece.buffer = grown;
      piece.at = 0;
      piece.limit = length;
    }
    piece.buffer.set(data, piece.at + piece.end - piece.start);
    piece.end += data.length;
    this.dirty.bytes += data.length;
    if (piece.end - piece.start !== dataBlockBytes) return;
    const body = piece.buffer.subarray(piece.at, piece.at + dataBlockBytes);
    this.#seal(piece.start, body);
  }
}
