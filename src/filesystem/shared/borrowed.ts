import type { VolumeContext } from '../context.ts';
import { Content, type ContentServices } from '../content/content.ts';
import { type DataBlock, dataBlockBytes } from '../content/data-block.ts';
import type { AttributeChanges, Attributes, FileTime } from '../file-system.ts';
import { nextTime } from '../inodes/file-time.ts';
import type { Piece } from '../content/layer.ts';
import type { Patch } from './patches.ts';
import { type FileVersion, versionOf, type Written, type WrittenPiece } from '../inodes/written.ts';
import type { Lent } from './calls.ts';
import type { BlockPutter } from './block-putter.ts';
import type { UnsaidLot } from './unsaid-lot.ts';
import type { UnsaidMemory } from './unsaid-memory.ts';
import { maxPieces } from './written-shape.ts';

/** Bytes of content that one message carries. */
export const maxMessageBytes: number = dataBlockBytes;

/** Of what was answered so much is kept of one file, in pieces and bytes. */
const maxAnswered = 16;
const maxAnsweredBytes = 65_536;

/** More than one write of a program seals. */
const blocksPerWrite = 64;

/** Something that was done to the file and that the host which serves the volume has not answered yet. */
export interface Part {
  readonly pieces: readonly Piece[];
  readonly expect: FileVersion;
  readonly version: FileVersion;
  readonly changes: Written['changes'];
  /** When the last of it was written. */
  readonly writtenAt: FileTime;
  /** With this part it is all said. */
  readonly lot: UnsaidLot | undefined;
}

/** What seals and puts blocks for the files that are borrowed of one opening of the volume. */
export interface Workshop {
  readonly context: VolumeContext;
  /** Blocks may have numbers up to this one. */
  readonly lastSequence: number;
  readonly putter: BlockPutter;
  readonly services: ContentServices;
}

/** A file that this host has for itself, of the host that serves the volume: what its programs write is kept here, and said later. */
export class Borrowed {
  readonly inode: number;
  readonly loan: string;
  /** The opening of the volume that it is borrowed of. */
  readonly generation: number;
  /** It is good for as long as what was granted under this id. */
  readonly grant: string;
  attributes: Attributes;
  /** Taken to be said, in order. */
  readonly parts: Part[] = [];
  /** It is being given back: nothing more is written here. */
  closing = false;
  /** What is said of it, one after another. */
  tail: Promise<void> = Promise.resolve();
  /** That is about to be done. */
  queued = false;
  /** Something was said. */
  said = false;
  /** It was given back with what was said last. */
  returned = false;
  /** Bytes that were written since something was taken. */
  waiting = 0;
  /** Reads at the host that serves the volume since it was written to. */
  reads = 0;
  readonly #workshop: Workshop;
  readonly #content: Content;
  /** What was answered last of a file that is read, too, the latest last: it is so at the host that serves the volume. */
  readonly #answered: Patch[] = [];
  #answeredBytes = 0;
  #isRead = false;
  readonly #memory: UnsaidMemory | undefined;
  /** For the next process, what was not taken yet. */
  #lot: UnsaidLot | undefined;
  #writtenAt: FileTime;
  /** The file as it is once all parts are said. */
  #version: FileVersion;
  #changes: Written['changes'] = {};
  #changed = false;

  /** @param memory outlives this process. */
  constructor({ image, loan }: Lent, workshop: Workshop, generation: number, grant: string, memory?: UnsaidMemory) {
    this.#memory = memory;
    this.#writtenAt = image.attributes.modified;
    this.attributes = image.attributes;
    this.inode = image.attributes.inode;
    this.loan = loan;
    this.generation = generation;
    this.grant = grant;
    this.#workshop = workshop;
    this.#version = versionOf(image.attributes);
    this.#content = new Content(workshop.services, this.inode, undefined, undefined);
  }

  /** There are no numbers left for the blocks of what is written to it: it is to be borrowed again. */
  get spent(): boolean {
    return this.#workshop.context.sequence > this.#workshop.lastSequence - blocksPerWrite;
  }

  /** Something was done that was not said. */
  get dirty(): boolean {
    return this.#changed || this.parts.length > 0;
  }

  /** Nothing more is said with or before the first part than that. */
  get ending(): boolean {
    return !this.#changed && this.parts.length === 1;
  }

