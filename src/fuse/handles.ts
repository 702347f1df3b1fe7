import type { FileSystem, MaybePromise } from '../filesystem/index.ts';
import { firstGeneration, type KernelHandle } from './wire/index.ts';

/** Of the flags of open(2). */
export const accessMode = 3;
export const readWrite = 2;
/** O_DSYNC, which O_SYNC has as well, and what that has besides: open(2) on Linux. */
const [dataSync, allSync] = [0o10000, 0o4000000];

/** What whoever opened a file so wants synced after each change, as fsync and fdatasync have it; undefined: nothing. */
export type SyncWanted = 'all' | 'data' | undefined;

export function syncWanted(flags: number): SyncWanted {
  if ((flags & dataSync) === 0) return undefined;
  return (flags & allSync) === 0 ? 'data' : 'all';
}

/**
 * Handles over a crash of the daemon: the kernel goes on to use those that an earlier daemon gave. Each handle carries the
 * generation of its session; one of another generation is opened anew at its first use, and stands for the new one until released.
 */
export class Handles {
  readonly generation: number;
  /** Bounded by the kernel's own open files. */
  readonly #reopened = new Map<string, MaybePromise<number>>();

  /** Of this session's handles those opened with O_DSYNC or O_SYNC. */
  readonly #synced = new Map<number, SyncWanted>();
  /** Of this session's handles those that a file can be mapped for writing through, with their inodes, and how many each of these has. */
  readonly #mapping = new Map<number, number>();
  readonly #mappable = new Map<number, number>();
  #last = 0;

  constructor(generation: number) {
    this.generation = generation;
  }

  /** The flags that this session's handle was opened with. */
  opened(inode: number, handle: number, flags: number): void {
    this.#last = Math.max(this.#last, handle);
    const wanted = syncWanted(flags);
    if (wanted !== undefined) this.#synced.set(handle, wanted);
    if ((flags & accessMode) !== readWrite) return;
    this.#mapping.set(handle, inode);
    this.#mappable.set(inode, (this.#mappable.get(inode) ?? 0) + 1);
  }

  /** A program may have changed the file in mapped memory, of which the kernel tells nothing until it writes. A mapping keeps its handle; what earlier daemons opened is not known. */
  mayBeMapped(inode: number): boolean {
    return this.generation > firstGeneration || this.#mappable.has(inode);
  }

  /** The last that was given; once the numbers begin anew, the largest. */
  get last(): KernelHandle {
    return { high: this.generation, low: this.#last };
  }

  /** One that the kernel never heard of. */
  dropped(handle: number): void {
    this.#synced.delete(handle);
    const inode = this.#mapping.get(handle);
    if (inode === undefined) return;
    this.#mapping.delete(handle);
    const left = this.#mappable.get(inode)! - 1;
    if (left > 0) this.#mappable.set(inode, left);
    else this.#mappable.delete(inode);
  }

  /** The same of requests that do not tell: those of an earlier daemon's handle may all be to be synced; of a file that the kernel opened without asking nobody knows it. */
  syncWanted(handle: KernelHandle): SyncWanted {
    return this.isOurs(handle) ? this.#synced.get(handle.low) : 'all';
  }

  /** Given by this session, or 0: the kernel opened the file without asking, and the file system knows of no handle either. */
  isOurs(handle: KernelHandle): boolean {
    return handle.high === this.generation || (handle.high === 0 && handle.low === 0);
  }

  /** The file system's handle. */
  resolve(handle: KernelHandle, reopen: () => MaybePromise<number>): MaybePromise<number> {
    if (this.isOurs(handle)) return handle.low;
    const key = `${handle.high}.${handle.low}`;
    const known = this.#reopened.get(key);
    if (known !== undefined) return known;
    const opened = reopen();
    this.#reopened.set(key, opened);
    if (opened instanceof Promise) {
      opened.then(
        // Unless it was released meanwhile.
        (value) => this.#reopened.get(key) === opened && this.#reopened.set(key, value),
        () => this.#reopened.get(key) === opened && this.#reopened.delete(key),
      );
    }
    return opened;
  }

  /** The handle to be released; `undefined`: the file system never saw it. */
  release(handle: KernelHandle): MaybePromise<number> | undefined {
    if (handle.high === this.generation) {
      this.dropped(handle.low);
      return handle.low;
    }
    const key = `${handle.high}.${handle.low}`;
    const known = this.#reopened.get(key);
    this.#reopened.delete(key);
    return known;
  }
}

/** The value where it is there at once. A promise for it that fails is nobody's concern. */
export function known<T>(value: MaybePromise<T>): T | undefined {
  if (!(value instanceof Promise)) return value;
  value.catch(() => {});
  return undefined;
}

/** Applies `apply` at once where the value is there, else when it comes. */
export function after<T, U>(value: MaybePromise<T>, apply: (value: T) => MaybePromise<U>): MaybePromise<U> {
  return value instanceof Promise ? value.then(apply) : apply(value);
}

/** The handle that an earlier daemon's stands for from now on. */
export function reopened(fileSystem: FileSystem, inode: number, opened: MaybePromise<number>): MaybePromise<number> {
  return after(opened, (handle) => {
    fileSystem.inherited?.(inode, handle);
    return handle;
  });
}
