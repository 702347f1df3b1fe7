import type { SealedBlock } from '../../store/index.ts';
import type { Content } from './content.ts';
import type { JournalMark } from '../journal/content-journal.ts';
import { type DataBlock, dataBlockBytes, sealData } from './data-block.ts';
import type { BlockUse, ExtentCommit } from '../extents/index.ts';
import type { Layer } from './layer.ts';
import type { Span, Unsynced } from '../journal/unsynced.ts';

/** Content up to this size lies in the inode itself. */
export const maxInlineBytes = 8 * 1024;
/** Sealing stops for other work after this many bytes, that is after each full block: the flush of what the journal has long made durable must not hold up the next fsync. */
const sealSliceBytes = dataBlockBytes / 2;
/** Mapping stops for other work after this many pieces. */
const mapSlicePieces = 128;

/** What an inode's record and its commit need to make a flush durable. */
export interface ContentPlan {
  readonly inline: Uint8Array | undefined;
  readonly extents: Uint8Array | undefined;
  /** What the file keeps in the store then. */
  readonly allocated: number;
  /** The file's size at the cut; before the last step of a truncation not beyond where it cuts. */
  readonly size: number;
  readonly put: readonly SealedBlock[];
  readonly drop: readonly BlockUse[];
  /** All of the cut is durable then. False: a step of a large truncation; plan again for the next. */
  readonly last: boolean;
  succeeded(): void;
  failed(): void;
}

/**
 * One cut of a file's changes on its way into the store. It may be planned again and again until it is durable; until then reads see
 * its layer, and blocks that the store has not acknowledged are put again.
 */
export class ContentFlush {
  readonly layer: Layer;
  /** What the budget counts for it, beside its blocks. */
  bytes: number;
  /** With what went into the store before the cut. */
  taken: number;
  /** What of the layer neither the journal nor the store has. */
  unsynced: Unsynced;
  /** Where the journal was at the cut. */
  mark: JournalMark;
  /** Its last plan did not become durable. */
  failed = false;
  readonly #content: Content;
  readonly #early: Set<DataBlock>;
  #size: number;
  /** Blocks sealed by this flush, not yet known to be durable. */
  #packed: DataBlock[] = [];
  /** Those that the map knows: what becomes of them is its business. */
  readonly #mapped = new Set<DataBlock>();
  /** Parts of mapped blocks that were cut off with the end of the file. */
  #cutOff: Span[] = [];
  #state: 'cut' | 'packed' | 'mapped' = 'cut';
  /** Where the extent map is still to be cut; Infinity: nothing (left) to cut. */
  #truncateTo = Infinity;

  constructor(content: Content, mark: JournalMark, early: Set<DataBlock>, taken: number, size: number) {
    this.layer = content.dirty;
    this.unsynced = content.unsynced;
    this.bytes = this.layer.bytes;
    this.taken = taken;
    this.mark = mark;
    this.#content = content;
    this.#early = early;
    this.#size = size;
  }

