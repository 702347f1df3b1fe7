import { BLinkTree, type NodeCache } from '../../tree/index.ts';
import { Content, type ContentServices } from '../content/content.ts';
import type { VolumeContext } from '../context.ts';
import { Directory } from '../names/directory.ts';
import { FileSystemError } from '../file-system.ts';
import { decodeInode, type InodeRecord } from './inode-codec.ts';
import { Inode } from './inode.ts';
import { isDirectory, isRegular } from './mode.ts';
import { Miss } from '../miss.ts';
import { BlockVersion } from '../journal/named-block.ts';
import type { NameHash } from '../names/name-hash.ts';

/** Inodes in memory unless told otherwise; those in use or not written yet come on top. */
export const defaultCachedInodes = 32_768;
/** Inodes that are looked at for eviction at once, so that no call takes long, and additions in between. */
const evictionSlice = 128;
const evictionPace = 32;
/** Bytes of extended attributes in memory, of inodes that have many; those in use or not written yet come on top. */
const maxXattrBytes = 32 * 1024 * 1024;
/** Inodes with fewer of them are bounded by their number alone. */
const manyXattrBytes = 1024;
/** Absent numbers remembered. */
const maxAbsent = 1024;

/** The record of a new inode. */
export type NewInode = Omit<
  InodeRecord,
  'inline' | 'extents' | 'allocated' | 'epoch' | 'truncating' | 'previous' | 'xattrs' | 'journaled' | 'calls'
> & {
  readonly xattrs?: ReadonlyMap<string, Uint8Array> | undefined;
};

/** The inodes in memory, by number; others are loaded when needed. Bounded by giving up those that are clean and not in use. */
export class InodeTable {
  readonly #context: VolumeContext;
  readonly #services: ContentServices;
  readonly #trees: NodeCache;
  readonly #hash: NameHash;
  readonly #max: number;
  #added = 0;
  readonly #inodes = new Map<number, Inode>();
  /** Bytes of the extended attributes of those that have many. */
  readonly #xattrs = new Map<number, number>();
  #xattrBytes = 0;
  readonly #loading = new Map<number, Promise<Inode | undefined>>();
  /** Inodes whose records are out of reach, and that operations in memory are about. */
  readonly #standIns = new Map<number, Inode>();
  /** Numbers that were looked for in vain. None of them can appear later, unless by {@link create}. */
  readonly #absent = new Set<number>();
  /** Asked when a record was read, before that is told: what else has to be read first. @throws InfinitError; then it counts as not read. */
  beforeRead: ((number: number, content: () => Content | undefined) => Promise<void> | undefined) | undefined;
  /** Told when a record was read, or that there is none, before anybody else sees the inode. */
  onRead: ((number: number, inode: Inode | undefined) => void) | undefined;
  /** The record of an inode as the journal has it, for one whose place is empty. */
  unplaced: ((number: number) => Uint8Array | undefined) | undefined;
  /** Other hosts still open here what their programs have open. */
  #awaitsOthers: boolean;
  /** True for an inode that must stay though it is clean. */
  readonly #pinned: (inode: Inode) => boolean;

  constructor(context: VolumeContext, services: ContentServices, trees: NodeCache, hash: NameHash, pinned: (inode: Inode) => boolean) {
    this.#context = context;
    this.#services = services;
    this.#trees = trees;
    this.#hash = hash;
    this.#max = context.options.maxCachedInodes ?? defaultCachedInodes;
    this.#awaitsOthers = context.setup.othersOpened !== undefined;
    this.#pinned = pinned;
  }

  get size(): number {
    return this.#inodes.size;
  }

  all(): Iterable<Inode> {
    return this.#inodes.values();
  }

