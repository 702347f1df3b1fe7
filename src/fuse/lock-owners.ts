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
    for (const [name, value] of new Map(records?.all())) {
      if (!name.startsWith(prefix)) continue;
      const [, inode, handle, owner] = name.split(' ') as [string, string, string, string];
      if (!Array.isArray(value)) {
        this.#add(Number(inode), handle, owner);
        continue;
      }
      // A daemon of an earlier version had one record for all of a file.
      for (const [old, owners] of value as [string, LockOwner[]][]) for (const each of owners) this.#locked(Number(inode), old, each);
      records!.put([[name, undefined]]);
    }
  }

  locked(inode: number, handle: KernelHandle, lock: FileLock): void {
    if (lock.kind !== 'posix' || lock.type === 'unlock') return;
    this.#locked(inode, keyOf(handle), lock.owner);
  }

  #locked(inode: number, handle: string, owner: LockOwner): void {
    if (this.#byInode.get(inode)?.get(handle)?.has(owner) === true) return;
    this.#add(inode, handle, owner);
    this.#records?.put([[nameOf(inode, handle, owner), true]]);
  }

  #add(inode: number, handle: string, owner: LockOwner): void {
    let handles = this.#byInode.get(inode);
    if (handles === undefined) this.#byInode.set(inode, (handles = new Map()));
    const owners = handles.get(handle);
    if (owners === undefined) handles.set(handle, new Set([owner]));
    else owners.add(owner);
  }

  /** Open files that somebody locked the inode through. */
  handlesOf(inode: number): readonly KernelHandle[] {
    return [...(this.#byInode.get(inode)?.keys() ?? [])].map(handleOf);
  }

  /** The owner's locks on the inode are gone, through whichever handle it took them. */
  flushed(inode: number, owner: LockOwner): void {
    const handles = this.#byInode.get(inode);
    if (handles === undefined) return;
    const gone: string[] = [];
    for (const [key, owners] of handles) {
      if (!owners.delete(owner)) continue;
      gone.push(nameOf(inode, key, owner));
      if (owners.size === 0) handles.delete(key);
    }
    if (handles.size === 0) this.#byInode.delete(inode);
    this.#forget(gone);
  }

  /** The open file is gone: owners whose locks are left. */
  released(inode: number, handle: KernelHandle): Iterable<LockOwner> {
    const handles = this.#byInode.get(inode);
    if (handles === undefined) return [];
    const key = keyOf(handle);
    const owners = handles.get(key) ?? [];
    handles.delete(key);
    if (handles.size === 0) this.#byInode.delete(inode);
    this.#forget([...owners].map((owner) => nameOf(inode, key, owner)));
    return owners;
  }

  #forget(names: readonly string[]): void {
    this.#records?.put(names.map((name) => [name, undefined]));
  }
}

/** A record for each, so that a change costs the same however many there are. */
function nameOf(inode: number, handle: string, owner: LockOwner): string {
  return `${prefix}${inode} ${handle} ${owner}`;
}

/** A handle as a key. */
export function keyOf(handle: KernelHandle): string {
  return `${handle.high}.${handle.low}`;
}

export function handleOf(key: string): KernelHandle {
  const [high, low] = key.split('.').map(Number) as [number, number];
  return { high, low };
}
