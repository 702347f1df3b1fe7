import { HandleNumbers } from './handle-numbers.ts';
import type { Inode } from './inodes/inode.ts';

/** Files without a handle whose reading is followed at a time. */
const maxReaders = 1024;

/** Handles of one mount session, before a number could be one of an earlier session's. */
const handlesPerSession = 2 ** 20;

/** How a file is being read. */
export interface Reader {
  /** Where the last read ended: one that goes on there is sequential. */
  readEnd: number;
  /** Read ahead up to here. */
  aheadEnd: number;
}

/** An open file or directory. */
export interface Handle extends Reader {
  readonly number: number;
  readonly inode: Inode;
  /** {@link Inode.failures} that its user was told of. */
  failures: number;
}

/**
 * Open handles. After a restart behind a living kernel session there are handles of the process before: they are unknown here and
 * need not be known, since every request names its inode too. Numbers of different sessions differ, so none is taken for another's.
 */
export class Handles {
  readonly #handles = new Map<number, Handle>();
  /** By inode, for files that were opened without telling. */
  readonly #readers = new Map<number, Reader>();
  readonly #numbers: HandleNumbers;

  constructor(session: number) {
    this.#numbers = new HandleNumbers(1 + (session % 4096) * handlesPerSession);
  }

  open(inode: Inode): Handle {
    // A failure that nobody was told of yet is told to the next who opens the file, as Linux does.
    const failures = inode.failureSeen ? inode.failures : inode.failures - 1;
    const handle: Handle = { number: this.#numbers.take(this.#handles), inode, failures, readEnd: 0, aheadEnd: 0 };
    this.#handles.set(handle.number, handle);
    inode.handles++;
    return handle;
  }

  /** undefined for one that an earlier process opened. */
  get(number: number, inode: number): Handle | undefined {
    const handle = this.#handles.get(number);
    return handle?.inode.number === inode ? handle : undefined;
  }

  /** Who reads an inode through this handle, or through any where there is none. */
  reader(number: number, inode: number): Reader {
    const handle = this.get(number, inode);
    if (handle !== undefined) return handle;
    let reader = this.#readers.get(inode);
    if (reader !== undefined) return reader;
    if (this.#readers.size >= maxReaders) this.#readers.delete(this.#readers.keys().next().value!);
    this.#readers.set(inode, (reader = { readEnd: 0, aheadEnd: 0 }));
    return reader;
  }

  close(handle: Handle): void {
    if (this.#handles.delete(handle.number)) handle.inode.handles--;
  }
}
