import type { FileLock } from '../file-system.ts';
import { LockSet } from '../locks/lock-set.ts';
import { NoticeTeller } from '../notice-teller.ts';

/** Files whose locks this host remembers as lost, at the most: of programs that hold on to what they do not have any more. */
const maxFiles = 65_536;

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
 * have changed since; and databases lock one file for all that they have. Which program asks for a change is not known, so none of this host changes anything.
 */
export class LostLocks {
  readonly #byInode = new Map<number, LockSet>();
  readonly #teller: NoticeTeller<LostLocksNotice>;

  /** @param tell of others than before; undefined: all are given back. */
  constructor(tell?: (notice: LostLocksNotice | undefined) => void) {
    this.#teller = new NoticeTeller(() => this.#notice(), tell);
  }

  #notice(): LostLocksNotice | undefined {
    if (this.isEmpty) return undefined;
    const named = [...this.#byInode].slice(0, maxNamed);
    const pids = named.flatMap(([, lost]) => lost.all().map(({ pid }) => pid));
    return {
      files: this.#byInode.size,
      examples: named.map(([inode]) => inode),
      processes: [...new Set(pids)].filter((pid) => pid > 0).slice(0, maxNamed),
    };
  }

  add(inode: number, lock: FileLock): void {
    this.#teller.changed();
    const lost = this.#byInode.get(inode);
    if (lost !== undefined) lost.put(lock);
    else if (this.#byInode.size < maxFiles) {
      const first = new LockSet();
      first.put(lock);
      this.#byInode.set(inode, first);
    }
  }

  get isEmpty(): boolean {
    return this.#byInode.size === 0;
  }

  /** Whether its owner has lost a lock of the file. */
  has(inode: number, { kind, owner }: FileLock): boolean {
    return this.#byInode.get(inode)?.has(kind, owner) === true;
  }

  /** Its owner gives it back. */
  forget(inode: number, lock: FileLock): void {
    const lost = this.#byInode.get(inode);
    if (lost === undefined) return;
    this.#teller.changed();
    lost.put({ ...lock, type: 'unlock' });
    if (lost.size === 0) this.#byInode.delete(inode);
  }

  /** @param held what of the file that is to be changed this host's programs have locked. False also where one that lost nothing has a lock: what is changed may be under that. */
  fences(held: () => readonly FileLock[]): boolean {
    return !this.isEmpty && held().every(({ kind, owner }) => this.#byInode.values().some((lost) => lost.has(kind, owner)));
  }

  /** As {@link fences}, of what was written to the file before that. */
  spoils(inode: number, held: () => readonly FileLock[]): boolean {
    return this.#byInode.has(inode) && this.fences(held);
  }
}
