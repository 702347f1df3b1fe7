import type { Records } from '../../base/index.ts';
import type { FileLock } from '../file-system.ts';
import { NoticeTeller } from '../notice-teller.ts';
import { NotedLocks } from './noted-locks.ts';

/** Of so many files, and processes, {@link LostLocksNotice} says which. */
const maxNamed = 5;

/** What keeps this host from changing anything, for people. */
export interface LostLocksNotice {
  readonly files: number;
  /** The first of them, by inode. */
  readonly examples: readonly number[];
  /** Who had locked these, by process, as far as the kernel said. */
  readonly processes: readonly number[];
}

/**
 * Locks that programs of this host had, lost to others, and have not given back: they do not know yet. What such a program changes rests on what it read under the lock, and would go over what others
 * have changed since; and databases lock one file for all that they have. Which program asks for a change is not known, so none of this host changes anything. They outlive this process, as those programs do.
 * No more than there were locks of files that are open: with its last descriptor a lock is forgotten, and who has lost one gets no more of that file.
 */
export class LostLocks {
  readonly #lost: NotedLocks;
  readonly #teller: NoticeTeller<LostLocksNotice>;

  /**
   * @param records what the next daemon of the mount will know of them, and what the one before left.
   * @param tell of others than before; undefined: all are given back.
   */
  constructor(records?: Records, tell?: (notice: LostLocksNotice | undefined) => void) {
    this.#lost = new NotedLocks('lost', records);
    this.#teller = new NoticeTeller(() => this.#notice(), tell);
    if (!this.isEmpty) this.#teller.changed();
  }

  #notice(): LostLocksNotice | undefined {
    if (this.isEmpty) return undefined;
    const named = [...this.#lost.files()].slice(0, maxNamed);
    const pids = named.flatMap(([, lost]) => lost.all().map(({ pid }) => pid));
    return {
      files: this.#lost.size,
      examples: named.map(([inode]) => inode),
      processes: [...new Set(pids)].filter((pid) => pid > 0).slice(0, maxNamed),
    };
  }

  add(inode: number, lock: FileLock): void {
    this.#teller.changed();
    this.#lost.note(inode, lock);
  }

  get isEmpty(): boolean {
    return this.#lost.size === 0;
  }

  inodes(): readonly number[] {
    return [...this.#lost.files()].map(([inode]) => inode);
  }

  /** Whether its owner has lost a lock of the file. */
  has(inode: number, { kind, owner }: FileLock): boolean {
    return this.#lost.of(inode)?.has(kind, owner) === true;
  }

  /** Its owner gives it back. */
  forget(inode: number, lock: FileLock): void {
    if (this.#lost.of(inode) === undefined) return;
    this.#teller.changed();
    this.#lost.note(inode, { ...lock, type: 'unlock' });
  }

  /** @param held what of the file that is to be changed this host's programs have locked. False also where one that lost nothing has a lock: what is changed may be under that. */
  fences(held: () => readonly FileLock[]): boolean {
    return !this.isEmpty && held().every(({ kind, owner }) => this.#lost.files().some(([, lost]) => lost.has(kind, owner)));
  }

  /** As {@link fences}, of what was written to the file before that. */
  spoils(inode: number, held: () => readonly FileLock[]): boolean {
    return this.#lost.of(inode) !== undefined && this.fences(held);
  }
}
