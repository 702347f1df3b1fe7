import type { FileLock, LockOwner } from '../file-system.ts';
import { putLock } from '../locks.ts';

/** Locks that this host's programs hold on a shared volume: what is taken again when another host serves it. */
export class HeldLocks {
  readonly #byInode = new Map<number, FileLock[]>();

  /** A lock was taken or, with type `unlock`, given back. */
  note(inode: number, lock: FileLock): void {
    const locks = putLock(this.#byInode.get(inode) ?? [], lock);
    if (locks.length === 0) this.#byInode.delete(inode);
    else this.#byInode.set(inode, locks);
  }

  has(inode: number, kind: FileLock['kind'], owner: LockOwner): boolean {
    return this.#byInode.get(inode)?.some((lock) => lock.kind === kind && lock.owner === owner) === true;
  }

  /** Whether this very lock of {@link all} is still held as it was. */
  holds(inode: number, lock: FileLock): boolean {
    return this.#byInode.get(inode)?.includes(lock) === true;
  }

  all(): readonly { readonly inode: number; readonly lock: FileLock }[] {
    return [...this.#byInode].flatMap(([inode, locks]) => locks.map((lock) => ({ inode, lock })));
  }
}