  /** What any program has open is open here from now on, and what nobody has open is not in use. */
  othersOpened(): void {
    this.#awaitsOthers = false;
    for (const inode of this.#inodes.values()) inode.awaited = false;
  }

  /** From memory alone. */
  peek(number: number): Inode | undefined {
    return this.#inodes.get(number);
  }

  /** Whether {@link find} has an answer at once. */
  knows(number: number): boolean {
    return this.#inodes.has(number) || this.#absent.has(number);
  }

  /** @throws Miss, FileSystemError ESTALE where there is none. */
  get(number: number): Inode {
    const inode = this.find(number);
    if (inode === undefined) throw new FileSystemError('ESTALE', `inode ${number} does not exist`);
    return inode;
  }

  /** As {@link get}; undefined where there is none. @throws Miss */
  find(number: number): Inode | undefined {
    const inode = this.#inodes.get(number);
    if (inode === undefined) {
      if (this.#absent.has(number)) return undefined;
      throw new Miss(this.load(number));
    }
    inode.used = true;
    return inode.gone ? undefined : inode;
  }

  /** The directory's names. @throws FileSystemError ENOTDIR */
  names(inode: Inode): Directory {
    if (inode.directory === undefined) throw new FileSystemError('ENOTDIR');
    return inode.directory;
  }

  /** Loads an inode; once however many ask. */
  load(number: number): Promise<Inode | undefined> {
    const known = this.#inodes.get(number);
    if (known !== undefined) return Promise.resolve(known);
    let loading = this.#loading.get(number);
    if (loading === undefined) {
      loading = this.#load(number).finally(() => this.#loading.delete(number));
      this.#loading.set(number, loading);
    }
    return loading;
  }

  /** A new inode, in memory only, under a number that nobody else was given. */
  create(number: number, record: NewInode): Inode {
    const inode = new Inode(
      number,
      BlockVersion.fresh(this.#context, this.#context.inodeAddress(number)),
      { xattrs: undefined, previous: undefined, calls: undefined, journaled: { session: 0, count: 0 }, ...record },
      false,
    );
    this.#equip(inode, undefined, undefined, true);
    inode.revision = 1;
    this.#absent.delete(number);
    this.#inodes.set(number, inode);
    this.weigh(inode);
    this.evict();
    return inode;
  }

  /** As {@link create}, of one that was made at a host that had the volume before: its record may be in the store, and programs may have it open that are not counted here. */
  createAgain(number: number, record: NewInode): Inode {
    const inode = this.create(number, record);
    inode.block.doubt();
    inode.uncounted = this.#isUncounted;
    inode.awaited = this.#awaitsOthers;
    return inode;
  }

  /** An inode whose record is out of reach, for operations on names: it is not found here until it is read. */
  standIn(number: number, mode: number): Inode {
    let inode = this.#standIns.get(number);
    if (inode !== undefined) return inode;
    const never = { seconds: 0, nanoseconds: 0 };
    const nothing = { uid: 0, gid: 0, links: 0, device: 0, size: 0, parent: 0, accessed: never, modified: never, changed: never, target: undefined };
    const record = { ...nothing, mode, xattrs: undefined, previous: undefined, calls: undefined, journaled: { session: 0, count: 0 } };
    inode = new Inode(number, new BlockVersion(this.#context, this.#context.inodeAddress(number), undefined), record, true);
    inode.standIn = { linked: false, bytes: 0 };
    if (inode.isDirectory) this.#equip(inode, undefined, undefined, false);
    this.#standIns.set(number, inode);
    return inode;
  }

  standIns(): Iterable<Inode> {
    return this.#standIns.values();
  }

  /** It turned out that there is no such inode. */
  takeStandIn(number: number): Inode | undefined {
    const inode = this.#standIns.get(number);
    this.#standIns.delete(number);
    return inode;
  }

  /** Its block is removed. */
  forget(inode: Inode): void {
    this.#drop(inode.number);
  }

  /** Its extended attributes may be others than before, and it has been marked as changed if so. */
  weigh({ number, xattrs }: Inode): void {
    this.#lighten(number);
    if (xattrs === undefined) return;
    let bytes = 0;
    for (const [name, value] of xattrs) bytes += name.length + value.length;
    if (bytes < manyXattrBytes) return;
    this.#xattrs.set(number, bytes);
    this.#xattrBytes += bytes;
    this.#evictHeavy();
  }

  /** Gives up some of those with many extended attributes where these are too much: as {@link evict}. */
  #evictHeavy(): void {
    let looked = 0;
    for (const [number, bytes] of this.#xattrs) {
      if (this.#xattrBytes <= maxXattrBytes || looked++ >= evictionSlice) return;
      const inode = this.#inodes.get(number)!;
      if (!inode.used && this.#evictable(inode)) this.#drop(number);
      else {
        inode.used = false;
        this.#xattrs.delete(number);
        this.#xattrs.set(number, bytes);
      }
    }
  }

  #drop(number: number): void {
    this.#inodes.delete(number);
    this.#lighten(number);
  }

  #lighten(number: number): void {
    this.#xattrBytes -= this.#xattrs.get(number) ?? 0;
    this.#xattrs.delete(number);
  }

  /** Gives up some clean, unused inodes where there are too many. */
  evict(): void {
    if (this.#inodes.size <= this.#max || ++this.#added < evictionPace) return;
    this.#added = 0;
    let looked = 0;
    for (const [number, inode] of this.#inodes) {
      if (this.#inodes.size <= this.#max || looked++ >= evictionSlice) return;
      this.#inodes.delete(number);
      if (inode.used || !this.#evictable(inode)) {
        inode.used = false;
        this.#inodes.set(number, inode);
      } else this.#lighten(number);
    }
  }

  /** Gives up all that can be given up. */
  clear(): void {
    for (const [number, inode] of this.#inodes) if (this.#evictable(inode)) this.#drop(number);
  }

  #evictable(inode: Inode): boolean {
    if (inode.dirty || inode.handles > 0 || inode.busy !== undefined || !inode.failureSeen || inode.links === 0) return false;
    return (inode.directory?.overlay.size ?? 0) === 0 && !this.#pinned(inode);
  }

  async #load(number: number): Promise<Inode | undefined> {
    const address = this.#context.inodeAddress(number);
    const block = await this.#context.store.fetch(address);
    const known = this.#inodes.get(number);
    if (known !== undefined) return known;
    const unplaced = block === undefined ? this.unplaced?.(number) : undefined;
    const body = unplaced ?? (block === undefined ? undefined : this.#context.sealer.openPayload(address, block.payload).body);
    if (body === undefined) {
      if (this.#absent.size >= maxAbsent) this.#absent.clear();
      this.#absent.add(number);
      this.onRead?.(number, undefined);
      return undefined;
    }
    const record = decodeInode(body, `inode ${number} of volume ${this.#context.volumeId}`);
    const content = (): Content | undefined =>
      isRegular(record.mode) ? new Content(this.#services, number, record.inline, record.extents) : undefined;
    const needs = this.beforeRead?.(number, content);
    if (needs !== undefined) {
      await needs;
      const made = this.#inodes.get(number);
      if (made !== undefined) return made;
    }
    const stood = this.takeStandIn(number);
    const inode = stood ?? new Inode(number, new BlockVersion(this.#context, address, block?.version ?? 0), record, true);
    stood?.block.written(block?.version ?? 0);
    inode.fill(record);
    inode.unplaced = unplaced;
    // It may have been given up earlier, with the count of its references, and be open all the same.
    inode.uncounted = this.#isUncounted;
    // Directories are not opened again: nobody would be waited for.
    inode.awaited = this.#awaitsOthers && !inode.isDirectory;
    this.#equip(inode, record.inline, record.extents, false);
    // A large truncation that a crash interrupted goes on.
    if (record.truncating) inode.content?.punch(inode.size, Infinity);
    this.#inodes.set(number, inode);
    this.onRead?.(number, inode);
    this.weigh(inode);
    this.evict();
    return inode;
  }

  get #isUncounted(): boolean {
    const { resumed, kernelOpens } = this.#context.setup;
    return resumed === true || kernelOpens === true;
  }

  #equip(inode: Inode, inline: Uint8Array | undefined, extents: Uint8Array | undefined, fresh: boolean): void {
    if (isRegular(inode.mode)) inode.content = new Content(this.#services, inode.number, inline, extents);
    else if (isDirectory(inode.mode)) {
      const tree = new BLinkTree(this.#context.address(`directory:${inode.number}`), {
        store: this.#context.store,
        sealer: this.#context.nodeSealer(inode.number),
        cache: this.#trees,
        leased: true,
        missingRoot: fresh ? 'fresh' : 'create',
      });
      // One that stood for itself has names of this session.
      inode.directory ??= new Directory(inode.number, tree, this.#hash, fresh);
    }
  }
}
