import type { FileLock } from '../file-system.ts';
import { LockSet } from '../locks/lock-set.ts';

/** Ranges of all files that are remembered; beyond it everything counts as taken. */
const maxRanges = 4096;

/**
 * What was locked while a host was not heard: a lock of its programs that was in the way of any of that was lost, also where it is free again. Ranges that one host took alike are one, so this is small
 * as a rule.
 */
export class TakenMeanwhile {
  readonly #byInode = new Map<number, LockSet>();
  #size = 0;
  #all = false;

  /** Nobody knows what was. */
  static everything(): TakenMeanwhile {
    const taken = new TakenMeanwhile();
    taken.#all = true;
    return taken;
  }

  note(inode: number, { kind, type, owner, start, end }: FileLock): void {
    if (this.#all) return;
    let taken = this.#byInode.get(inode);
    if (taken === undefined) this.#byInode.set(inode, (taken = new LockSet()));
    const before = taken.size;
    taken.put({ kind, type, owner: `${type} ${hostOf(owner)}`, pid: 0, start, end });
    this.#size += taken.size - before;
    if (this.#size <= maxRanges) return;
    this.#all = true;
    this.#byInode.clear();
  }

  /** Whether another host took what is in the way of the lock. */
  has(inode: number, lock: FileLock): boolean {
    const host = hostOf(lock.owner);
    return this.#all || this.#byInode.get(inode)?.conflict(lock, ({ type, owner }) => owner !== `${type} ${host}`) !== undefined;
  }
}

/** Owners bear the name of their host. */
export function hostOf(owner: string): string {
  return owner.slice(owner.lastIndexOf('@') + 1);
}
