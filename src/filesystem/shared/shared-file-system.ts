import { codeOf, InfinitError } from '../../base/index.ts';
import {
  type AttributeChanges,
  type Attributes,
  type Caller,
  type DirectoryEntry,
  type FileLock,
  type FileSystem,
  FileSystemError,
  type FileSystemStatistics,
  type KernelCache,
  type LockOwner,
  type MaybePromise,
} from '../file-system.ts';
import type { Appends } from './appends.ts';
import { decodeResult, Dismissed, encodeCall, type SharedMethod } from './calls.ts';
import { HeldLocks } from './held-locks.ts';
import { type LossWitness, LostWrites } from './lost-writes.ts';

/** How long an operation waits for a host that serves the volume, in ms: the longest that a lease is left to a slow holder, and the time to open it. */
const maxWaitMs = 20_000;
/** Files that are opened again at once after the lease moved. */
const parallelOpens = 16;
/** Pause before a file that could not be opened again for want of an answer is tried once more, in ms: the host that serves the volume may be cut off for longer than a program waits. */
const reopenPauseMs = 1000;
/** Pause before a call whose host did not take it is tried again. */
const retryMs = 100;

/** Who does the work: the volume opened in this very thread, or the host that has it open. */
export type Backing =
  /** `grace`: until then only what was locked before may be locked. */
  | { readonly kind: 'local'; readonly volume: FileSystem; readonly appends: Appends; readonly grace: Promise<void> }
  | { readonly kind: 'remote'; readonly ask: (call: Uint8Array) => Promise<Uint8Array> };

interface Handle extends LossWitness {
  readonly flags: number;
  readonly directory: boolean;
  /** The backing's own number, good for one generation. */
  backing: number;
  generation: number;
  /** It is being opened again. */
  opening?: Promise<number> | undefined;
}

/** What an operation came to, and in which generation. */
interface Done<T> {
  readonly value: T;
  readonly generation: number;
}

/** Access mode and O_APPEND and the like; what must not be done twice when a file is opened again: O_CREAT, O_EXCL, O_TRUNC. */
const reopenMask = ~(0o100 | 0o200 | 0o1000);
/** O_WRONLY or O_RDWR. */
const accessMask = 3;

/** Methods that may simply be made again after an unknown outcome. */
const repeatable: ReadonlySet<SharedMethod> = new Set([
  'lookup',
  'getattr',
  'setattr',
  'readlink',
  'open',
  'read',
  'write',
  'flush',
  'fsync',
  'fallocate',
  'lseek',
  'opendir',
  'readdir',
  'fsyncdir',
  'syncfs',
  'statfs',
  'setxattr',
  'getxattr',
  'listxattr',
  'getlk',
  'setlk',
  'copyFileRange',
]);
/** Failures after which the next attempt may meet a host that serves the volume. */
const transient: ReadonlySet<string> = new Set(['unavailable', 'unknown-outcome', 'closed', 'overloaded', 'unsupported']);
/** Where the repetition of a call of unknown outcome ends like this, the first one took effect. */
const doneAlready: Partial<Record<SharedMethod, string>> = { unlink: 'ENOENT', rmdir: 'ENOENT', rename: 'ENOENT', removexattr: 'ENODATA' };

/**
 * A volume that several hosts have mounted: one of them, the holder of the volume's lease, has it open, and the others send it their operations.
 * So there is one order of all operations, one set of locks, and nothing stale. When the lease moves, handles are opened again and
 * locks taken again at the new host; operations wait meanwhile.
 */
export class SharedFileSystem implements FileSystem {
  readonly #self: string;
  readonly #leaseHeld: () => boolean;
  #backing: Backing | undefined;
  #generation = 0;
  #changed = Promise.withResolvers<void>();
  readonly #handles = new Map<number, Handle>();
  readonly #locks = new HeldLocks();
  /** While a host that took over is told of our locks. */
  #relocking: Promise<void> | undefined;
  /** Ends waits for locks when the lease moves: they begin anew at the next host. */
  #moved = new AbortController();
  readonly #lost: LostWrites;
  readonly #releases = new Map<string, Promise<void>>();
  #nextHandle = 1;
  #kernel: KernelCache | undefined;

