import type { Address } from '../block/index.ts';
import type { CallName, CallTable } from './journal/call-table.ts';
import { checkOpen, type CheckReport } from './check.ts';
import type { VolumeSetup } from './context.ts';
import type { Claims, VolumeCore } from './core.ts';
import {
  type AttributeChanges,
  type Attributes,
  type Caller,
  type Created,
  type DirectoryEntry,
  type EarlyAnswer,
  type ExchangeRequest,
  type FileLock,
  type FileSystem,
  FileSystemError,
  type FileSystemStatistics,
  type KernelCache,
  type LockOwner,
  type MaybePromise,
} from './file-system.ts';
import { asFileSystemError } from './failure.ts';
import { Files } from './files.ts';
import { Images } from './inodes/images.ts';
import { Handles } from './handles.ts';
import type { Inode } from './inodes/inode.ts';
import { outcomeIn } from './inodes/inode-calls.ts';
import type { Usage } from './journal/journal-codec.ts';
import { keepShown } from './keep-shown.ts';
import { Lending } from './lending.ts';
import { list } from './names/listing.ts';
import { gatherLost } from './lost-and-found.ts';
import { FileLocks } from './locks/file-locks.ts';
import type { MadeFile } from './journal/made-file.ts';
import { attempt } from './miss.ts';
import { openExclusive, typeMask, typeRegular, typeSymlink } from './inodes/mode.ts';
import { mount } from './mount.ts';
import { type KernelPages, noteKernelPages, readKernelPages } from './content/kernel-pages.ts';
import { Namespace } from './names/namespace.ts';
import { Quota } from './quota.ts';
import { expect, forget } from './inodes/references.ts';
import { rename } from './names/rename.ts';
import { changeAttributes } from './inodes/set-attributes.ts';
import { type OwnedBlock, unreferencedBlocks } from './removal/unreferenced.ts';
import type { Shown } from './shared/index.ts';
import { memoryOf, type VolumeMemory } from './volume-memory.ts';
import { getXattr, removeXattr, setXattr } from './inodes/xattrs.ts';

/**
 * A POSIX file system over a block store: see {@link FileSystem} for the contract, docs/architecture.md for the whole, and miss.ts for
 * what makes its operations atomic. This class only says which part does what.
 */
export class Volume implements FileSystem {
  /** Opens a volume, a new one too; this is its only user while it is open. @throws InfinitError */
  static async open(setup: VolumeSetup): Promise<Volume> {
    return new Volume(await mount(setup));
  }

