import type { Records } from '../base/index.ts';
import type { FileLock, LockOwner } from '../filesystem/index.ts';
import type { KernelHandle } from './wire/index.ts';

const prefix = 'owners ';

/**
 * Who locked through which open file. A process's record locks end with the FLUSH of any close, which names their owner; those of an
 * open file (F_OFD_SETLK) have an owner that no close ever names, so they are to be released with the handle.
 * Bounded by the kernel's open files; an inode is here only while somebody holds record locks on it.
 */
export class LockOwners {
  readonly #byInode = new Map<number, Map<string, Set<LockOwner>>>();
  readonly #records: Records | undefined;

  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#records = records;
    for (const [key, value] of records?.all() ?? [])
      if (key.startsWith(prefix))
        this.#byInode.set(
          Number(key.slice(prefix.length)),
          new Map((value as [string, LockOwner[]][]).map(([handle, owners]) => [handle, new Set(owners)])),
        );
  }

  locked(inode: number, handle: KernelHandle, lock: FileLock): void {
    if (lock.kind !== 'posix' || lock.type === 'unlock') return;
    let handles = this.#byInode.get(inode);
    if (handles === undefined) this.#byInode.set(inode, (handles = new Map()));
    const key = keyOf(handle);
    const owners = handles.get(key);
    if (owners?.has(lock.owner) === true) return;
    if (owners === undefined) handles.set(key, new Set([lock.owner]));
    else owners.add(lock.owner);
    this.#record(inode);
  }

  /** The owner's locks on the inode are gone, through whichever handle it took them. */
  flushed(inode: number, owner: LockOwner): void {
    const handles = this.#byInode.get(inode);
    if (handles === undefined) return;
    for (const [key, owners] of handles) if (owners.delete(owner) && owners.size === 0) handles.delete(key);
    if (handles.size === 0) this.#byInode.delete(inode);
    this.#record(inode);
  }

  /** The open file is gone: owners whose locks are left. */
  released(inode: number, handle: KernelHandle): Iterable<LockOwner> {
    const handles = this.#byInode.get(inode);
    if (handles === undefined) return [];
    const key = keyOf(handle);
    const owners = handles.get(key) ?? [];
    handles.delete(key);
    if (handles.size === 0) this.#byInode.delete(inode);
    this.#record(inode);
    return owners;
  }

  #record(inode: number): void {
    const handles = this.#byInode.get(inode);
    this.#records?.put(prefix + inode, handles && [...handles].map(([handle, owners]) => [handle, [...owners]]));
  }
}

function keyOf(handle: KernelHandle): string {
  return `${handle.high}.${handle.low}`;
}
