import { type FileLock, type LockOwner, type MaybePromise, unlockAll } from '../file-system.ts';
import { openAccessMask } from '../inodes/mode.ts';
import type { Borrowing } from './borrowing.ts';
import type { HolderLink } from './holder-link.ts';
import type { LostWrites } from './lost-writes.ts';
import type { MadeFiles } from './made-files.ts';
import type { OpenHandles } from './open-handles.ts';
import type { ProgramLocks } from './program-locks.ts';

export interface SettlingParts {
  readonly holder: HolderLink;
  readonly files: OpenHandles;
  readonly locks: ProgramLocks;
  readonly borrowing: Borrowing;
  readonly made: MadeFiles;
  readonly lost: LostWrites;
}

/**
 * What programs of this host wrote becomes everybody's: durable when it is synced, seen by whoever opens a file after it was closed or takes a lock after it was let go. Programs hear then of what was lost.
 */
export class Settling {
  readonly #holder: HolderLink;
  readonly #files: OpenHandles;
  readonly #locks: ProgramLocks;
  readonly #borrowing: Borrowing;
  readonly #made: MadeFiles;
  readonly #lost: LostWrites;

  constructor({ holder, files, locks, borrowing, made, lost }: SettlingParts) {
    this.#holder = holder;
    this.#files = files;
    this.#locks = locks;
    this.#borrowing = borrowing;
    this.#made = made;
    this.#lost = lost;
  }

  fsync(inode: number, handle: number, dataOnly: boolean): Promise<void> {
    return this.#sync(inode, handle, async () => {
      if (await this.#borrowing.sync(inode)) this.#made.settled(inode);
      else await this.#files.perform('fsync', inode, handle, dataOnly);
    });
  }

  fsyncdir(inode: number, handle: number): Promise<void> {
    return this.#sync(inode, handle, async () => {
      // What is open there makes no difference.
      if (this.#files.isUnsaid(handle)) await this.#holder.do('fsyncdir', inode, 0);
      else await this.#files.perform('fsyncdir', inode, handle);
      await this.#made.look(inode);
    });
  }

  /** What was to be made durable may have been lost before that began, or while it waited for the next host that serves the volume. */
  async #sync(inode: number, handle: number, sync: () => Promise<void>): Promise<void> {
    this.#lost.say(inode, this.#files.get(handle), 'sync');
    await sync();
    this.#lost.say(inode, this.#files.get(handle), 'sync');
  }

  async syncfs(): Promise<void> {
    this.#lost.sayAll();
    await this.#borrowing.settleAll();
    await this.#holder.do('syncfs');
    await this.#made.look();
    this.#lost.sayAll();
  }

  flush(inode: number, handle: number, lockOwner: LockOwner): MaybePromise<void> {
    const known = this.#files.get(handle);
    this.#locks.forgetLost(inode, 'posix', lockOwner);
    const locked = this.#locks.has(inode, 'posix', lockOwner);
    const reads = known !== undefined && (known.flags & openAccessMask) === 0;
    // Who only reads has lost nothing, and must not swallow what a writer has to hear. Without locks there is nothing to tell another host either.
    if (reads && !locked && this.#holder.local === undefined) return;
    try {
      if (known !== undefined && !reads) this.#lost.say(inode, known, 'close');
    } catch (error) {
      if (!locked) throw error;
      return this.#flushTold(inode, handle, lockOwner, error);
    }
    if (this.#borrowing.has(inode)) return this.#flushBorrowed(inode, handle, lockOwner);
    // What else was written from here was durable when it was answered.
    if (!locked && this.#holder.backing?.kind === 'remote') return this.#made.has(inode) ? this.fsync(inode, handle, false) : undefined;
    const close = (): Promise<void> => this.#files.perform('flush', inode, handle, this.#locks.global(lockOwner));
    if (!locked) return close();
    const unlocking = (): Promise<void> => this.#unlocking();
    return this.#locks.closed(inode, 'posix', lockOwner, unlocking, async (isOwn) => {
      if (!isOwn) await close();
      else if (this.#made.has(inode)) await this.fsync(inode, handle, false);
      return true;
    });
  }

  async #flushBorrowed(inode: number, handle: number, lockOwner: LockOwner): Promise<void> {
    try {
      if ((await this.#borrowing.settle(inode)) === true) this.#made.settled(inode);
    } catch (error) {
      if (this.#locks.has(inode, 'posix', lockOwner)) await this.#locks.set(inode, unlockAll('posix', lockOwner), false).catch(() => {});
      throw error;
    }
    await this.flush(inode, handle, lockOwner);
  }

  /** The kernel asks once: whatever else who closes the file is told, what it has locked is given back. */
  async #flushTold(inode: number, handle: number, lockOwner: LockOwner, error: unknown): Promise<void> {
    await Promise.allSettled([this.flush(inode, handle, lockOwner)]);
    throw error;
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
      const close = (): Promise<boolean> => this.#files.letGo('release', inode, handle, owner);
      await this.#locks.closed(inode, 'flock', flockOwner, () => settle().then(() => this.#unlocking()), close);
    } finally {
      // Nobody served the volume: the file is closed when somebody does.
      if (this.#files.get(handle) !== undefined) void this.#files.letGo('release', inode, handle).catch(() => {});
      this.#closed(inode);
    }
  }

  #closed(inode: number): void {
    if (this.#made.has(inode) && !this.#files.hasOpen(inode)) this.#made.settled(inode);
  }

  setlk(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): Promise<void> {
    const set = (): Promise<void> => this.#locks.set(inode, lock, wait, signal);
    return lock.type === 'write' || this.#borrowing.isEmpty ? set() : this.#unlocking().then(set);
  }

  /** Whoever takes a lock next, on any host, sees what was written under it, whatever becomes of this one. What cannot be said is no reason to keep a lock: its writers hear of it. */
  async #unlocking(): Promise<void> {
    await this.#borrowing.syncAll().catch(() => {});
  }
}