  /**
   * @param now later than any time before.
   * @param request the kernel's, where it appends; otherwise 0.
   */
  write(offset: number, data: Uint8Array, now: FileTime, request: number): void {
    this.#content.write(offset, data);
    this.reads = 0;
    this.#writtenAt = now;
    this.#begin()?.write(offset, data, now, request);
    this.waiting += data.length;
    const size = Math.max(this.attributes.size, offset + data.length);
    const blocks = Math.max(this.attributes.blocks, Math.ceil(size / 512));
    this.#become({ size, blocks, modified: now, changed: now });
  }

  change({ mode, uid, gid, accessed, modified }: AttributeChanges, now: FileTime): void {
    const time = (wanted: FileTime | 'now'): FileTime => (wanted === 'now' ? now : wanted);
    const { attributes } = this;
    const changes = {
      ...(mode === undefined ? {} : { mode: mode & 0o7777 }),
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
      ...(accessed === undefined ? {} : { accessed: time(accessed) }),
    };
    this.#changes = { ...this.#changes, ...changes };
    const times = { modified: modified === undefined ? attributes.modified : time(modified), changed: now };
    this.#begin()?.change(changes, times.changed, times.modified);
    this.#become({ ...changes, ...times, mode: mode === undefined ? attributes.mode : (attributes.mode & ~0o7777) | (mode & 0o7777) });
  }

