import type { FileSystem, MaybePromise } from '../filesystem/index.ts';
import type { KernelHandle } from './wire/index.ts';

/**
 * Handles over a crash of the daemon: the kernel goes on to use those that an earlier daemon gave. Each handle carries the
 * generation of its session; one of another generation is opened anew at its first use, and stands for the new one until released.
 */
export class Handles {
  readonly generation: number;
  /** Bounded by the kernel's own open files. */
  readonly #reopened = new Map<string, MaybePromise<number>>();

  constructor(generation: number) {
    this.generation = generation;
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
    if (handle.high === this.generation) return handle.low;
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
