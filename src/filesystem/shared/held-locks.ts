import type { Records } from '../../base/index.ts';
import type { FileLock, LockOwner } from '../file-system.ts';
import { putLock } from '../locks.ts';

const prefix = 'locks ';

/** Locks that this host's programs hold on a shared volume: what is taken again when another host serves it, or the daemon is another one. */
export class HeldLocks {
  readonly #byInode = new Map<number, FileLock[]>();
  readonly #records: Records | undefined;

  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#records = records;
    for (const [key, value] of records?.all() ?? []) if (key.startsWith(prefix)) this.#byInode.set(Number(key.slice(prefix.length)), decode(value));
  }

  /** A lock was taken or, with type `unlock`, given back. */
  note(inode: number, lock: FileLock): void {
    const before = this.#byInode.get(inode);
    if (before === undefined && lock.type === 'unlock') return;
    const locks = putLock(before ?? [], lock);
    if (locks.length === 0) this.#byInode.delete(inode);
    else this.#byInode.set(inode, locks);
    this.#records?.put(prefix + inode, locks.length === 0 ? undefined : encode(locks));
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

/** JSON has no infinity. */
function encode(locks: readonly FileLock[]): unknown {
  return locks.map((lock) => ({ ...lock, end: lock.end === Infinity ? null : lock.end }));
}

function decode(value: unknown): FileLock[] {
  return (value as (Omit<FileLock, 'end'> & { readonly end: number | null })[]).map((lock) => ({ ...lock, end: lock.end ?? Infinity }));
}
