import { type Clock, InfinitError, KeyedQueue, type Records, systemClock } from '../../base/index.ts';
import {
  type AttributeChanges,
  type Attributes,
  type Caller,
  type Created,
  type DirectoryEntry,
  type ExchangeRequest,
  type FileLock,
  type FileSystem,
  FileSystemError,
  type FileSystemStatistics,
  type KernelCache,
  type KernelRequest,
  type LockOwner,
  type MaybePromise,
} from '../file-system.ts';
import { openAccessMask, openTruncate } from '../inodes/mode.ts';
import { Borrowing, type BorrowingEvents } from './borrowing.ts';
import type { GrantKey } from './grants.ts';
import { GuestCache } from './guest-cache.ts';
import { GuestMappings } from './guest-mappings.ts';
import { GuestView } from './guest-view.ts';
import type { Backing, Done, Greeting, ResultOf } from './backing.ts';
import { includes } from './done-calls.ts';
import { effectsOf } from './effects.ts';
import { HolderLink } from './holder-link.ts';
import { type HostMemory, memoryOfHost } from './host-memory.ts';
import { MadeFiles } from './made-files.ts';
import { type SayTarget, sayingTo } from './say-target.ts';
import { inodeOfLocks } from './lent-locks.ts';
import { LostWrites } from './lost-writes.ts';
import { OpenHandles } from './open-handles.ts';
import { ProgramLocks, type ProgramLocksEvents } from './program-locks.ts';
import { ProgramView } from './program-view.ts';
import { ProgramWrites } from './program-writes.ts';
import { Settling } from './settling.ts';
import { Undelivered } from './undelivered.ts';
import type { Unsaid } from './unsaid-memory.ts';

/** What outlives this process, and who is told. */
export interface SharedOptions {
  /** Told when a program has heard what was lost of an inode. */
  readonly onSaid?: (inode: number) => void;
  /** What the next daemon of the mount will know of its programs' locks, and what the one before left. */
  readonly records?: Records | undefined;
  /** Names the mount over all its daemons. */
  readonly mount?: string | undefined;
  readonly clock?: Clock;
  /** Told what of a guest's programs' writes is not durable, and what never will be. */
  readonly written?: Pick<BorrowingEvents, 'onDirty' | 'onClean' | 'onLost'>;
  /** Told what keeps programs of this host from changing anything. */
  readonly onFenced?: ProgramLocksEvents['onFenced'];
  /** Where that outlives this process, and what the one before left there. */
  readonly unsaid?: Unsaid | undefined;
}

/**
 * A volume that several hosts have mounted: one of them, the holder of the volume's lease, has it open, and the others send it their operations.
 * So there is one order of all operations, one set of locks, and nothing stale. What a guest has in memory the holder asks back before it changes: see {@link GuestCache}. When the lease moves, handles are opened again and
 * locks taken again at the new host; operations wait meanwhile.
 */
export class SharedFileSystem implements FileSystem {
  readonly #holder: HolderLink;
  readonly #undelivered = new Undelivered();
  readonly #files: OpenHandles;
  readonly #locks: ProgramLocks;
  readonly #lost: LostWrites;
  readonly #cache: GuestCache;
  readonly #made: MadeFiles;
  /** What a guest's programs write. */
  readonly #borrowing: Borrowing;
  readonly #writes: ProgramWrites;
  readonly #mappings: GuestMappings;
  readonly #turns = new KeyedQueue();
  readonly #guest: GuestView;
  readonly #view: ProgramView;
  readonly #settling: Settling;
  readonly #unsaid: Unsaid | undefined;
  #kernel: KernelCache | undefined;
  /** The kernel's request that is being served at this moment. */
  #request: KernelRequest | undefined;

