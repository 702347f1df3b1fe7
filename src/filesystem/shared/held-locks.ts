import type { Records } from '../../base/index.ts';
import type { FileLock, LockOwner } from '../file-system.ts';
import { putLock } from '../locks/locks.ts';

const prefix = 'locks ';

/** Locks that this host's programs hold on a shared volume: what is taken again when another host serves it, or the daemon is another one. */
export class HeldLocks {
  readonly #byInode = new Map<number, FileLock[]>();
  readonly #records: Records | undefined;

  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#records = records;
    for (const [key, value] of new Map(records?.all())) {
      if (!key.startsWith(prefix)) continue;
      const inode = Number(key.split(' ')[1]);
      if (!Array.isArray(value)) {
        const locks = this.#byInode.get(inode);
        if (locks === undefined) this.#byInode.set(inode, [decode(value)]);
        else locks.push(decode(value));
        continue;
      }
      // A daemon of an earlier version had one record for all of a file.
      for (const each of value) this.note(inode, decode(each));
      records!.put([[key, undefined]]);
    }
  }

  /** A lock was taken or, with type `unlock`, given back. */
  note(inode: number, lock: FileLock): void {
    const before = this.#byInode.get(inode);
    if (before === undefined && lock.type === 'unlock') return;
    const locks = putLock(before ?? [], lock);
    if (locks.length === 0) this.#byInode.delete(inode);
    else this.#byInode.set(inode, locks);
    this.#records?.put(this.#changes(inode, lock, before ?? [], locks));
  }

  /**
   * A record for each lock, so that a change costs the same however many there are. An owner's do not overlap: where one begins names it. Only what overlaps or
   * adjoins the new one can have changed.
   */
  #changes(
    inode: number,
    { kind, owner, start, end }: FileLock,
    before: readonly FileLock[],
    now: readonly FileLock[],
  ): ReadonlyMap<string, unknown> {
    const near = (each: FileLock): boolean => each.kind === kind && each.owner === owner && each.end + 1 >= start && each.start <= end + 1;
    const key = (lock: FileLock): string => `${prefix}${inode} ${kind} ${lock.start} ${owner}`;
    const known = new Set(before.filter(near));
    const changes = new Map<string, unknown>();
    for (const lock of now) if (near(lock) && !known.delete(lock)) changes.set(key(lock), encode(lock));
    for (const gone of known) if (!changes.has(key(gone))) changes.set(key(gone), undefined);
    return changes;
  }

  has(inode: number, kind: FileLock['kind'], owner: LockOwner): boolean {
    return this.#byInode.get(inode)?.some((lock) => lock.kind === kind && lock.owner === owner) === true;
  }

  /** Whether this very lock of {@link all} is still held as it was. */
  holds(inode: number, lock: FileLock): boolean {
    return this.#byInode.get(inode)?.includes(lock) === true;
  }

  of(inode: number): readonly FileLock[] {
    return this.#byInode.get(inode) ?? [];
  }

  all(): readonly { readonly inode: number; readonly lock: FileLock }[] {
    return [...this.#byInode].flatMap(([inode, locks]) => locks.map((lock) => ({ inode, lock })));
  }
}

/** JSON has no infinity. */
function encode(lock: FileLock): unknown {
  return { ...lock, end: lock.end === Infinity ? null : lock.end };
}

function decode(value: unknown): FileLock {
  const lock = value as Omit<FileLock, 'end'> & { readonly end: number | null };
  return { ...lock, end: lock.end ?? Infinity };
}
