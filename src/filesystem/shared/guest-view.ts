import { codeOf } from '../../base/index.ts';
import { type Attributes, type DirectoryEntry, FileSystemError, type MaybePromise } from '../file-system.ts';
import type { Segment } from '../extents/index.ts';
import type { Image } from '../inodes/images.ts';
import { isDirectory, isRegular } from '../inodes/mode.ts';
import { maxNumbers } from './calls.ts';
import type { BlockReader } from './block-reader.ts';
import type { GuestCache, Known, Listing } from './guest-cache.ts';
import { type Learn, Moved } from './backing.ts';
import type { HolderLink } from './holder-link.ts';

/** How often it is looked whether what is in memory is to be good for longer, in ms. */
const renewMs = 400;
/** Pause before it is tried again, where nothing was granted, in ms. */
const beginPauseMs = 100;
/** What is good for longer than this needs no renewal yet, in ms. */
const enoughMs = 700;
/** After so many looks in a row without any use it is left to run out. */
const idleLooks = 10;
/** Files up to this size are read whole. */
const smallBytes = 65_536;
/** Of so much of a large file it is asked at once where it lies. */
const storedBytes = 32 * 1024 * 1024;
/** After so many look-ups in a directory that had to be asked, it is listed, a part for each further one. */
const looksBeforeListing = 2;
/** After fewer than this the rest of a directory is asked for at once. */
const fewEntries = 100;
/** A directory with more parts than this is not listed. */
const maxParts = 64;
/** Directories in which something was looked up just now. */
const maxWatched = 64;

/** A directory in which names are asked for one after another. */
interface Watched {
  looks: number;
  reads: number;
  /** Files read at once next time. */
  ahead: number;
  parts: number;
  listing: Listing | undefined;
  cookie: number;
  /** Nothing comes after that. */
  ended: boolean;
  /** The last part of it. */
  page: readonly DirectoryEntry[];
  /** It is being asked for. */
  busy: boolean;
  /** Since the last look at what goes on. */
  touched: boolean;
}

/** Whether the host that serves the volume lets its guests keep anything; undefined: that is not known yet. */
type Support = boolean | undefined;

export interface GuestViewEvents {
  /** Before the host that serves the volume is told that nothing is in memory here. */
  readonly onBegin: () => Promise<void>;
  /** From time to time while something is in memory. */
  readonly onLook: () => void;
  /** Nothing is in memory any more, and what was may be changed from now on. */
  readonly onEnd: () => void;
  /** Whether programs have files open: what is in memory is renewed then, used or not. */
  readonly isInUse: () => boolean;
}

/** What a guest answers from memory, and how that comes to be there. Where the volume is open here nothing is, and that is asked. */
export class GuestView {
  readonly #holder: HolderLink;
  readonly #cache: GuestCache;
  #support: { readonly generation: number; supported: Support } | undefined;
  #beginning = false;
  /** When it is tried again, as performance.now() counts. */
  #beginsAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #idle = 0;
  /** By inode: up to where large files were read last. */
  readonly #readEnds = new Map<number, number>();
  readonly #watched = new Map<number, Watched>();
  readonly #events: GuestViewEvents;

  constructor(holder: HolderLink, cache: GuestCache, events: GuestViewEvents) {
    this.#holder = holder;
    this.#cache = cache;
    this.#events = events;
  }

  lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    const known = this.#cache.lookup(parent, name);
    if (known !== undefined) return known ?? undefined;
    if (!this.#isOn()) return this.#holder.do('lookup', parent, name);
    this.#watch(parent);
    const learn: Learn<Attributes | undefined> = (question, found, { names }) => {
      if (names?.includes(parent) === true) this.#cache.learnName(question, { directory: parent, name }, found?.inode ?? null);
    };
    return this.#ask('look', [parent, name], learn, () => this.#holder.do('lookup', parent, name));
  }