  /**
   * @param self distinguishes this host's lock owners from those of others.
   * @param leaseHeld asked before each answer from this thread: a process that was frozen must not answer for a lease that ended meanwhile.
   */
  constructor(self: string, leaseHeld: () => boolean, options: SharedOptions = {}) {
    const { onSaid = () => {}, onFenced, records, mount, clock = systemClock, written, unsaid } = options;
    this.#unsaid = unsaid;
    this.#cache = new GuestCache(clock);
    // A program hears of a lost lock as of a lost write.
    const onLost = (inode: number): void => {
      this.#lost.add([inode], this.#files.all());
      // Files that were open before this process was become known as they are used.
      this.inheritLost([inode]);
    };
    const greeting: Greeting = {
      makeAgain: (backing) => this.#made.makeAgain(backing),
      lockAgain: async (backing) => {
        await this.#locks.greeting.lockAgain(backing);
        if (this.#holder.backing === backing) await this.#borrowing.left.sayTo(sayingTo(this.#holder, backing));
      },
      saying: () => this.#locks.greeting.saying,
      openAgain: async (backing) => {
        await Promise.all([this.#files.openAgain(backing), this.#borrowing.settleAll().catch(() => {})]);
      },
      openUnsaid: (inodes) => this.#files.openUnsaid(inodes),
      requireLocks: (method, args) => {
        const effects = this.#locks.haveLost ? effectsOf(method, args) : undefined;
        if (effects === undefined || method === 'borrow') return;
        if (method === 'put') this.#locks.requireOwn(effects.inodes[0]!);
        else this.#locks.requireLocks(effects.names.length > 0 ? undefined : effects.inodes[0]);
      },
    };
    this.#holder = new HolderLink(leaseHeld, greeting, this.#cache, clock, unsaid?.memory);
    this.#borrowing = new Borrowing(
      this.#holder,
      this.#cache,
      {
        onDirty: (inode) => written?.onDirty(inode),
        onClean: (inode) => written?.onClean(inode),
        onLost: (inode, error) => {
          written?.onLost(inode, error);
          this.#kernel?.lost(inode);
          // What was written to a file that is gone is lost: no program needs to know more.
          this.#lost.add([inode], this.#files.all(), error.errno === 'ESTALE' ? new FileSystemError('EIO', error.message) : error);
        },
        requireLocks: (inode) => this.#locks.requireLocks(inode),
        requireOwn: (inode) => this.#locks.requireOwn(inode),
        onLeftLost: (inode, error) => {
          written?.onLost(inode, error);
          this.#kernel?.lost(inode, true);
          onLost(inode);
        },
      },
      clock,
      unsaid,
    );
    this.#guest = new GuestView(this.#holder, this.#cache, {
      onBegin: () => this.#borrowing.settleAll(),
      onLook: () => void this.#files.openUnsaid(this.#files.longUnsaid()),
      onEnd: () => this.#kernel?.dropOpen(),
      isInUse: () => this.#files.size > 0,
    });
    this.#files = new OpenHandles(this.#holder, this.#undelivered, (inode) => this.#made.settled(inode));
    this.#view = new ProgramView(this.#holder, this.#cache, this.#borrowing, this.#guest, this.#files);
    this.#mappings = new GuestMappings(this.#holder, this.#borrowing);
    this.#writes = new ProgramWrites(this.#holder, this.#borrowing, this.#files, this.#turns, (inode) => this.#locks.requireLocks(inode));
    this.#made = new MadeFiles(this.#holder, clock, ({ inode, parent, name }, error) => {
      this.#lost.add(name === '' ? [inode] : [inode, parent], this.#files.all(), error);
    });
    this.#locks = new ProgramLocks(self, this.#holder, this.#cache, this.#undelivered, { onLost, onFenced }, clock, records, mount);
    this.#lost = new LostWrites(onSaid);
    // They may not have heard of it from the daemon before.
    this.#lost.inherit(this.#locks.lostOf());
    // Any program may have locks that are not taken again.
    if (records?.areIncomplete === true) this.#lost.inheritAny();
    this.#settling = new Settling({
      holder: this.#holder,
      files: this.#files,
      locks: this.#locks,
      borrowing: this.#borrowing,
      made: this.#made,
      lost: this.#lost,
    });
  }

  /** The lease moved. undefined: nobody has it for now, operations wait. */
  setBacking(backing: Backing | undefined): void {
    if (backing?.kind === 'local' && this.#kernel !== undefined) backing.volume.attach(this.#kernel);
    this.#borrowing.left.leave();
    this.#holder.move(backing);
  }

  /** What a guest's programs wrote under a daemon before this one comes into the volume that was opened in this thread, before anybody sees that: see {@link setBacking}. */
  async takeLeft(target: SayTarget): Promise<void> {
    await this.#borrowing.left.sayTo(target);
  }

  /** Inodes of which that is still to come. */
  leftUnsaid(): Iterable<number> {
    return this.#borrowing.left.inodes();
  }

  appended(inode: number, handle: number, data: Uint8Array, killPrivileges: boolean): MaybePromise<number | undefined> {
    return this.#writes.appended({ inode, handle, offset: undefined, killPrivileges, request: this.#request }, data);
  }

  /** Work that has the number of the kernel's request, though it may have to wait. */
  #asked<T>(work: () => T): () => T {
    const request = this.#request;
    return () => this.#holder.askedBy(request, work);
  }

  /** The host that serves the volume asks for these back. Resolves when nothing is answered from memory of them any more, and it knows what is open. */
  async recall(keys: readonly GrantKey[]): Promise<void> {
    this.#cache.recall(keys);
    const inodes = keys.filter((key) => key > 0 && inodeOfLocks(key) === undefined);
    await Promise.all([
      ...inodes.map(async (inode) => this.#borrowing.settle(inode)),
      ...keys.map(async (key) => {
        const locked = inodeOfLocks(key);
        if (locked !== undefined) await this.#locks.recalled(locked);
      }),
    ]);
    await Promise.all([this.#files.openUnsaid(inodes), ...inodes.map(async (inode) => this.#kernel?.drop(inode))]);
  }

  /** The volume is open in this thread, and these are about to change: resolves when this host's kernel asks before it believes what it was told of them. */
  async distrust(inodes: readonly GrantKey[]): Promise<void> {
    await Promise.all(inodes.map(async (inode) => this.#kernel?.distrust(inode)));
  }

  /** Writes to these inodes were acknowledged and are gone: programs hear of it, see {@link LostWrites}. */
  markLost(inodes: Iterable<number>): void {
    this.#lost.add(inodes, this.#files.all());
    for (const inode of inodes) this.#kernel?.lost(inode);
  }

  /** As {@link markLost}, of the process before this one. */
  inheritLost(inodes: Iterable<number>): void {
    this.#lost.inherit(inodes);
  }

  /** As {@link inheritLost}, where nobody knows of which inodes. */
  inheritAnyLost(): void {
    this.#lost.inheritAny();
  }

  inherited(_inode: number, handle: number): void {
    const known = this.#files.get(handle);
    if (known !== undefined) this.#lost.wasOpen(known);
  }

  /** This host was given up by one that serves the volume no more: its programs' locks went to others. */
  loseLocks(): void {
    this.#locks.loseAll();
  }

  /** Resolves when the host that serves the volume knows which locks this host's programs have. */
  relocked(): Promise<void> {
    return this.#holder.relocked();
  }

  /** The volume where it is open in this thread and the lease is good at this moment. */
  get local(): FileSystem | undefined {
    return this.#holder.local;
  }

  attach(kernel: KernelCache): void {
    this.#kernel = kernel;
    this.local?.attach(kernel);
  }

  /** What the kernel may cache follows the lease; undefined where nobody serves a kernel. */
  get kernel(): KernelCache | undefined {
    return this.#kernel;
  }

  asking(request: KernelRequest | undefined): void {
    this.#request = request;
    this.#holder.asking(request);
  }

  lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    return this.#view.lookup(parent, name);
  }
  forget(inode: number, count: number): void {
    const { backing } = this.#holder;
    // Also in a lapse of the lease: the kernel says it once, and afterwards the same volume goes on.
    if (backing?.kind === 'local') backing.volume.forget(inode, count);
  }
  getattr(inode: number): MaybePromise<Attributes> {
    return this.#view.getattr(inode);
  }
  setattr(inode: number, changes: AttributeChanges): MaybePromise<Attributes> {
    this.#locks.requireLocks(inode);
    return this.#borrowing.change(inode, changes) ?? this.#borrowing.shared(inode, () => this.#holder.do('setattr', inode, changes));
  }
  isGuarded(inode: number): boolean {
    return this.#view.isGuarded(inode);
  }
  guardedMs(attributes: Attributes): number {
    return this.#view.guardedMs(attributes);
  }
  mapping(inode: number): MaybePromise<string | undefined> {
    return this.#mappings.name(inode);
  }
  readlink(inode: number): MaybePromise<string> {
    return this.#view.readlink(inode);
  }
  symlink(parent: number, name: string, target: string, caller: Caller): MaybePromise<Attributes> {
    return this.#holder.do('symlink', parent, name, target, caller);
  }
  mknod(parent: number, name: string, mode: number, device: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    return this.#holder.do('mknod', parent, name, mode, device, umask, caller);
  }
  mkdir(parent: number, name: string, mode: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    return this.#holder.do('mkdir', parent, name, mode, umask, caller);
  }
  unlink(parent: number, name: string): MaybePromise<void> {
    const unlink = this.#asked(() => this.#holder.do('unlink', parent, name));
    return this.#borrowing.sharedByName([this.#view.inodeOf(parent, name)], unlink);
  }
  rmdir(parent: number, name: string): MaybePromise<void> {
    return this.#holder.do('rmdir', parent, name);
  }
  rename(parent: number, name: string, newParent: number, newName: string, flags: number, request?: ExchangeRequest): MaybePromise<void> {
    const inodes = [this.#view.inodeOf(parent, name), this.#view.inodeOf(newParent, newName)];
    const rename = this.#asked(() => this.#holder.do('rename', parent, name, newParent, newName, flags, request));
    return this.#borrowing.sharedByName(inodes, rename);
  }
  link(inode: number, newParent: number, newName: string): MaybePromise<Attributes> {
    return this.#borrowing.shared(
      inode,
      this.#asked(() => this.#holder.do('link', inode, newParent, newName)),
    );
  }
  open(inode: number, flags: number): MaybePromise<number> {
    if ((flags & openTruncate) !== 0) return this.#borrowing.shared(inode, () => this.#openThere(inode, flags));
    const reads = (flags & openAccessMask) === 0;
    return reads && this.#guest.has(inode) ? this.#files.keepUnsaid(inode, flags, false) : this.#openThere(inode, flags);
  }
  async #openThere(inode: number, flags: number): Promise<number> {
    const { value, generation } = await this.#open('open', inode, flags);
    return this.#files.keep(inode, flags, false, generation, value);
  }
  async create(parent: number, name: string, mode: number, umask: number, flags: number, caller: Caller): Promise<Created> {
    const known = (flags & openTruncate) === 0 ? undefined : this.#view.inodeOf(parent, name);
    const create = this.#asked(() => this.#open('create', parent, name, mode, umask, flags, caller));
    const created = this.#borrowing.sharedByName([known], create);
    const { value, generation, isRemote } = await created;
    const { attributes, made } = value;
    const handle = this.#files.keep(attributes.inode, flags, false, generation, value.handle);
    if (made === true && isRemote) await this.#made.add({ inode: attributes.inode, parent, name, mode, umask, caller, attributes }, generation);
    return { attributes, handle };
  }
  async tmpfile(parent: number, mode: number, umask: number, flags: number, caller: Caller): Promise<{ attributes: Attributes; handle: number }> {
    const { value, generation, isRemote } = await this.#open('tmpfile', parent, mode, umask, flags, caller);
    const { attributes } = value;
    const handle = this.#files.keep(attributes.inode, flags, false, generation, value.handle);
    if (isRemote) await this.#made.add({ inode: attributes.inode, parent, name: '', mode, umask, caller, attributes }, generation);
    return { attributes, handle };
  }
  read(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    return this.#view.read(inode, handle, offset, length);
  }
  write(inode: number, handle: number, offset: number, data: Uint8Array, killPrivileges: boolean, append = false): MaybePromise<number> {
    return this.#writes.write({ inode, handle, offset: append ? undefined : offset, killPrivileges, request: this.#request }, data);
  }
  writeMapped(inode: number, handle: number, offset: number, data: Uint8Array): MaybePromise<number> {
    return this.#writes.write({ inode, handle, offset, killPrivileges: false, within: true, request: this.#request }, data);
  }
  flush(inode: number, handle: number, lockOwner: LockOwner): MaybePromise<void> {
    return this.#settling.flush(inode, handle, lockOwner);
  }
  async release(inode: number, handle: number, flockOwner?: LockOwner): Promise<void> {
    await this.#settling.release(inode, handle, flockOwner);
  }
  fsync(inode: number, handle: number, dataOnly: boolean): MaybePromise<void> {
    return this.#settling.fsync(inode, handle, dataOnly);
  }
  fallocate(inode: number, handle: number, mode: number, offset: number, length: number): MaybePromise<void> {
    return this.#borrowing.shared(inode, () => this.#files.perform('fallocate', inode, handle, mode, offset, length));
  }
  lseek(inode: number, handle: number, offset: number, whence: number): MaybePromise<number> {
    return this.#borrowing.shared(inode, () => this.#files.perform('lseek', inode, handle, offset, whence));
  }
  async copyFileRange(
    inode: number,
    handle: number,
    offset: number,
    toInode: number,
    toHandle: number,
    toOffset: number,
    length: number,
  ): Promise<number> {
    await Promise.all([this.#borrowing.settle(inode), this.#borrowing.settle(toInode)]);
    return this.#holder.call('copyFileRange', async () => [
      inode,
      await this.#files.backing(handle),
      offset,
      toInode,
      await this.#files.backing(toHandle),
      toOffset,
      length,
    ]);
  }
  opendir(inode: number): MaybePromise<number> {
    return this.#guest.hasDirectory(inode) ? this.#files.keepUnsaid(inode, 0, true) : this.#opendirThere(inode);
  }
  async #opendirThere(inode: number): Promise<number> {
    const { value, generation } = await this.#open('opendir', inode);
    return this.#files.keep(inode, 0, true, generation, value);
  }
  readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    return this.#view.readdir(inode, handle, cookie, limit, attributes);
  }
  async releasedir(inode: number, handle: number): Promise<void> {
    await this.#files.letGo('releasedir', inode, handle);
  }
  fsyncdir(inode: number, handle: number): MaybePromise<void> {
    return this.#settling.fsyncdir(inode, handle);
  }
  async syncfs(): Promise<void> {
    await this.#settling.syncfs();
  }
  statfs(): MaybePromise<FileSystemStatistics> {
    return this.#holder.do('statfs');
  }
  setxattr(inode: number, name: string, value: Uint8Array, flags: number, killSetgid: boolean): MaybePromise<void> {
    const own = Uint8Array.from(value);
    const args = [inode, name, own, flags, killSetgid];
    const set = (): MaybePromise<void> => this.#borrowing.shared(inode, () => this.#holder.do('setxattr', ...args));
    return includes('setxattr', args) ? this.#inTurn(inode, set) : set();
  }
  getxattr(inode: number, name: string): MaybePromise<Uint8Array> {
    return this.#view.getxattr(inode, name);
  }
  listxattr(inode: number): MaybePromise<readonly string[]> {
    return this.#view.listxattr(inode);
  }
  removexattr(inode: number, name: string): MaybePromise<void> {
    return this.#inTurn(inode, () => this.#borrowing.shared(inode, () => this.#holder.do('removexattr', inode, name)));
  }
  /** As {@link ProgramWrites} does it. */
  #inTurn<T>(inode: number, work: () => MaybePromise<T>): MaybePromise<T> {
    return this.local === undefined ? this.#turns.run(String(inode), async () => work()) : work();
  }
  getlk(inode: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    return this.#locks.get(inode, lock);
  }
  setlk(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): Promise<void> {
    return this.#settling.setlk(inode, lock, wait, signal);
  }
  get memory(): HostMemory {
    return memoryOfHost({
      holder: this.#holder,
      files: this.#files,
      borrowing: this.#borrowing,
      made: this.#made,
      undelivered: this.#undelivered,
      locks: this.#locks,
      cache: this.#cache,
      turns: this.#turns,
      unsaid: this.#unsaid,
    });
  }
  /** What a guest's programs wrote is durable. @throws InfinitError */
  async settle(): Promise<void> {
    await this.#borrowing.settleAll();
  }
  async close(): Promise<void> {
    await this.settle();
    await this.#locks.giveBackAll();
    this.#borrowing.close();
    this.#guest.close();
    const { backing } = this.#holder;
    if (backing?.kind !== 'local') return;
    if (!this.#holder.leaseHeld) throw new InfinitError('unavailable', 'the lease of the volume cannot be renewed');
    await backing.volume.close();
  }

  /** Performs what opens something. */
  async #open<M extends 'open' | 'create' | 'tmpfile' | 'opendir'>(method: M, ...args: readonly unknown[]): Promise<Done<ResultOf<M>>> {
    this.#undelivered.requireRoom();
    return this.#holder.doOnce(method, ...args);
  }
}
