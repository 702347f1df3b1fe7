import type { Records } from '../base/index.ts';
import { handleOf, keyOf } from './lock-owners.ts';
import type { KernelHandle } from './wire/index.ts';

const prefix = 'refused ';
/** Files that are remembered; beyond it pages are given to no handle of an earlier daemon's. */
const maxFiles = 65_536;
const handlesPerGeneration = 2 ** 32;

interface RefusedFile {
  /** The {@link placeOf} of the last handle that is of before. */
  readonly until: number;
  /** Open files of before that are known to be there. */
  readonly open: Set<string>;
}

/**
 * Mapped files of which a page was not written. What programs changed in that memory is gone, the kernel drops the page, and few programs call msync, which would say so: they would be shown
 * what the file was before, as if they had never changed it, and SQLite then writes its log over transactions that it had committed. So nobody is given a page of such a file
 * while programs are known to have it open from before: who touches the memory gets SIGBUS. Once those are gone the file is what it is, as where its programs died.
 */
export class RefusedMemory {
  readonly #files = new Map<number, RefusedFile>();
  /** By inode: handles that were given pages, which may be in a program's memory until they are closed. */
  readonly #mapping = new Map<number, Set<string>>();
  readonly #records: Records | undefined;
  #isFull = false;
  /** Some that earlier daemons noted are not known. */
  readonly #areMissing: boolean;

  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#records = records;
    this.#areMissing = records?.areIncomplete === true;
    for (const [key, value] of new Map(records?.all())) {
      if (key.startsWith(prefix)) this.#files.set(Number(key.slice(prefix.length)), { until: Number(value), open: new Set() });
    }
  }

  /**
   * A page was not written.
   * @param until the {@link placeOf} of the last handle that its program can have changed it through.
   * @param open handles of the file, as far as they are known.
   */
  refused(inode: number, until: number, open: readonly KernelHandle[]): void {
    let file = this.#files.get(inode);
    if (file === undefined && this.#files.size >= maxFiles) {
      this.#isFull = true;
      return;
    }
    if (file === undefined || file.until < until) {
      file = { until, open: file?.open ?? new Set() };
      this.#files.set(inode, file);
      this.#records?.put([[prefix + inode, until]]);
    }
    for (const key of [...open.map(keyOf), ...(this.#mapping.get(inode) ?? [])]) if (isBefore(handleOf(key), file.until)) file.open.add(key);
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  /** Whether the kernel may be given a page for an open file of this daemon, the `generation`th, or of an earlier one. @param locked others that the file was locked through. */
  mayGive(inode: number, handle: KernelHandle, generation: number, forReading: boolean, locked: () => readonly KernelHandle[]): boolean {
    // Who only reads has changed nothing in memory, and may be a program that runs from there.
    const mayBeOne = this.#isFull || (this.#areMissing && !forReading);
    const may = this.#may(inode, handle, generation, mayBeOne, locked);
    if (may) this.#gave(inode, handle);
    return may;
  }

  #may(inode: number, handle: KernelHandle, generation: number, mayBeOne: boolean, locked: () => readonly KernelHandle[]): boolean {
    const file = this.#files.get(inode);
    if (file === undefined) return !mayBeOne || !isBefore(handle, generation);
    if (isBefore(handle, file.until)) {
      file.open.add(keyOf(handle));
      return false;
    }
    return file.open.size === 0 && !locked().some((each) => isBefore(each, file.until));
  }

  #gave(inode: number, handle: KernelHandle): void {
    const handles = this.#mapping.get(inode);
    if (handles === undefined) this.#mapping.set(inode, new Set([keyOf(handle)]));
    else handles.add(keyOf(handle));
  }

  released(inode: number, handle: KernelHandle): void {
    const key = keyOf(handle);
    this.#files.get(inode)?.open.delete(key);
    const handles = this.#mapping.get(inode);
    if (handles?.delete(key) === true && handles.size === 0) this.#mapping.delete(inode);
  }
}

/** Orders handles by when they were given, over all daemons of a mount: a daemon's lie between its generation and the next. */
export function placeOf({ high, low }: KernelHandle): number {
  return high + low / handlesPerGeneration;
}

/** 0 is of a file that the kernel opened without asking. */
function isBefore(handle: KernelHandle, until: number): boolean {
  return handle.high !== 0 && placeOf(handle) <= until;
}