  getattr(inode: number): MaybePromise<Attributes> {
    const known = this.#cache.image(inode);
    if (known !== undefined) return known.attributes;
    if (!this.#isOn()) return this.#holder.do('getattr', inode);
    return this.#image(inode, 0).then((image) => image?.attributes ?? this.#holder.do('getattr', inode));
  }

  readlink(inode: number): MaybePromise<string> {
    return this.#cache.image(inode)?.target ?? this.#holder.do('readlink', inode);
  }

  getxattr(inode: number, name: string): MaybePromise<Uint8Array> {
    const xattrs = this.#cache.image(inode)?.xattrs;
    if (xattrs === undefined) return this.#holder.do('getxattr', inode, name);
    const found = xattrs.find(([each]) => each === name);
    if (found === undefined) throw new FileSystemError('ENODATA');
    return found[1];
  }

  listxattr(inode: number): MaybePromise<readonly string[]> {
    return this.#cache.image(inode)?.xattrs?.map(([name]) => name) ?? this.#holder.do('listxattr', inode);
  }

  /** A part of a directory, larger than what fits: the next question is for what comes after that, and for attributes. undefined: it is to be asked for where it is. */
  readdir(inode: number, cookie: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> | undefined {
    if (!this.#isOn()) return undefined;
    const watched = this.#watchedOf(inode);
    const shown = (entries: readonly DirectoryEntry[]): readonly DirectoryEntry[] =>
      entries.map(({ attributes: known, ...entry }) => (attributes && known !== undefined ? this.#withAttributes(entry) : entry));
    const { listing, page, busy } = watched;
    const at = page.findIndex((entry) => entry.cookie === cookie);
    const isGood = listing !== undefined && !listing.broken && this.#cache.names(inode) === listing.names && listing.names.doubts === listing.doubts;
    if (cookie !== 0 && isGood && at >= 0 && at < page.length - 1) return shown(page.slice(at + 1));
    // A kernel asks twice whether that was all.
    if (cookie !== 0 && isGood && watched.ended && watched.cookie === cookie) return [];
    if (busy || (cookie !== 0 && (!isGood || watched.cookie !== cookie))) return undefined;
    if (cookie === 0) Object.assign(watched, { listing: this.#cache.beginListing(inode), cookie: 0, ended: false, parts: 0, page: [] });
    watched.busy = true;
    return this.#listPart(inode, watched, watched.listing!)
      .then((entries) => shown(entries))
      .finally(() => (watched.busy = false));
  }

  #withAttributes(entry: DirectoryEntry): DirectoryEntry {
    const known = this.#cache.image(entry.inode);
    return known === undefined ? entry : { ...entry, attributes: known.attributes };
  }

  /** Whether the file is in memory, so that it is asked back before it goes. */
  has(inode: number): boolean {
    const known = this.#cache.image(inode);
    return known !== undefined && isRegular(known.attributes.mode);
  }

  /** Whether it is a file of which not all is in memory. */
  isLarge(inode: number): boolean {
    const known = this.#cache.image(inode);
    return known !== undefined && isLarge(known.attributes);
  }

  hasDirectory(inode: number): boolean {
    const known = this.#cache.image(inode);
    return known !== undefined && isDirectory(known.attributes.mode);
  }

  /** From memory, or of a small file; undefined: it is to be read where it is. */
  read(inode: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> | undefined {
    const known = this.#cache.image(inode);
    if (known === undefined || !isRegular(known.attributes.mode)) return undefined;
    if (known.attributes.size > smallBytes) return this.#readStored(known, inode, offset, Math.min(offset + length, known.attributes.size));
    const cut = ({ content }: Image): readonly Uint8Array[] | undefined => content && [content.subarray(offset, offset + length)];
    const cached = cut(known);
    if (cached !== undefined) return cached;
    const there = (): MaybePromise<readonly Uint8Array[]> => this.#holder.do('read', inode, 0, offset, length);
    this.#readAhead(known.parent, inode);
    return this.#image(inode, smallBytes).then((image) => (image && cut(image)) ?? there());
  }

  /** From the store itself, if all of it is there. */
  #readStored(known: Known, inode: number, start: number, end: number): Promise<readonly Uint8Array[]> | undefined {
    const { backing } = this.#holder;
    const blocks = backing?.kind === 'remote' ? backing.blocks : undefined;
    if (blocks === undefined || start >= end) return undefined;
    const sequential = this.#readEnds.get(inode) === start;
    this.#readEnds.delete(inode);
    if (this.#readEnds.size >= maxWatched) this.#readEnds.delete(this.#readEnds.keys().next().value!);
    this.#readEnds.set(inode, end);
    return this.#readBlocks(blocks, inode, start, end, sequential);
  }

  async #readBlocks(blocks: BlockReader, inode: number, start: number, end: number, sequential: boolean): Promise<readonly Uint8Array[]> {
    try {
      const segments = this.#cache.storedPart(inode, start, end)?.segments ?? (await this.#stored(inode, start, end));
      if (segments !== undefined) return [await blocks.read(segments, start, end, sequential)];
    } catch {
      // A block went, as blocks do that are put together with others, or is not to be had from here.
      this.#cache.doubtStored(inode, start, end);
    }
    return this.#holder.do('read', inode, 0, start, end - start);
  }

  /** Where the bytes lie, as of this question. */
  async #stored(inode: number, start: number, end: number): Promise<readonly Segment[] | undefined> {
    const from = start - (start % storedBytes);
    const until = Math.max(from + storedBytes, end);
    const learn: Learn<readonly Segment[] | undefined> = (question, segments, { images }) => {
      if (segments === undefined || images?.some(({ attributes }) => attributes.inode === inode) !== true) return;
      this.#cache.learnStored(question, inode, { start: from, end: until, segments });
    };
    return this.#ask('stored', [inode, from, until], learn, () => undefined);
  }

  /** The host that serves the volume is another one. */
  async #image(inode: number, bytes: number): Promise<Image | undefined> {
    const images = await this.#ask<readonly Image[] | undefined>('images', [[inode], bytes], undefined, () => undefined);
    return images?.[0];
  }

  /** @param otherwise where the host that serves the volume is another one by now. */
  async #ask<T>(
    method: 'look' | 'images' | 'listing' | 'stored',
    args: readonly unknown[],
    learn: Learn<T> | undefined,
    otherwise: () => MaybePromise<T>,
  ): Promise<T> {
    try {
      return await this.#holder.callIn<T>(this.#holder.generation, method, args, learn);
    } catch (error) {
      if (error instanceof Moved) return otherwise();
      throw error;
    }
  }

  /** Nothing is renewed any more. */
  close(): void {
    clearTimeout(this.#timer);
  }

  /** Whether something may be kept now. Otherwise it is seen to that it may soon. */
  #isOn(): boolean {
    if (this.#cache.isOn) return true;
    const { generation, backing } = this.#holder;
    if (backing?.kind !== 'remote' || this.#beginning || performance.now() < this.#beginsAt) return false;
    if (this.#support?.generation !== generation) this.#support = { generation, supported: undefined };
    if (this.#support.supported !== false) void this.#begin(this.#support);
    return false;
  }

  async #begin(support: { readonly generation: number; supported: Support }): Promise<void> {
    this.#beginning = true;
    try {
      await this.#events.onBegin();
      await this.#holder.callIn<unknown>(support.generation, 'renew', [true], (question, _value, granted, asked) =>
        this.#cache.begin(question, granted, asked),
      );
      support.supported = true;
      this.#watched.clear();
      this.#idle = 0;
      this.#timer ??= setTimeout(() => void this.#look(), renewMs).unref();
    } catch (error) {
      // So says one of an earlier version.
      if (codeOf(error) === 'bad-argument') support.supported = false;
    } finally {
      this.#beginning = false;
      if (!this.#cache.isOn) this.#beginsAt = performance.now() + beginPauseMs;
    }
  }

  async #look(): Promise<void> {
    this.#events.onLook();
    this.#idle = this.#cache.takeUsed() || this.#events.isInUse() ? 0 : this.#idle + 1;
    this.#forgetWatched();
    if (this.#cache.isOn && this.#idle < idleLooks && this.#cache.leftMs < enoughMs) {
      await this.#holder.callIn(this.#holder.generation, 'renew', [false]).catch(() => {});
    }
    const { isOn } = this.#cache;
    if (!isOn) this.#events.onEnd();
    this.#timer = isOn ? setTimeout(() => void this.#look(), renewMs).unref() : undefined;
  }

  #forgetWatched(): void {
    for (const [directory, watched] of this.#watched) {
      if (!watched.touched) this.#watched.delete(directory);
      watched.touched = false;
      // What was asked back meanwhile is listed again.
      if (watched.listing?.broken === true && watched.parts >= maxParts && !watched.busy)
        Object.assign(watched, { parts: 0, listing: undefined, cookie: 0, ended: false });
    }
  }

  #watchedOf(directory: number): Watched {
    let watched = this.#watched.get(directory);
    if (watched === undefined) {
      if (this.#watched.size >= maxWatched) this.#watched.clear();
      watched = { looks: 0, reads: 0, ahead: 4, parts: 0, listing: undefined, cookie: 0, ended: false, page: [], busy: false, touched: true };
      this.#watched.set(directory, watched);
    }
    watched.touched = true;
    return watched;
  }

  #watch(directory: number): void {
    const watched = this.#watchedOf(directory);
    if (++watched.looks <= looksBeforeListing || watched.busy || watched.parts >= maxParts) return;
    if (this.#cache.names(directory)?.complete === true) return;
    watched.busy = true;
    void this.#list(directory, watched)
      .catch(() => (watched.parts = maxParts))
      .finally(() => (watched.busy = false));
  }

  /** The next part of a directory, and what little comes after it. */
  async #list(directory: number, watched: Watched): Promise<void> {
    const listing = (watched.listing ??= this.#cache.beginListing(directory));
    let more = true;
    while (more && watched.parts++ < maxParts) more = (await this.#listPart(directory, watched, listing)).length < fewEntries;
  }

  async #listPart(directory: number, watched: Watched, listing: Listing): Promise<readonly DirectoryEntry[]> {
    const part = await this.#ask<readonly DirectoryEntry[] | undefined>(
      'listing',
      [directory, watched.cookie],
      (question, entries, { names, ended }) => {
        const last = ended === true || entries?.length === 0;
        this.#cache.learnPart(question, listing, entries ?? [], { last, granted: names?.includes(directory) === true });
        watched.cookie = entries?.at(-1)?.cookie ?? watched.cookie;
        watched.ended = last;
        if (last || listing.broken) watched.parts = maxParts;
      },
      () => undefined,
    );
    if (part === undefined) throw new Moved();
    watched.page = part;
    return part;
  }

  /** Files of a directory that are read one after another come several at a time, in the order in which they were made. */
  #readAhead(directory: number | undefined, inode: number): void {
    if (directory === undefined) return;
    const watched = this.#watchedOf(directory);
    if (++watched.reads < 2) return;
    const next: number[] = [];
    for (const each of this.#cache.names(directory)?.next(inode) ?? []) {
      const image = this.#cache.image(each);
      if (image === undefined || image.content !== undefined || !isRegular(image.attributes.mode) || image.attributes.size > smallBytes / 4) continue;
      next.push(each);
      if (next.length >= watched.ahead) break;
    }
    if (next.length === 0) return;
    watched.ahead = Math.min(maxNumbers, watched.ahead * 2);
    void this.#ask('images', [next, smallBytes / 4], undefined, () => undefined).catch(() => {});
  }
}

/** Whether it is a file that is not read whole. */
export function isLarge({ mode, size }: Attributes): boolean {
  return isRegular(mode) && size > smallBytes;
}