  /** The file is gone: blocks that were put in vain and that the map does not know. */
  abandon(): DataBlock[] {
    this.#done();
    const blocks = this.#blocks();
    for (const block of blocks) block.forget();
    return blocks.filter((block) => !this.#mapped.has(block));
  }

  /** After a plan that failed: what changed since the cut becomes part of it, so that what that cuts out of the file need not find room first. */
  absorb(dirty: Layer, early: Iterable<DataBlock>, taken: number, mark: JournalMark, size: number): void {
    for (const piece of dirty.pieces) {
      if (piece.end === Infinity) this.#cutOff.push(...this.#mappedFrom(piece.start));
      this.layer.put(piece);
    }
    for (const block of early) this.#early.add(block);
    this.bytes += dirty.bytes;
    this.taken += taken;
    this.mark = mark;
    this.#size = size;
    this.#state = 'cut';
    this.#truncateTo = Infinity;
    this.failed = false;
    // What is cut out is not for the journal.
    this.unsynced.overflow();
  }

  #mappedFrom(start: number): Span[] {
    const pieces = this.layer.pieces.slice(this.layer.find(start));
    return pieces
      .filter((piece) => piece.kind === 'block' && this.#mapped.has(piece.block))
      .map((piece) => ({ start: Math.max(start, piece.start), end: piece.end }));
  }

  #blocks(): DataBlock[] {
    return [...this.#early, ...this.#packed];
  }

  /** Packs, maps and encodes as far as that is still to be done. Only one plan at a time. */
  async plan(): Promise<ContentPlan> {
    const content = this.#content;
    for (const block of this.#early) await block.putting;
    // An inode keeps no room.
    if (content.map === undefined && this.#size <= maxInlineBytes && this.layer.reserved === 0)
      return this.#planInline(await this.#bodies(this.#size));
    await this.#pack();
    const map = (content.map ??= content.openMap(undefined));
    if (this.#state === 'packed') await this.#mapPieces();
    let last = true;
    if (this.#truncateTo !== Infinity) {
      const step = await map.truncateStep(this.#truncateTo);
      for (let wait = map.ensureLoaded(step, Infinity); wait !== undefined; wait = map.ensureLoaded(step, Infinity)) await wait;
      map.truncate(step);
      last = step === this.#truncateTo;
    }
    const commit = await map.prepareCommit();
    return this.#planOf(commit, last);
  }

  /** What the store has of the blocks in the first `size` bytes, where they are no longer in memory: a file that was cut short. */
  async #bodies(size: number): Promise<ReadonlyMap<DataBlock, Uint8Array>> {
    const { context, cache } = this.#content.services;
    const bodies = new Map<DataBlock, Uint8Array>();
    for (const piece of this.layer.pieces) {
      if (piece.start >= size) break;
      // What the cache gives is good for this turn of the event loop only.
      if (piece.kind === 'block' && piece.block.body(context) === undefined)
        bodies.set(piece.block, new Uint8Array(await cache.load(piece.block.address)));
    }
    return bodies;
  }

  /** Small enough for the inode. */
  #planInline(bodies: ReadonlyMap<DataBlock, Uint8Array>): ContentPlan {
    const content = this.#content;
    const inline = new Uint8Array(this.#size);
    if (content.inline !== undefined) inline.set(content.inline.subarray(0, this.#size));
    for (const piece of this.layer.pieces) {
      if (piece.start >= this.#size) break;
      const end = Math.min(piece.end, this.#size);
      if (piece.kind === 'hole') inline.fill(0, piece.start, end);
      else {
        const bytes = piece.kind === 'bytes' ? piece.buffer : (bodies.get(piece.block) ?? piece.block.body(content.services.context)!);
        inline.set(bytes.subarray(piece.at, piece.at + end - piece.start), piece.start);
      }
    }
    // What was sealed early has no place in an inode.
    const drop = [...this.#early].map((block) => this.#use(block));
    return {
      inline,
      extents: undefined,
      allocated: inline.length,
      size: this.#size,
      put: [],
      drop,
      last: true,
      succeeded: () => {
        content.inline = inline.length === 0 ? undefined : inline;
        for (const block of this.#early) block.forget();
        this.#done();
      },
      failed: () => void (this.failed = true),
    };
  }

  /** Puts buffered bytes into blocks: runs of up to 1 MiB by themselves, scattered ones together. */
  async #pack(): Promise<void> {
    if (this.#state !== 'cut') return;
    this.#underlayInline();
    const { context, writer } = this.#content.services;
    let sealed = 0;
    const pause = async (): Promise<void> => {
      if (sealed < sealSliceBytes) return;
      sealed = 0;
      await new Promise((resolve) => setImmediate(resolve));
    };
    let first = 0;
    let bytes = 0;
    const { pieces } = this.layer;
    const seal = (end: number): void => {
      if (bytes === 0) return;
      const block = sealData(context, this.#content.inode, gather(pieces, first, end, bytes), (more) => this.#content.hold(more));
      // The block counts for them from now on.
      this.#content.hold(-bytes);
      this.bytes -= bytes;
      block.references = 0;
      this.#packed.push(block);
      let at = 0;
      for (let index = first; index < end; index++) {
        const piece = pieces[index]!;
        if (piece.kind !== 'bytes') continue;
        pieces[index] = { kind: 'block', start: piece.start, end: piece.end, block, at };
        block.references++;
        at += piece.end - piece.start;
      }
      sealed += bytes;
      bytes = 0;
    };
    for (let index = 0; index < pieces.length; index++) {
      const piece = pieces[index]!;
      if (piece.kind !== 'bytes') continue;
      const length = piece.end - piece.start;
      if (bytes + length > dataBlockBytes) {
        seal(index);
        // A large flush need not wait for its last block: the store works on the first ones meanwhile.
        for (const block of this.#packed) writer.start(block);
        await pause();
      }
      if (bytes === 0) first = index;
      bytes += length;
    }
    seal(pieces.length);
    await pause();
    if (this.#packed.length > 0 && this.#size > dataBlockBytes) this.#content.services.onScattered(this.#content.inode);
    this.#state = 'packed';
  }

  /** A file that outgrew its inode: its inline bytes, where nothing newer covers them, are written like any others. */
  #underlayInline(): void {
    const content = this.#content;
    const inline = content.inline;
    if (inline === undefined) return;
    let position = 0;
    for (let index = 0; position < inline.length; index++) {
      const piece = this.layer.pieces[index];
      const end = Math.min(inline.length, piece?.start ?? Infinity);
      if (end > position) {
        this.layer.pieces.splice(index, 0, { kind: 'bytes', start: position, end, buffer: inline, at: position, limit: end });
        index++;
      }
      position = piece?.end ?? Infinity;
    }
    content.inline = undefined;
  }

  async #mapPieces(): Promise<void> {
    const map = this.#content.map!;
    const { pieces } = this.layer;
    for (const { start, end } of this.#cutOff) {
      for (let wait = map.ensureLoaded(start, end - start); wait !== undefined; wait = map.ensureLoaded(start, end - start)) await wait;
      map.punch(start, end - start);
    }
    this.#cutOff = [];
    for (let index = 0; index < pieces.length; index++) {
      const piece = pieces[index]!;
      if (piece.kind === 'block' && this.#mapped.has(piece.block)) continue;
      if (piece.end === Infinity) {
        this.#truncateTo = piece.start;
        continue;
      }
      if (index % mapSlicePieces === mapSlicePieces - 1) await new Promise((resolve) => setImmediate(resolve));
      const length = piece.end - piece.start;
      for (let wait = map.ensureLoaded(piece.start, length); wait !== undefined; wait = map.ensureLoaded(piece.start, length)) await wait;
      if (piece.kind === 'block') map.write(piece.start, length, piece.block.address, piece.at, piece.block.size);
      else if (piece.kind === 'hole' && piece.reserved === true) map.reserve(piece.start, length);
      else map.punch(piece.start, length);
    }
    for (const piece of pieces) if (piece.kind === 'block') this.#mapped.add(piece.block);
    this.#state = 'mapped';
  }

  async #planOf(commit: ExtentCommit, last: boolean): Promise<ContentPlan> {
    for (const block of this.#packed) await block.putting;
    const unused = this.#blocks().filter((block) => block.references === 0 && !this.#mapped.has(block));
    const blocks = this.#blocks().filter((block) => block.references > 0 && !block.durable);
    const map = this.#content.map!;
    return {
      inline: undefined,
      extents: commit.root,
      allocated: map.allocatedBytes,
      // What is still to be cut lies behind the end until then: should a crash come in between, the rest is cut from there on, and what the file grew by afterwards was not synced.
      size: last ? this.#size : Math.min(this.#size, this.#truncateTo),
      put: [...blocks, ...commit.nodes],
      drop: [...commit.drops, ...unused.map((block) => this.#use(block))],
      last,
      succeeded: () => {
        commit.succeeded();
        for (const block of blocks) block.kept();
        for (const block of unused) {
          block.forget();
          this.#early.delete(block);
        }
        this.#packed = this.#packed.filter((block) => !unused.includes(block));
        if (last) this.#done();
      },
      failed: () => {
        commit.failed();
        this.failed = true;
      },
    };
  }

  #use(block: DataBlock): BlockUse {
    return { address: block.address, epoch: this.#content.services.context.epoch, kind: 'data' };
  }

  #done(): void {
    this.#content.flushing = undefined;
    this.#content.hold(-this.bytes);
    this.#content.count(-this.taken);
  }
}

function gather(pieces: Layer['pieces'], first: number, end: number, bytes: number): Uint8Array {
  let at = 0;
  let body: Uint8Array | undefined;
  for (let index = first; index < end; index++) {
    const piece = pieces[index]!;
    if (piece.kind !== 'bytes') continue;
    const part = piece.buffer.subarray(piece.at, piece.at + piece.end - piece.start);
    if (part.length === bytes) return part;
    body ??= Buffer.allocUnsafe(bytes);
    body.set(part, at);
    at += part.length;
  }
  return body!;
}
