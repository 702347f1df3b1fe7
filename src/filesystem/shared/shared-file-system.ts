import { type Clock, InfinitError, type Records, systemClock } from '../../base/index.ts';
import {
  type AttributeChanges,
  type Attributes,
  type Caller,
  type Created,
  type DirectoryEntry,
  type FileLock,
  type FileSystem,
  FileSystemError,
  type FileSystemStatistics,
  type KernelCache,
  type KernelRequest,
  type LockOwner,
  type MaybePromise,
} from '../file-system.ts';
import { Borrowing, type BorrowingEvents } from './borrowing.ts';
import type { GrantKey } from './grants.ts';
import { GuestCache } from './guest-cache.ts';
import { GuestView, isLarge } from './guest-view.ts';
import { type Backing, type Done, type Greeting, HolderLink, Moved, type ResultOf } from './holder-link.ts';
import { MadeFiles } from './made-files.ts';
import { askedBefore } from './resent-append.ts';
import { type SayTarget, sayingTo } from './say-target.ts';
import { LostWrites } from './lost-writes.ts';
import { OpenHandles } from './open-handles.ts';
import { ProgramLocks } from './program-locks.ts';
import { Undelivered } from './undelivered.ts';
import type { Unsaid } from './unsaid-memory.ts';

/** O_WRONLY or O_RDWR, O_TRUNC. */
const [accessMask, truncate] = [3, 0o1000];

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
  /** For a guest. */
  readonly #view: GuestView;
  #kernel: KernelCache | undefined;
  /** The kernel's request that is being served at this moment. */
  #request: KernelRequest | undefined;

  /**
   * @param self distinguishes this host's lock owners from those of others.
   * @param leaseHeld asked before each answer from this thread: a process that was frozen must not answer for a lease that ended meanwhile.
   * @param onSaid told when a program has heard what was lost of an inode.
   * @param records what the next daemon of the mount will know of its programs' locks, and what the one before left.
   * @param mount names the mount over all its daemons.
   * @param written told what of a guest's programs' writes is not durable, and what never will be.
   * @param unsaid where that outlives this process, and what the one before left there.
   */
  constructor(
    self: string,
    leaseHeld: () => boolean,
    onSaid: (inode: number) => void = () => {},
    records?: Records,
    mount?: string,
    clock: Clock = systemClock,
    written?: Pick<BorrowingEvents, 'onDirty' | 'onClean' | 'onLost'>,
    unsaid?: Unsaid,
  ) {
    this.#cache = new GuestCache(clock);
    // A program hears of a lost lock as of a lost write.
    const onLost = (inode: number): void => {
      this.markLost([inode]);
      // Files that were open before this process was become known as they are used.
      this.inheritLost([inode]);
    };
    const greeting: Greeting = {
      makeAgain: (backing) => this.#made.makeAgain(backing),
      lockAgain: async (backing) => {
        await this.#locks.lockAgain(backing);
        if (this.#holder.backing === backing) await this.#borrowing.left.sayTo(sayingTo(this.#holder, backing));
      },
      saying: () => this.#locks.saying,
      openAgain: async (backing) => {
        await Promise.all([this.#files.openAgain(backing), this.#borrowing.settleAll().catch(() => {})]);
      },
      openUnsaid: (inodes) => this.#files.openUnsaid(inodes),
    };
    this.#holder = new HolderLink(leaseHeld, greeting, this.#cache, clock);
    this.#borrowing = new Borrowing(
      this.#holder,
      this.#cache,
      {
        onDirty: (inode) => written?.onDirty(inode),
        onClean: (inode) => written?.onClean(inode),
        onLost: (inode, error) => {
          written?.onLost(inode, error);
          // What was written to a file that is gone is lost: no program needs to know more.
          this.#lost.add([inode], this.#files.all(), error.errno === 'ESTALE' ? new FileSystemError('EIO', error.message) : error);
        },
        onLeftLost: (inode, error) => {
          written?.onLost(inode, error);
          onLost(inode);
        },
      },
      clock,
      unsaid,
    );
    this.#view = new GuestView(this.#holder, this.#cache, {
      onBegin: () => this.#borrowing.settleAll(),
      onLook: () => void this.#files.openUnsaid(this.#files.longUnsaid()),
      onEnd: () => this.#kernel?.dropOpen(),
      isInUse: () => this.#files.size > 0,
    });
    this.#files = new OpenHandles(this.#holder, this.#undelivered, (inode) => this.#made.settled(inode));
    this.#made = new MadeFiles(this.#holder, clock, ({ inode, parent, name }, error) => {
      this.#lost.add(name === '' ? [inode] : [inode, parent], this.#files.all(), error);
    });
    this.#locks = new ProgramLocks(self, this.#holder, this.#undelivered, onLost, records, mount);
    this.#lost = new LostWrites(onSaid);
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

  appended(inode: number, request: KernelRequest): MaybePromise<number | undefined> {
    return this.#borrowing.left.appended(request.number) ?? (this.local === undefined ? askedBefore(this.#holder, inode, request) : undefined);
  }

  /** The host that serves the volume asks for these back. Resolves when nothing is answered from memory of them any more, and it knows what is open. */
  async recall(keys: readonly GrantKey[]): Promise<void> {
    this.#cache.recall(keys);
    const inodes = keys.filter((key) => key > 0);
    await Promise.all(inodes.map(async (inode) => this.#borrowing.settle(inode)));
    await Promise.all([this.#files.openUnsaid(inodes), ...inodes.map(async (inode) => this.#kernel?.drop(inode))]);
  }

  /** Writes to these inodes were acknowledged and are gone: programs hear of it, see {@link LostWrites}. */
  markLost(inodes: Iterable<number>): void {
    this.#lost.add(inodes, this.#files.all());
  }

  /** As {@link markLost}, of the process before this one. */
  inheritLost(inodes: Iterable<number>): void {
    this.#lost.inherit(inodes);
  }

  inherited(_inode: number, handle: number): void {
    const known = this.#files.get(handle);
    if (known !== undefined) this.#lost.wasOpen(known);
  }

  /** Makes something durable. What it was to make durable may have been lost before it began, or while it waited for the next host that serves the volume. */
  async #sync(inode: number, handle: number, sync: () => Promise<void>): Promise<void> {
    this.#lost.say(inode, this.#files.get(handle), 'sync');
    await sync();
    this.#lost.say(inode, this.#files.get(handle), 'sync');
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
    const { generation } = this.#holder;
    const { isEmpty } = this.#borrowing;
    const found = this.#settled([], () => this.#lookup(parent, name));
    return isEmpty || !(found instanceof Promise) ? found : this.#afterMove(generation, found);
  }
  #lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    if (this.local !== undefined) return this.#withOwnWrites(this.#holder.do('lookup', parent, name));
    const inode = this.#cache.inodeOf(parent, name);
    const own = inode === undefined ? undefined : this.#borrowing.attributes(inode);
    return own ?? this.#withOwnWrites(this.#view.lookup(parent, name));
  }
  /** Where another host came to serve the volume meanwhile, it may have answered before it heard what was written here. */
  async #afterMove(generation: number, asked: Promise<Attributes | undefined>): Promise<Attributes | undefined> {
    const found = await asked;
    return found === undefined || generation === this.#holder.generation ? found : this.getattr(found.inode);
  }
  /** What was found out elsewhere has all that this host's programs wrote. */
  #withOwnWrites(found: MaybePromise<Attributes | undefined>): MaybePromise<Attributes | undefined> {
    if (this.#borrowing.isEmpty) return found;
    if (found instanceof Promise) return found.then((attributes) => this.#withOwnWrites(attributes));
    return found !== undefined && this.#borrowing.has(found.inode) ? this.getattr(found.inode) : found;
  }
  forget(inode: number, count: number): void {
    const { backing } = this.#holder;
    // Also in a lapse of the lease: the kernel says it once, and afterwards the same volume goes on.
    if (backing?.kind === 'local') backing.volume.forget(inode, count);
  }
  getattr(inode: number): MaybePromise<Attributes> {
    const own = this.#borrowing.attributes(inode);
    if (own !== undefined) return own;
    return this.#borrowing.shared(inode, () => (this.local === undefined ? this.#view.getattr(inode) : this.#holder.do('getattr', inode)));
  }
  setattr(inode: number, changes: AttributeChanges): MaybePromise<Attributes> {
    return this.#borrowing.change(inode, changes) ?? this.#borrowing.shared(inode, () => this.#holder.do('setattr', inode, changes));
  }
  /** A file that is small comes with one answer, and has no pages that would have to be dropped. Where the volume is open here its guests change it through {@link CallServer}. */
  isGuarded(inode: number): boolean {
    const { local } = this;
    if (local === undefined) return this.#view.isLarge(inode);
    const known = local.getattr(inode);
    if (known instanceof Promise) known.catch(() => {});
    return !(known instanceof Promise) && isLarge(known);
  }
  guardedMs(attributes: Attributes): number {
    // Those and no others: what was told before may have been asked back, and come anew, while the answer waited.
    return this.local === undefined && this.#cache.image(attributes.inode)?.attributes === attributes ? this.#cache.leftMs : 0;
  }
  readlink(inode: number): MaybePromise<string> {
    return this.local === undefined ? this.#view.readlink(inode) : this.#holder.do('readlink', inode);
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
    return this.#settled([this.#cache.inodeOf(parent, name)], () => this.#holder.do('unlink', parent, name));
  }
  rmdir(parent: number, name: string): MaybePromise<void> {
    return this.#holder.do('rmdir', parent, name);
  }
  rename(parent: number, name: string, newParent: number, newName: string, flags: number): MaybePromise<void> {
    const inodes = [this.#cache.inodeOf(parent, name), this.#cache.inodeOf(newParent, newName)];
    return this.#settled(inodes, () => this.#holder.do('rename', parent, name, newParent, newName, flags));
  }
  link(inode: number, newParent: number, newName: string): MaybePromise<Attributes> {
    return this.#settled([inode], () => this.#holder.do('link', inode, newParent, newName));
  }
  /** Once the host that serves the volume has what programs wrote to these, and to all that the one before had lent: where it could not ask for that it would take it for older than what they do next. */
  #settled<T>(inodes: readonly (number | undefined)[], then: () => MaybePromise<T>): MaybePromise<T> {
    if (this.#borrowing.isEmpty) return then();
    const waits = [...this.#borrowing.earlier(), ...inodes].flatMap((inode) => (inode === undefined ? [] : (this.#borrowing.settle(inode) ?? [])));
    return waits.length === 0 ? then() : Promise.all(waits).then(then);
  }
  open(inode: number, flags: number): MaybePromise<number> {
    if ((flags & truncate) !== 0) return this.#settled([inode], () => this.#openThere(inode, flags));
    const reads = (flags & accessMask) === 0;
    return reads && this.local === undefined && this.#view.has(inode) ? this.#files.keepUnsaid(inode, flags, false) : this.#openThere(inode, flags);
  }
  async #openThere(inode: number, flags: number): Promise<number> {
    const { value, generation } = await this.#open('open', inode, flags);
    return this.#files.keep(inode, flags, false, generation, value);
  }
  async create(parent: number, name: string, mode: number, umask: number, flags: number, caller: Caller): Promise<Created> {
    const known = (flags & truncate) === 0 ? undefined : this.#cache.inodeOf(parent, name);
    const created = this.#settled([known], () => this.#open('create', parent, name, mode, umask, flags, caller));
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
    const known = this.#files.get(handle);
    if (known !== undefined) known.reads = true;
    const own = this.#borrowing.read(inode, offset, length);
    if (own instanceof Promise) return own.then((bytes) => bytes ?? this.#readShared(inode, handle, offset, length));
    return own ?? this.#readShared(inode, handle, offset, length);
  }
  #readShared(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    return this.#borrowing.shared(inode, () => this.#read(inode, handle, offset, length));
  }
  #read(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const here = this.#files.here(handle);
    const again = (): Promise<readonly Uint8Array[]> => this.#readThere(inode, handle, offset, length);
    if (here === undefined && this.#files.get(handle) !== undefined && this.local === undefined)
      return this.#view.read(inode, offset, length) ?? again();
    return here === undefined ? again() : this.#holder.settled('read', this.local!.read(inode, here, offset, length), again);
  }
  #readThere(inode: number, handle: number, offset: number, length: number): Promise<readonly Uint8Array[]> {
    return this.#files.perform('read', inode, handle, offset, length);
  }
  write(inode: number, handle: number, offset: number, data: Uint8Array, killPrivileges: boolean, append = false): MaybePromise<number> {
    const request = this.#request?.number ?? 0;
    const room = append ? this.#borrowing.wait() : undefined;
    return room === undefined
      ? this.#write(inode, handle, offset, data, killPrivileges, append, request)
      : this.#writeAfter(room, inode, handle, offset, Uint8Array.from(data), killPrivileges, request);
  }
  async #writeAfter(
    room: Promise<void>,
    inode: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    kill: boolean,
    request: number,
  ): Promise<number> {
    await room;
    return this.#write(inode, handle, offset, data, kill, true, request);
  }
  #write(
    inode: number,
    handle: number,
    offset: number,
    data: Uint8Array,
    killPrivileges: boolean,
    append: boolean,
    request: number,
  ): MaybePromise<number> {
    const taken = this.#borrowing.write(inode, append ? undefined : offset, data, request);
    if (taken !== undefined) return taken;
    const known = this.#files.get(handle);
    const borrows =
      known !== undefined && (known.reads !== true || this.#borrowing.mayRead) && this.local === undefined && this.#borrowing.mayBorrow(inode);
    if (!borrows && !this.#borrowing.has(inode)) return this.#writeThere(inode, handle, offset, data, killPrivileges, append);
    // Borrowed bytes: copied before anything is awaited.
    const own = Uint8Array.from(data);
    return this.#borrowing
      .writeLater(inode, append ? undefined : offset, own, borrows, request)
      .then((written) => written ?? this.#borrowing.shared(inode, () => this.#writeThere(inode, handle, offset, own, killPrivileges, append)));
  }
  #writeThere(inode: number, handle: number, offset: number, data: Uint8Array, killPrivileges: boolean, append: boolean): MaybePromise<number> {
    if (append) return this.#files.perform('append', inode, handle, Uint8Array.from(data), killPrivileges);
    const here = this.#files.here(handle);
    const written = here === undefined ? undefined : this.local!.write(inode, here, offset, data, killPrivileges);
    if (written !== undefined && !(written instanceof Promise)) return written;
    // Borrowed bytes: copied before anything is awaited.
    const own = Uint8Array.from(data);
    const again = (): Promise<number> => this.#files.perform('write', inode, handle, offset, own, killPrivileges);
    return written === undefined ? again() : this.#holder.settled('write', written, again);
  }
  flush(inode: number, handle: number, lockOwner: LockOwner): MaybePromise<void> {
    const known = this.#files.get(handle);
    const locked = this.#locks.has(inode, 'posix', lockOwner);
    const reads = known !== undefined && (known.flags & accessMask) === 0;
    // Who only reads has lost nothing, and must not swallow what a writer has to hear. Without locks there is nothing to tell another host either.
    if (reads && !locked && this.local === undefined) return;
    if (known !== undefined && !reads) this.#lost.say(inode, known, 'close');
    if (this.#borrowing.has(inode)) return this.#flushBorrowed(inode, handle, lockOwner);
    // What else was written from here was durable when it was answered.
    if (!locked && this.#holder.backing?.kind === 'remote') return this.#made.has(inode) ? this.fsync(inode, handle, false) : undefined;
    const close = (): Promise<void> => this.#files.perform('flush', inode, handle, this.#locks.global(lockOwner));
    if (!locked) return close();
    return this.#locks.closed(inode, 'posix', lockOwner, async () => {
      await this.#unlocking();
      await close();
      return true;
    });
  }
  /** Others see what was written once it is closed. */
  async #flushBorrowed(inode: number, handle: number, lockOwner: LockOwner): Promise<void> {
    if ((await this.#borrowing.settle(inode)) === true) this.#made.settled(inode);
    await this.flush(inode, handle, lockOwner);
  }
  async release(inode: number, handle: number, flockOwner?: LockOwner): Promise<void> {
    // Pages of a mapped file are written after the last close.
    const settle = async (): Promise<unknown> => this.#borrowing.settle(inode)?.catch(() => {});
    if (flockOwner === undefined) {
      await settle();
      await this.#files.letGo('release', inode, handle).finally(() => this.#closed(inode));
      return;
    }
    const owner = this.#locks.global(flockOwner);
    try {
      await this.#locks.closed(inode, 'flock', flockOwner, async () => {
        await settle();
        await this.#unlocking();
        return this.#files.letGo('release', inode, handle, owner);
      });
    } finally {
      // Nobody served the volume: the file is closed when somebody does.
      if (this.#files.get(handle) !== undefined) void this.#files.letGo('release', inode, handle).catch(() => {});
      this.#closed(inode);
    }
  }
  #closed(inode: number): void {
    if (this.#made.has(inode) && !this.#files.hasOpen(inode)) this.#made.settled(inode);
  }
  fsync(inode: number, handle: number, dataOnly: boolean): MaybePromise<void> {
    return this.#sync(inode, handle, async () => {
      if (await this.#borrowing.sync(inode)) this.#made.settled(inode);
      else await this.#files.perform('fsync', inode, handle, dataOnly);
    });
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
    return this.local === undefined && this.#view.hasDirectory(inode) ? this.#files.keepUnsaid(inode, 0, true) : this.#opendirThere(inode);
  }
  async #opendirThere(inode: number): Promise<number> {
    const { value, generation } = await this.#open('opendir', inode);
    return this.#files.keep(inode, 0, true, generation, value);
  }
  readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    return this.#settled([], () => this.#readdir(inode, handle, cookie, limit, attributes));
  }
  #readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    const there = (): MaybePromise<readonly DirectoryEntry[]> =>
      // What is open there makes no difference, as long as the directory is not removed.
      this.#files.isUnsaid(handle)
        ? this.#holder.do('readdir', inode, 0, cookie, limit, attributes)
        : this.#files.perform('readdir', inode, handle, cookie, limit, attributes);
    const known = this.local === undefined ? this.#view.readdir(inode, cookie, attributes) : undefined;
    return known instanceof Promise
      ? known.catch((error: unknown) => (error instanceof Moved ? there() : Promise.reject(error)))
      : (known ?? there());
  }
  async releasedir(inode: number, handle: number): Promise<void> {
    await this.#files.letGo('releasedir', inode, handle);
  }
  fsyncdir(inode: number, handle: number): MaybePromise<void> {
    return this.#sync(inode, handle, async () => {
      // What is open there makes no difference.
      if (this.#files.isUnsaid(handle)) await this.#holder.do('fsyncdir', inode, 0);
      else await this.#files.perform('fsyncdir', inode, handle);
      await this.#made.look(inode);
    });
  }
  async syncfs(): Promise<void> {
    this.#lost.sayAll();
    await this.settle();
    await this.#holder.do('syncfs');
    await this.#made.look();
    this.#lost.sayAll();
  }
  statfs(): MaybePromise<FileSystemStatistics> {
    return this.#holder.do('statfs');
  }
  setxattr(inode: number, name: string, value: Uint8Array, flags: number, killSetgid: boolean): MaybePromise<void> {
    const own = Uint8Array.from(value);
    return this.#settled([inode], () => this.#holder.do('setxattr', inode, name, own, flags, killSetgid));
  }
  getxattr(inode: number, name: string): MaybePromise<Uint8Array> {
    // So the kernel asks for a capability before the first write to each file that is made.
    if (this.#borrowing.attributes(inode) !== undefined) throw new FileSystemError('ENODATA');
    return this.local === undefined ? this.#view.getxattr(inode, name) : this.#holder.do('getxattr', inode, name);
  }
  listxattr(inode: number): MaybePromise<readonly string[]> {
    if (this.#borrowing.attributes(inode) !== undefined) return [];
    return this.local === undefined ? this.#view.listxattr(inode) : this.#holder.do('listxattr', inode);
  }
  removexattr(inode: number, name: string): MaybePromise<void> {
    return this.#settled([inode], () => this.#holder.do('removexattr', inode, name));
  }
  getlk(inode: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    return this.#locks.get(inode, lock);
  }
  setlk(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): Promise<void> {
    const set = (): Promise<void> => this.#locks.set(inode, lock, wait, signal);
    return lock.type === 'write' || this.#borrowing.isEmpty ? set() : this.#unlocking().then(set);
  }
  /** Whoever takes a lock next, on any host, sees what was written under it, whatever becomes of this one. What cannot be said is no reason to keep a lock: its writers hear of it. */
  async #unlocking(): Promise<void> {
    await this.#borrowing.syncAll().catch(() => {});
  }
  /** What a guest's programs wrote is durable. @throws InfinitError */
  async settle(): Promise<void> {
    await this.#borrowing.settleAll();
  }
  async close(): Promise<void> {
    await this.settle();
    this.#borrowing.close();
    this.#view.close();
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