  /**
   * @param self distinguishes this host's lock owners from those of others.
   * @param leaseHeld asked before each answer from this thread: a process that was frozen must not answer for a lease that ended meanwhile.
   * @param onSaid told when a program has heard what was lost of an inode.
   */
  constructor(self: string, leaseHeld: () => boolean, onSaid: (inode: number) => void = () => {}) {
    this.#self = self;
    this.#leaseHeld = leaseHeld;
    this.#lost = new LostWrites(onSaid);
  }

  /** The lease moved. undefined: nobody has it for now, operations wait. */
  setBacking(backing: Backing | undefined): void {
    this.#backing = backing;
    this.#generation++;
    this.#moved.abort();
    this.#moved = new AbortController();
    if (backing === undefined) return;
    if (backing.kind === 'local' && this.#kernel !== undefined) backing.volume.attach(this.#kernel);
    const relocking = this.#lockAgain(backing).finally(() => {
      if (this.#relocking === relocking) this.#relocking = undefined;
    });
    this.#relocking = relocking;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
    void this.#openAgain(backing);
  }

  /** A new host knows nothing of what is open here, and would remove files that have no name any more. */
  async #openAgain(backing: Backing): Promise<void> {
    await this.#relocking;
    const handles = [...this.#handles];
    const lane = async (): Promise<void> => {
      for (let next = handles.pop(); next !== undefined && this.#backing === backing; next = handles.pop()) {
        const [handle, { directory }] = next;
        if (directory) continue;
        try {
          await this.#backingHandle(handle);
        } catch (error) {
          // What cannot be opened says so to whoever uses it.
          if (error instanceof FileSystemError || this.#backing !== backing) continue;
          handles.unshift(next);
          await idle(reopenPauseMs);
        }
      }
    };
    await Promise.all(Array.from({ length: parallelOpens }, lane));
  }

  /** A new host knows none of our locks. What meanwhile went to another is lost, and the program hears of it as of a lost write. */
  async #lockAgain(backing: Backing): Promise<void> {
    for (const { inode, lock } of this.#locks.all()) {
      while (this.#backing === backing) {
        try {
          if (backing.kind === 'local') await backing.volume.setlk(inode, lock, false);
          else decodeResult(await backing.ask(encodeCall('relock', [inode, lock])));
          break;
        } catch (error) {
          if (error instanceof FileSystemError) {
            this.#locks.note(inode, { ...lock, type: 'unlock' });
            this.markLost([inode]);
            break;
          }
          // Given up meanwhile: all begins anew.
          if (error instanceof Dismissed) await this.#rejoin(backing).catch(() => {});
          if (this.#backing === backing) await pause(retryMs);
        }
      }
    }
  }

  /** The host that serves us had taken us for dead: what was open is opened again, what was locked is locked again if it is still free. */
  async #rejoin(backing: Backing): Promise<void> {
    if (backing.kind !== 'remote' || this.#backing !== backing) return;
    decodeResult(await backing.ask(encodeCall('rejoin', [])));
    if (this.#backing === backing) this.setBacking({ ...backing });
  }

  /** Writes to these inodes were acknowledged and are gone: programs hear of it, see {@link LostWrites}. */
  markLost(inodes: Iterable<number>): void {
    this.#lost.add(inodes, this.#handles.values());
  }

  /** As {@link markLost}, of the process before this one. */
  inheritLost(inodes: Iterable<number>): void {
    this.#lost.inherit(inodes);
  }

  inherited(_inode: number, handle: number): void {
    const known = this.#handles.get(handle);
    if (known !== undefined) this.#lost.wasOpen(known);
  }

  /** Makes something durable. What it was to make durable may have been lost before it began, or while it waited for the next host that serves the volume. */
  async #sync(inode: number, handle: number, sync: () => Promise<void>): Promise<void> {
    this.#lost.say(inode, this.#handles.get(handle), 'sync');
    await sync();
    this.#lost.say(inode, this.#handles.get(handle), 'sync');
  }

  /** The volume where it is open in this thread and the lease is good at this moment. */
  get local(): FileSystem | undefined {
    return this.#backing?.kind === 'local' && this.#leaseHeld() ? this.#backing.volume : undefined;
  }

  /** True where an operation can be tried now. */
  get #usable(): boolean {
    return this.#backing?.kind === 'remote' || this.local !== undefined;
  }

  attach(kernel: KernelCache): void {
    this.#kernel = kernel;
    this.local?.attach(kernel);
  }

  /** What the kernel may cache follows the lease; undefined where nobody serves a kernel. */
  get kernel(): KernelCache | undefined {
    return this.#kernel;
  }

