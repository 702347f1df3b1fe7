import type { FileLock } from '../file-system.ts';
import { LockSet } from '../locks/lock-set.ts';

/** Files whose locks this host remembers as lost, at the most: of programs that hold on to what they do not have any more. */
const maxFiles = 65_536;

/**
 * Locks that programs of this host had, lost to others, and have not given back: they do not know yet. What such a program writes to the file rests on what it read under the lock, and would go
 * over what others have written since.
 */
export class LostLocks {
  readonly #byInode = new Map<number, LockSet>();

  add(inode: number, lock: FileLock): void {
    const lost = this.#byInode.get(inode);
    if (lost !== undefined) lost.put(lock);
    else if (this.#byInode.size < maxFiles) {
      const first = new LockSet();
      first.put(lock);
      this.#byInode.set(inode, first);
    }
  }

  /** Its owner gives it back, or takes it anew. */
  forget(inode: number, lock: FileLock): void {
    const lost = this.#byInode.get(inode);
    lost?.put({ ...lock, type: 'unlock' });
    if (lost?.size === 0) this.#byInode.delete(inode);
  }

  /** @param held what of the inode this host's programs have. False also where one that lost nothing has a lock: what is written may be under that. */
  fences(inode: number, held: () => readonly FileLock[]): boolean {
    const lost = this.#byInode.get(inode);
    return lost !== undefined && held().every(({ kind, owner }) => lost.has(kind, owner));
  }
}