  /** What other hosts may keep in memory. */
  readonly images: Images;
  readonly lending: Lending;
  readonly #core: VolumeCore;
  readonly #names: Namespace;
  readonly #files: Files;
  readonly locks = new FileLocks(() => this.#core.claims);
  readonly #quota: Quota;

  private constructor(core: VolumeCore) {
    this.#core = core;
    this.#names = new Namespace(core);
    this.images = new Images(core, this.#names);
    this.#quota = new Quota(core);
    this.#files = new Files(core, new Handles(core.context.session), this.#quota);
    this.lending = new Lending(core, this.images, this.#files, this.#quota);
  }

  lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    return attempt(() => {
      const inode = this.#names.lookup(parent, name);
      return inode === undefined ? undefined : this.#entry(this.#core.shown(inode));
    });
  }

  forget(number: number, count: number): void {
    forget(this.#core, number, count);
  }

  /** {@link expect} */
  expect(number: number): (() => void) | undefined {
    return expect(this.#core, number);
  }

  getattr(number: number): MaybePromise<Attributes> {
    return attempt(() => this.#core.shown(this.#core.table.get(number)).attributes());
  }

  setattr(number: number, changes: AttributeChanges): MaybePromise<Attributes> {
    return attempt(() => {
      const inode = this.#core.toChange(number);
      if (changes.size !== undefined) this.#files.truncate(inode, changes.size);
      changeAttributes(this.#core, inode, changes);
      return inode.attributes();
    });
  }

  readlink(number: number): MaybePromise<string> {
    return attempt(() => {
      const { target } = this.#core.table.get(number);
      if (target === undefined) throw new FileSystemError('EINVAL');
      return target;
    });
  }

  symlink(parent: number, name: string, target: string, caller: Caller): MaybePromise<Attributes> {
    return attempt(() => this.#entry(this.#names.make(parent, name, { mode: typeSymlink | 0o777, target, umask: 0, caller })));
  }

  mknod(parent: number, name: string, mode: number, device: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    // A type of 0 means a regular file: mknod(2).
    const full = (mode & typeMask) === 0 ? mode | typeRegular : mode;
    return attempt(() => {
      if ((full & typeMask) === typeRegular) this.#quota.checkNew(() => this.#names.lookup(parent, name));
      return this.#entry(this.#names.make(parent, name, { mode: full, device, umask, caller }));
    });
  }

  mkdir(parent: number, name: string, mode: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    return attempt(() => this.#entry(this.#names.make(parent, name, { mode: (mode & ~typeMask) | 0o040000, umask, caller })));
  }

  unlink(parent: number, name: string): MaybePromise<void> {
    return attempt(() => this.#names.unlink(parent, name));
  }

  rmdir(parent: number, name: string): MaybePromise<void> {
    return attempt(() => this.#names.rmdir(parent, name));
  }

  rename(parent: number, name: string, newParent: number, newName: string, flags: number, request?: ExchangeRequest): MaybePromise<void> {
    return attempt(() => rename(this.#core, this.#names, parent, name, newParent, newName, flags, request));
  }

  link(number: number, newParent: number, newName: string): MaybePromise<Attributes> {
    return attempt(() => this.#entry(this.#names.link(number, newParent, newName)));
  }

  open(number: number, flags: number): MaybePromise<number> {
    return attempt(() => this.#files.open(this.#core.table.get(number), flags));
  }

  create(parent: number, name: string, mode: number, umask: number, flags: number, caller: Caller): MaybePromise<Created> {
    return attempt(() => {
      const known = this.#names.lookup(parent, name);
      if (known !== undefined && (flags & openExclusive) !== 0) throw new FileSystemError('EEXIST');
      this.#quota.checkNew(() => known);
      if (known !== undefined) this.#core.shown(known);
      const inode = known ?? this.#names.make(parent, name, { mode: (mode & ~typeMask) | typeRegular, umask, caller });
      const handle = this.#files.open(inode, flags);
      return { attributes: this.#entry(inode), handle, made: known === undefined };
    });
  }

  tmpfile(parent: number, mode: number, umask: number, flags: number, caller: Caller): MaybePromise<{ attributes: Attributes; handle: number }> {
    return attempt(() => {
      this.#quota.checkNew(() => undefined);
      const inode = this.#names.makeUnnamed(parent, { mode: (mode & ~typeMask) | typeRegular, umask, caller });
      const handle = this.#files.open(inode, flags);
      return { attributes: this.#entry(inode), handle };
    });
  }

  read(number: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    return this.#files.read(number, handle, offset, length);
  }

  write(
    number: number,
    _handle: number,
    offset: number,
    data: Uint8Array,
    killPrivileges: boolean,
    _append = false,
    keepTimes = false,
  ): MaybePromise<number> {
    return this.#files.write(number, offset, data, { kill: killPrivileges, keepTimes });
  }

  writeMapped(number: number, _handle: number, offset: number, data: Uint8Array): MaybePromise<number> {
    return this.#files.write(number, offset, data, { within: true });
  }

  /** Writes behind what is there: a kernel of several places it at the end of the file as it last knew that. */
  append(number: number, _handle: number, data: Uint8Array, killPrivileges: boolean): MaybePromise<number> {
    return this.#files.write(number, undefined, data, { kill: killPrivileges });
  }

  flush(number: number, handle: number, lockOwner: LockOwner): MaybePromise<void> {
    this.locks.release(number, 'posix', lockOwner);
    this.#files.reportFailure(number, handle);
  }

  release(number: number, handle: number, flockOwner?: LockOwner): MaybePromise<void> {
    if (flockOwner !== undefined) this.locks.release(number, 'flock', flockOwner);
    this.#files.close(number, handle);
  }

  fsync(number: number, handle: number, _dataOnly: boolean, answer?: EarlyAnswer): MaybePromise<void> {
    return this.#files.sync(number, handle, answer);
  }

  fallocate(number: number, _handle: number, mode: number, offset: number, length: number): MaybePromise<void> {
    return attempt(() => this.#files.allocate(number, mode, offset, length));
  }

  lseek(number: number, _handle: number, offset: number, whence: number): MaybePromise<number> {
    return attempt(() => this.#files.seek(number, offset, whence));
  }

  copyFileRange(
    number: number,
    _handle: number,
    offset: number,
    toInode: number,
    _toHandle: number,
    toOffset: number,
    length: number,
  ): MaybePromise<number> {
    return this.#files.copy(number, offset, toInode, toOffset, length);
  }

  opendir(number: number): MaybePromise<number> {
    return attempt(() => this.#files.openDirectory(this.#core.table.get(number)));
  }

  readdir(number: number, _handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    const unreadable = new Set<number>();
    return attempt(() => list(this.#core, this.#core.table.get(number), cookie, limit, attributes, unreadable).entries);
  }

  releasedir(number: number, handle: number): MaybePromise<void> {
    this.#files.close(number, handle);
  }

  fsyncdir(number: number, handle: number): MaybePromise<void> {
    return this.#files.sync(number, handle);
  }

  async syncfs(): Promise<void> {
    try {
      await this.#core.flusher.flushAll();
    } catch (error) {
      throw asFileSystemError(error);
    }
  }

  /** Which calls of other hosts were done here, and at hosts that had the volume before. */
  get calls(): CallTable {
    return this.#core.journal.calls;
  }

  /** Whether a call is done that changed an inode beside names; undefined: nobody knows. @param memory of calls when it was first made. @throws FileSystemError ESTALE where the inode is gone. */
  callOutcome(number: number, call: CallName, memory: number): MaybePromise<'done' | 'not done' | undefined> {
    return attempt(() => outcomeIn(this.#core.table.get(number).calls, call, memory, this.calls.memory));
  }

  /** The answer to a call that was done before. @throws FileSystemError ESTALE where the inode is gone since. */
  entry(number: number): MaybePromise<Attributes> {
    return attempt(() => this.#entry(this.#core.table.get(number)));
  }

  /** Whether there is such an inode. */
  isMade(number: number): MaybePromise<boolean> {
    return attempt(() => this.#core.table.find(number) !== undefined);
  }

  /** {@link Namespace.makeAgain}. Its room was counted when it was made. */
  remake(made: MadeFile): MaybePromise<Attributes> {
    return attempt(() => this.#entry(this.#names.makeAgain(made)));
  }

  /** From now on nothing changes that another host has in memory, before that gave it up. */
  guard(claims: Claims): void {
    this.#core.claims = claims;
  }

  /** A new quota, in bytes; undefined: none. */
  resize(bytes: number | undefined): void {
    this.#quota.limit = bytes;
  }

  statfs(): FileSystemStatistics {
    return this.#quota.statistics();
  }

  setxattr(number: number, name: string, value: Uint8Array, flags: number, killSetgid: boolean): MaybePromise<void> {
    const own = new Uint8Array(value);
    return attempt(() => {
      const inode = this.#core.toChange(number);
      this.#core.flusher.checkXattrRoom();
      setXattr(this.#core, inode, name, own, flags, killSetgid);
      return this.#core.unwrittenXattrs.wait();
    });
  }

  getxattr(number: number, name: string): MaybePromise<Uint8Array> {
    return attempt(() => getXattr(this.#core.table.get(number), name));
  }

  listxattr(number: number): MaybePromise<readonly string[]> {
    return attempt(() => [...(this.#core.table.get(number).xattrs?.keys() ?? [])]);
  }

  removexattr(number: number, name: string): MaybePromise<void> {
    return attempt(() => {
      const inode = this.#core.toChange(number);
      removeXattr(this.#core, inode, name);
    });
  }

  getlk(number: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    return this.locks.conflict(number, lock);
  }

  setlk(number: number, lock: FileLock, wait: boolean, signal?: AbortSignal): MaybePromise<void> {
    return this.locks.set(number, lock, wait, signal);
  }

  /** Resolves when this host's kernel has no page of the file that is of before; undefined: it has none. */
  dropPages(inode: number): Promise<void> | undefined {
    return this.#core.kernel?.drop(inode);
  }

  attach(kernel: KernelCache): void {
    this.#core.kernel = kernel;
  }

  /**
   * Writes everything out and into its place, so that whoever reads the store sees the volume as it is, and gives up caches. A host that
   * is to *write* it needs more: this one must {@link close} first.
   */
  async recall(): Promise<void> {
    await this.#core.flusher.settle();
    this.#core.table.clear();
    this.#core.blocks.clear();
  }

  /** What the process before had not made durable is in memory here: nothing was lost with it. */
  get survived(): boolean {
    return this.#core.redo?.resumed === true;
  }

  /** What the process before said of the kernel's pages, where this one goes on with what that one left. */
  get kernelPages(): KernelPages {
    const { memory } = this.#core.context.setup;
    return memory === undefined || !this.survived ? 'stale' : readKernelPages(memory);
  }

  /** Outlives this process as what is not synced does. */
  noteKernelPages(pages: KernelPages): void {
    const { memory } = this.#core.context.setup;
    if (memory !== undefined) noteKernelPages(memory, pages);
  }

  /** Inodes of which something that was answered is not durable. */
  unsynced(): Iterable<number> {
    return this.#core.unsynced();
  }

  /** {@link keepShown} */
  keep(shown: Shown): Promise<ReadonlyMap<number, FileSystemError>> | undefined {
    return keepShown(this.#core, shown);
  }

  /** The right to write is gone (a lost lease): nothing more is written or changed, what is in memory is forgotten. */
  async abandon(): Promise<void> {
    this.#core.abandon();
    // Nobody makes room any more.
    this.#core.budget.release();
    await this.#core.flusher.stop();
  }

  async close(): Promise<void> {
    await this.#core.flusher.stop();
    if (this.#core.context.options.readOnly === true) return;
    await this.#core.flusher.settle();
    await this.#core.contents.settled();
    // Another mount looks for contents in their journal only after a crash. A record may have become readable this very moment.
    await this.#core.state.write({ clean: !this.#core.contents.isNeeded });
    this.#core.unread.teller.end();
  }

  /** Which of these blocks nothing refers to, now or ever again. */
  unreferenced(blocks: Iterable<OwnedBlock>): Promise<Address[]> {
    return unreferencedBlocks(this.#core, blocks);
  }

  /** {@link gatherLost} */
  gatherLost(numbers: AsyncIterable<number>): Promise<number> {
    return gatherLost(this.#core, this.#names, numbers);
  }

  /** Looks for what does not fit together while the volume goes on; `repair`: corrects its usage and link counts. */
  check(repair = false): Promise<CheckReport> {
    return checkOpen(this.#core, repair);
  }

  /** What the volume holds as it is in memory. What is not written out yet counts as it was. */
  get usage(): Usage {
    const { allocated, files } = this.#core.usage;
    return { allocated, files };
  }

  get memory(): VolumeMemory {
    return memoryOf(this.#core);
  }

  /** The attributes for a reply that gives the kernel a reference. */
  #entry(inode: Inode): Attributes {
    inode.lookups++;
    return inode.attributes();
  }
}
