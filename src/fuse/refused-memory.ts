import type { Records } from '../base/index.ts';
import { keyOf } from './lock-owners.ts';
import type { KernelHandle } from './wire/index.ts';

const prefix = 'refused ';
/** Files that are remembered; beyond it pages are given to no handle of an earlier daemon's. */
const maxFiles = 65_536;

interface RefusedFile {
  /** Of the session that refused it: what that or a later one opened is of afterwards. */
  readonly generation: number;
  /** Open files of before that are known to be there. */
  readonly open: Set<string>;
}

/**
 * Mapped files of which a page was refused. What programs changed in that memory is gone, the kernel drops the page, and few programs call msync, which would say so: they would be shown
 * what the file was before, as if they had never changed it, and SQLite then writes its log over transactions that it had committed. So nobody is given a page of such a file
 * while programs are known to have it open from before: who touches the memory gets SIGBUS. Once those are gone the file is what it is, as where its programs died.
 */
export class RefusedMemory {
  readonly #files = new Map<number, RefusedFile>();
  readonly #records: Records | undefined;
  #isFull = false;

  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#records = records;
    for (const [key, value] of new Map(records?.all())) {
      if (key.startsWith(prefix)) this.#files.set(Number(key.slice(prefix.length)), { generation: Number(value), open: new Set() });
    }
  }

  /** A page was refused in a session of `generation`. @param open handles of the file, as far as they are known. */
  refused(inode: number, generation: number, open: readonly KernelHandle[]): void {
    let file = this.#files.get(inode);
    if (file === undefined) {
      if (this.#files.size >= maxFiles) {
        this.#isFull = true;
        return;
      }
      file = { generation, open: new Set() };
      this.#files.set(inode, file);
      this.#records?.put([[prefix + inode, generation]]);
    }
    for (const handle of open) if (isBefore(handle, file.generation)) file.open.add(keyOf(handle));
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  /** Whether the kernel may be given a page for an open file. @param locked others that the file was locked through. */
  mayGive(inode: number, handle: KernelHandle, generation: number, locked: () => readonly KernelHandle[]): boolean {
    const file = this.#files.get(inode);
    if (file === undefined) return !this.#isFull || !isBefore(handle, generation);
    if (isBefore(handle, file.generation)) {
      file.open.add(keyOf(handle));
      return false;
    }
    return file.open.size === 0 && !locked().some((each) => isBefore(each, file.generation));
  }

  released(inode: number, handle: KernelHandle): void {
    this.#files.get(inode)?.open.delete(keyOf(handle));
  }
}

/** 0 is of a file that the kernel opened without asking. */
function isBefore({ high }: KernelHandle, generation: number): boolean {
  return high !== 0 && high < generation;
}