  lookup(parent: number, name: string): MaybePromise<Attributes | undefined> {
    return this.#do('lookup', parent, name);
  }
  forget(inode: number, count: number): void {
    this.local?.forget(inode, count);
  }
  getattr(inode: number): MaybePromise<Attributes> {
    return this.#do('getattr', inode);
  }
  setattr(inode: number, changes: AttributeChanges): MaybePromise<Attributes> {
    return this.#do('setattr', inode, changes);
  }
  readlink(inode: number): MaybePromise<string> {
    return this.#do('readlink', inode);
  }
  symlink(parent: number, name: string, target: string, caller: Caller): MaybePromise<Attributes> {
    return this.#do('symlink', parent, name, target, caller);
  }
  mknod(parent: number, name: string, mode: number, device: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    return this.#do('mknod', parent, name, mode, device, umask, caller);
  }
  mkdir(parent: number, name: string, mode: number, umask: number, caller: Caller): MaybePromise<Attributes> {
    return this.#do('mkdir', parent, name, mode, umask, caller);
  }
  unlink(parent: number, name: string): MaybePromise<void> {
    return this.#do('unlink', parent, name);
  }
  rmdir(parent: number, name: string): MaybePromise<void> {
    return this.#do('rmdir', parent, name);
  }
  rename(parent: number, name: string, newParent: number, newName: string, flags: number): MaybePromise<void> {
    return this.#do('rename', parent, name, newParent, newName, flags);
  }
  link(inode: number, newParent: number, newName: string): MaybePromise<Attributes> {
    return this.#do('link', inode, newParent, newName);
  }
  async open(inode: number, flags: number): Promise<number> {
    const { value, generation } = await this.#doOnce<number>('open', inode, flags);
    return this.#keep(inode, flags, false, generation, value);
  }
  async create(
    parent: number,
    name: string,
    mode: number,
    umask: number,
    flags: number,
    caller: Caller,
  ): Promise<{ attributes: Attributes; handle: number }> {
    const { value: made, generation } = await this.#doOnce<{ attributes: Attributes; handle: number }>(
      'create',
      parent,
      name,
      mode,
      umask,
      flags,
      caller,
    );
    return { attributes: made.attributes, handle: this.#keep(made.attributes.inode, flags, false, generation, made.handle) };
  }
  async tmpfile(parent: number, mode: number, umask: number, flags: number, caller: Caller): Promise<{ attributes: Attributes; handle: number }> {
    const { value: made, generation } = await this.#doOnce<{ attributes: Attributes; handle: number }>('tmpfile', parent, mode, umask, flags, caller);
    return { attributes: made.attributes, handle: this.#keep(made.attributes.inode, flags, false, generation, made.handle) };
  }
  read(inode: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const here = this.#here(handle);
    const again = (): Promise<readonly Uint8Array[]> => this.#readThere(inode, handle, offset, length);
    return here === undefined ? again() : this.#settled('read', this.local!.read(inode, here, offset, length), again);
  }
  #readThere(inode: number, handle: number, offset: number, length: number): Promise<readonly Uint8Array[]> {
    return this.#withHandle<Uint8Array | readonly Uint8Array[]>('read', inode, handle, offset, length).then((bytes) =>
      bytes instanceof Uint8Array ? [bytes] : bytes,
    );
  }
  write(inode: number, handle: number, offset: number, data: Uint8Array, killPrivileges: boolean, append = false): MaybePromise<number> {
    if (append) return this.#withHandle('append', inode, handle, Uint8Array.from(data), killPrivileges);
    const here = this.#here(handle);
    const written = here === undefined ? undefined : this.local!.write(inode, here, offset, data, killPrivileges);
    if (written !== undefined && !(written instanceof Promise)) return written;
    // Borrowed bytes: copied before anything is awaited.
    const own = Uint8Array.from(data);
    const again = (): Promise<number> => this.#withHandle('write', inode, handle, offset, own, killPrivileges);
    return written === undefined ? again() : this.#settled('write', written, again);
  }
  flush(inode: number, handle: number, lockOwner: LockOwner): MaybePromise<void> {
    const known = this.#handles.get(handle);
    // Who only reads has lost nothing, and must not swallow what a writer has to hear.
    if (((known?.flags ?? 0) & accessMask) !== 0) this.#lost.say(inode, known, 'close');
    const owner = this.#owner(lockOwner);
    if (!this.#locks.has(inode, 'posix', owner)) return this.#withHandle('flush', inode, handle, owner);
    this.#locks.release(inode, 'posix', owner);
    return this.#flushLocked(inode, handle, lockOwner);
  }
  release(inode: number, handle: number, flockOwner?: LockOwner): Promise<void> {
    if (flockOwner === undefined) return this.#letGo('release', inode, handle, undefined);
    this.#locks.release(inode, 'flock', this.#owner(flockOwner));
    return this.#releasing('flock', flockOwner, async () => {
      await this.local?.syncfs();
      await this.#letGo('release', inode, handle, this.#owner(flockOwner));
    });
  }
  /** Closing releases POSIX locks: see {@link setlk}. */
  #flushLocked(inode: number, handle: number, lockOwner: LockOwner): Promise<void> {
    return this.#releasing('posix', lockOwner, async () => {
      await this.local?.syncfs();
      await this.#withHandle('flush', inode, handle, this.#owner(lockOwner));
    });
  }

  /**
   * Runs a release. The kernel does not wait for it before it gives the owner's number, a recycled address, to the next file: a lock
   * of the same owner must not be taken before the release of the old one is through, or it would be released with it.
   */
  #releasing(kind: FileLock['kind'], owner: LockOwner, action: () => Promise<void>): Promise<void> {
    const key = lockKey(kind, owner);
    const done = (this.#releases.get(key) ?? Promise.resolve()).then(action, action);
    this.#releases.set(key, done);
    const settled = (): void => {
      if (this.#releases.get(key) === done) this.#releases.delete(key);
    };
    done.then(settled, settled);
    return done;
  }

  fsync(inode: number, handle: number, dataOnly: boolean): MaybePromise<void> {
    return this.#sync(inode, handle, () => this.#withHandle('fsync', inode, handle, dataOnly));
  }
  fallocate(inode: number, handle: number, mode: number, offset: number, length: number): MaybePromise<void> {
    return this.#withHandle('fallocate', inode, handle, mode, offset, length);
  }
  lseek(inode: number, handle: number, offset: number, whence: number): MaybePromise<number> {
    return this.#withHandle('lseek', inode, handle, offset, whence);
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
    return this.#call('copyFileRange', async () => [
      inode,
      await this.#backingHandle(handle),
      offset,
      toInode,
      await this.#backingHandle(toHandle),
      toOffset,
      length,
    ]);
  }
  async opendir(inode: number): Promise<number> {
    const { value, generation } = await this.#doOnce<number>('opendir', inode);
    return this.#keep(inode, 0, true, generation, value);
  }
  readdir(inode: number, handle: number, cookie: number, limit: number, attributes: boolean): MaybePromise<readonly DirectoryEntry[]> {
    return this.#withHandle('readdir', inode, handle, cookie, limit, attributes);
  }
  releasedir(inode: number, handle: number): MaybePromise<void> {
    return this.#letGo('releasedir', inode, handle);
  }
  fsyncdir(inode: number, handle: number): MaybePromise<void> {
    return this.#sync(inode, handle, () => this.#withHandle('fsyncdir', inode, handle));
  }
  async syncfs(): Promise<void> {
    this.#lost.sayAll();
    await this.#do('syncfs');
    this.#lost.sayAll();
  }
  statfs(): MaybePromise<FileSystemStatistics> {
    return this.#do('statfs');
  }
  setxattr(inode: number, name: string, value: Uint8Array, flags: number, killSetgid: boolean): MaybePromise<void> {
    return this.#do('setxattr', inode, name, Uint8Array.from(value), flags, killSetgid);
  }
  getxattr(inode: number, name: string): MaybePromise<Uint8Array> {
    return this.#do('getxattr', inode, name);
  }
  listxattr(inode: number): MaybePromise<readonly string[]> {
    return this.#do('listxattr', inode);
  }
  removexattr(inode: number, name: string): MaybePromise<void> {
    return this.#do('removexattr', inode, name);
  }
  getlk(inode: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    return this.#do('getlk', inode, { ...lock, owner: this.#owner(lock.owner) });
  }
  async setlk(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): Promise<void> {
    const global = { ...lock, owner: this.#owner(lock.owner) };
    await this.#releases.get(lockKey(lock.kind, lock.owner))?.catch(() => {});
    // What a lock protected is durable before another may take it: it must not be undone by the loss of this host.
    if (lock.type === 'unlock') await this.local?.syncfs();
    for (;;) {
      try {
        await this.#setlkOnce(inode, global, wait, signal);
        break;
      } catch (error) {
        const errno = error instanceof FileSystemError ? error.errno : undefined;
        // The host that serves the volume waits a moment only, and ours not beyond the end of its lease.
        if (!wait || (errno !== 'EAGAIN' && errno !== 'EINTR')) throw error;
        if (signal?.aborted === true) throw new FileSystemError('EINTR');
      }
    }
    this.#locks.note(inode, global);
  }
  async #setlkOnce(inode: number, lock: FileLock, wait: boolean, signal: AbortSignal | undefined): Promise<void> {
    const backing = this.#backing;
    if (backing?.kind !== 'local' || !this.#leaseHeld()) return this.#call('setlk', [inode, lock, wait]);
    if (lock.type !== 'unlock') await backing.grace;
    const moved = this.#moved.signal;
    await backing.volume.setlk(inode, lock, wait, signal === undefined ? moved : AbortSignal.any([signal, moved]));
  }
  async close(): Promise<void> {
    if (this.#backing?.kind !== 'local') return;
    if (!this.#leaseHeld()) throw new InfinitError('unavailable', 'the lease of the volume cannot be renewed');
    await this.#backing.volume.close();
  }

  #owner(owner: LockOwner): LockOwner {
    return `${owner}@${this.#self}`;
  }

  /** @param generation in which it was opened: in a later one it is opened again. */
  #keep(inode: number, flags: number, directory: boolean, generation: number, backing: number): number {
    const handle = this.#nextHandle++;
    this.#handles.set(handle, { inode, flags, directory, backing, generation });
    return handle;
  }

  /** The backing's handle where it is in this thread and still good: the way without a promise. */
  #here(handle: number): number | undefined {
    const known = this.#handles.get(handle);
    return this.local !== undefined && known?.generation === this.#generation ? known.backing : undefined;
  }

  /** The backing's handle; opened again where the lease moved since, once however many want it. */
  #backingHandle(handle: number): Promise<number> {
    const known = this.#handles.get(handle);
    if (known === undefined) return Promise.reject(new FileSystemError('EBADF'));
    return (known.opening ??= this.#open(known).finally(() => (known.opening = undefined)));
  }

  async #open(known: Handle): Promise<number> {
    while ((await this.#ready()) !== known.generation) {
      const { value, generation } = await this.#doOnce<number>(
        known.directory ? 'opendir' : 'open',
        ...(known.directory ? [known.inode] : [known.inode, known.flags & reopenMask]),
      );
      known.backing = value;
      known.generation = generation;
    }
    return known.backing;
  }

  async #withHandle<T>(method: SharedMethod, inode: number, handle: number, ...rest: readonly unknown[]): Promise<T> {
    const here = this.#here(handle);
    const again = (): Promise<T> => this.#call<T>(method, async () => [inode, await this.#backingHandle(handle), ...rest]);
    return here === undefined ? again() : this.#settled(method, this.#perform<T>(this.local!, method, [inode, here, ...rest]), again);
  }

  async #letGo(method: 'release' | 'releasedir', inode: number, handle: number, ...rest: readonly unknown[]): Promise<void> {
    const known = this.#handles.get(handle);
    this.#handles.delete(handle);
    await known?.opening?.catch(() => {});
    // A handle of an earlier generation went with its host.
    if (known === undefined || known.generation !== this.#generation || !this.#usable) return;
    await this.#do(method, inode, known.backing, ...rest);
  }

  #do<T>(method: SharedMethod, ...args: readonly unknown[]): MaybePromise<T> {
    const { local } = this;
    const again = (): Promise<T> => this.#call<T>(method, args);
    return local === undefined ? again() : this.#settled(method, this.#perform<T>(local, method, args), again);
  }

  /** As {@link #do}, and says in which generation that was which counts: a handle is good in that one alone, and one that was taken for an older one's would stay open for ever. */
  async #doOnce<T>(method: SharedMethod, ...args: readonly unknown[]): Promise<Done<T>> {
    let generation = this.#generation;
    const { local } = this;
    const again = (): Promise<T> => this.#call<T>(method, args, (now) => (generation = now));
    const value = await (local === undefined ? again() : this.#settled(method, this.#perform<T>(local, method, args), again));
    return { value, generation };
  }

  /**
   * What an operation in this thread comes to that had to wait: an answer counts only while the lease is held, and the volume in which it was
   * found or done is still the one that is open.
   * @param again asks whoever has the volume by then.
   */
  #settled<T>(method: SharedMethod, result: MaybePromise<T>, again: () => Promise<T>): MaybePromise<T> {
    return result instanceof Promise ? this.#whenSettled(method, result, again) : result;
  }

  async #whenSettled<T>(method: SharedMethod, result: Promise<T>, again: () => Promise<T>): Promise<T> {
    const generation = this.#generation;
    let outcome: { readonly value: T } | { readonly error: unknown };
    try {
      outcome = { value: await result };
    } catch (error) {
      outcome = { error };
    }
    const deadline = performance.now() + maxWaitMs;
    const waits = !this.#leaseHeld();
    // The lease may come back as it was. Otherwise "there is no such name" may be as old as any other answer.
    while (generation === this.#generation && !this.#leaseHeld()) await this.#change(deadline);
    if ('error' in outcome) {
      if (generation === this.#generation) throw outcome.error;
      // It failed with the volume in which it was tried, before it changed anything.
      return again();
    }
    // What a read gives lies in the cache's memory, which by now may be another block's.
    if (waits && method === 'read') return again();
    if (generation === this.#generation) return outcome.value;
    if (repeatable.has(method)) return again();
    throw new InfinitError('unknown-outcome', 'the lease of the volume ended meanwhile');
  }

  #perform<T>(local: FileSystem, method: SharedMethod, args: readonly unknown[]): MaybePromise<T> {
    const target = method === 'append' ? (this.#backing as Backing & { kind: 'local' }).appends : local;
    const operation = (target as unknown as Record<string, (...values: readonly unknown[]) => MaybePromise<T>>)[method]!;
    return operation.apply(target, [...args]);
  }

  /**
   * Asks the host that has the volume, whichever it is by then, until it answers.
   * @param args a function where they hold a handle, which is another one at another host.
   * @param onAsk told of the generation of each attempt.
   */
  async #call<T>(
    method: SharedMethod,
    args: readonly unknown[] | (() => Promise<readonly unknown[]>),
    onAsk?: (generation: number) => void,
  ): Promise<T> {
    const deadline = performance.now() + maxWaitMs;
    let doubtful = false;
    for (;;) {
      await this.#ready(deadline);
      const backing = this.#backing;
      if (!this.#usable || backing === undefined) continue;
      if (this.#relocking !== undefined && performance.now() < deadline) {
        await Promise.race([this.#relocking, pause(retryMs)]);
        continue;
      }
      const values = typeof args === 'function' ? await args() : args;
      if (this.#backing !== backing) continue;
      if (backing.kind === 'local') {
        if (this.local === undefined) continue;
        onAsk?.(this.#generation);
        return this.#settled(method, this.#perform<T>(this.local, method, values), () => this.#call(method, args, onAsk));
      }
      onAsk?.(this.#generation);
      try {
        return decodeResult(await backing.ask(encodeCall(method, values))) as T;
      } catch (error) {
        if (error instanceof FileSystemError) {
          if (doubtful && doneAlready[method] === error.errno) return undefined as T;
          throw error;
        }
        // Also by one that has no time left: whoever comes next is heard again.
        if (error instanceof Dismissed) await this.#rejoin(backing).catch(() => pause(retryMs));
        if (performance.now() > deadline) throw error;
        if (error instanceof Dismissed) continue;
        const code = codeOf(error);
        if (!transient.has(code)) throw error;
        if (code === 'unknown-outcome') doubtful = true;
        if (doubtful && !repeatable.has(method) && doneAlready[method] === undefined) throw error;
        await pause(retryMs);
      }
    }
  }

  /** Waits until some host has the volume. */
  async #ready(deadline = performance.now() + maxWaitMs): Promise<number> {
    while (!this.#usable) await this.#change(deadline);
    return this.#generation;
  }

  /** Waits for a change of who has the volume, or a moment. @throws InfinitError `unavailable` after the deadline. */
  async #change(deadline: number): Promise<void> {
    const left = deadline - performance.now();
    if (left <= 0) throw new InfinitError('unavailable', 'no host serves the volume');
    await Promise.race([this.#changed.promise, pause(Math.min(left, retryMs))]);
  }
}

function lockKey(kind: FileLock['kind'], owner: LockOwner): string {
  return `${kind} ${owner}`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** As {@link pause}, and keeps no process alive. */
function idle(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