  #begin(): UnsaidLot | undefined {
    this.#lot ??= this.#memory?.begin(this.inode, this.loan, this.#version);
    return this.#lot;
  }

  #become(changes: Partial<Attributes>): void {
    this.attributes = { ...this.attributes, ...changes };
    this.#changed = true;
  }

  /** What was written to [start, end), as far as it is in memory, the latest last; undefined: some that was not answered is not. */
  patchesIn(start: number, end: number): readonly Patch[] | undefined {
    this.#isRead = true;
    const patches = this.#answered.filter(({ offset, bytes }) => offset < end && offset + bytes.length > start);
    for (const pieces of [...this.parts.map((part) => part.pieces), this.#content.dirty.pieces]) {
      for (const piece of pieces) {
        if (piece.end <= start || piece.start >= end) continue;
        const buffer = piece.kind === 'bytes' ? piece.buffer : piece.kind === 'block' ? piece.block.body(this.#workshop.context) : undefined;
        if (buffer === undefined || piece.kind === 'hole') return undefined;
        patches.push({ offset: piece.start, bytes: buffer.subarray(piece.at, piece.at + piece.end - piece.start) });
      }
    }
    return patches;
  }

  /** What was done until now becomes parts. */
  take(): void {
    if (!this.#changed) return;
    this.#changed = false;
    this.waiting = 0;
    const { layer, blocks } = this.#content.take();
    for (const block of blocks) if (block.references === 0) this.#workshop.putter.discard(block);
    const groups = inGroups(layer.pieces, (piece) => (isStored(piece) ? 0 : piece.end - piece.start));
    const last = versionOf(this.attributes);
    this.#add(groups.length === 0 ? [[]] : groups, { version: last, changes: this.#changes, writtenAt: this.#writtenAt, lot: this.#lot });
    this.#changes = {};
    this.#lot = undefined;
  }

  /** The first part becomes several, each with no more content than a message carries. */
  split(): void {
    const first = this.parts[0]!;
    const { pieces, expect } = first;
    const rest = this.parts.splice(0);
    const whole = pieces.flatMap((piece) => cut(piece));
    const after = this.#version;
    this.#version = expect;
    this.#add(
      inGroups(whole, ({ start, end }) => end - start),
      first,
    );
    this.parts.push(...rest.slice(1));
    this.#version = after;
  }

  /** @param last what the file is with all of them. Before, it has the time of the last write, so that no change of anybody else makes it the same. */
  #add(groups: readonly (readonly Piece[])[], last: Omit<Part, 'pieces' | 'expect'>): void {
    const { writtenAt } = last;
    groups.forEach((pieces, index) => {
      const expect = this.#version;
      const size = pieces.reduce((most, { end }) => Math.max(most, end), expect.size);
      const between = { version: { changed: nextTime(expect.changed), modified: writtenAt, size }, changes: {}, writtenAt, lot: undefined };
      const part = { ...(index === groups.length - 1 ? last : between), pieces, expect };
      this.parts.push(part);
      this.#version = part.version;
    });
  }

  /** What is said of a part; its blocks are in the store. @throws InfinitError where they could not be put. */
  async say({ pieces, expect, version, changes }: Part): Promise<Written> {
    const { putter, context } = this.#workshop;
    await Promise.all(pieces.map(async (piece) => (isStored(piece) ? putter.put(piece.block) : undefined)));
    return {
      expect,
      version,
      changes,
      session: context.session,
      pieces: pieces.map((piece) => (isStored(piece) ? whereIs(piece) : this.#bytesOf(piece))),
    };
  }

  /** There is nothing to be said. */
  nothing(): Written {
    return { expect: this.#version, version: this.#version, changes: {}, session: 0, pieces: [] };
  }

  /** As {@link say}, for a host that has not lent the file: it takes no blocks that were sealed for another session. */
  sayWhole({ pieces, expect, version, changes }: Part): Written {
    return { expect, version, changes, session: 0, pieces: pieces.map((piece) => this.#bytesOf(piece)) };
  }

  /** The first part was taken there, or is lost. */
  done(): void {
    const { pieces, lot } = this.parts.shift()!;
    lot?.free();
    for (const piece of pieces) {
      this.#remember(piece);
      if (piece.kind === 'bytes') this.#content.hold(piece.start - piece.end);
      else if (piece.kind === 'block' && --piece.block.references <= 0) this.#workshop.putter.done(piece.block);
    }
  }

  /** What a database writes last it reads first: whether another program has changed its file. */
  #remember(piece: Piece): void {
    if (!this.#isRead) return;
    const length = piece.end - piece.start;
    if (piece.kind !== 'bytes' || length > maxAnsweredBytes / 4) {
      // Nothing older may show through.
      this.#answered.length = this.#answeredBytes = 0;
      return;
    }
    this.#answered.push({ offset: piece.start, bytes: piece.buffer.slice(piece.at, piece.at + length) });
    this.#answeredBytes += length;
    while (this.#answeredBytes > maxAnsweredBytes || this.#answered.length > maxAnswered) this.#answeredBytes -= this.#answered.shift()!.bytes.length;
  }

  /** All that was not said is lost. */
  drop(): void {
    this.take();
    while (this.parts.length > 0) this.done();
  }

  #bytesOf(piece: Piece): WrittenPiece {
    const buffer = piece.kind === 'bytes' ? piece.buffer : (piece as { readonly block: DataBlock }).block.body(this.#workshop.context)!;
    const at = (piece as { readonly at: number }).at;
    return { offset: piece.start, bytes: buffer.subarray(at, at + piece.end - piece.start) };
  }
}

/** One that the host which serves the volume can be told the place of: of one in several pieces it would not know when the last is gone. */
function isStored(piece: Piece): piece is Piece & { readonly kind: 'block' } {
  return piece.kind === 'block' && piece.block.references === 1;
}

function whereIs({ start, end, block, at }: Piece & { readonly kind: 'block' }): WrittenPiece {
  return { offset: start, length: end - start, address: block.address, at, blockBytes: block.size };
}

function inGroups(pieces: readonly Piece[], bytesOf: (piece: Piece) => number): Piece[][] {
  const groups: Piece[][] = [];
  let bytes = 0;
  for (const piece of pieces) {
    const more = bytesOf(piece);
    const group = groups.at(-1);
    if (group === undefined || bytes + more > maxMessageBytes || group.length >= maxPieces) {
      groups.push([piece]);
      bytes = more;
    } else {
      group.push(piece);
      bytes += more;
    }
  }
  return groups;
}

/** Pieces of which each fits a message. */
function cut(piece: Piece): Piece[] {
  if (piece.kind === 'hole' || piece.end - piece.start <= maxMessageBytes) return [piece];
  const parts: Piece[] = [];
  for (let start = piece.start; start < piece.end; start += maxMessageBytes) {
    if (start > piece.start && piece.kind === 'block') piece.block.references++;
    parts.push({ ...piece, start, end: Math.min(piece.end, start + maxMessageBytes), at: piece.at + start - piece.start });
  }
  return parts;
}
