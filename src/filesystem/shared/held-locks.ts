import type { Records } from '../../base/index.ts';
import type { FileLock, LockOwner } from '../file-system.ts';
import { type LockChange, LockSet } from '../locks/lock-set.ts';

const prefix = 'locks ';

/** Locks that this host's programs hold on a shared volume: what is taken again when another host serves it, or the daemon is another one. */
export class HeldLocks {
  readonly #byInode = new Map<number, LockSet>();
  readonly #records: Records | undefined;
  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#records = records;
    for (const [key, value] of new Map(records?.all())) {
      if (!key.startsWith(prefix)) continue;
      const inode = Number(key.split(' ')[1]);
      if (!Array.isArray(value)) {
        this.#put(inode, decode(value));
        continue;
      }
      // A daemon of an earlier version had one record for all of a file.
      for (const each of value) this.note(inode, decode(each));
      records!.put([[key, undefined]]);
    }
  }

  /** A lock was taken or, with type `unlock`, given back. */
  note(inode: number, lock: FileLock): void {
    const change = this.#put(inode, lock);
    this.#records?.put(changesOf(inode, change));
  }

  #put(inode: number, lock: FileLock): LockChange {
    let locks = this.#byInode.get(inode);
    if (locks === undefined) this.#byInode.set(inode, (locks = new LockSet()));
    const change = locks.put(lock);
    if (locks.size === 0) this.#byInode.delete(inode);
    return change;
  }

  has(inode: number, kind: FileLock['kind'], owner: LockOwner): boolean {
    return this.#byInode.get(inode)?.has(kind, owner) === true;
  }

  /** Whether this very lock of {@link all} is still held as it was. */
  holds(inode: number, lock: FileLock): boolean {
    return this.#byInode.get(inode)?.includes(lock) === true;
  }

  of(inode: number): readonly FileLock[] {
    return this.#byInode.get(inode)?.all() ?? [];
  }

  /** What of the lock's range its owner does not have, to be given back. */
  gaps(inode: number, lock: FileLock): readonly FileLock[] {
    const gaps: FileLock[] = [];
    let { start } = lock;
    for (const held of this.#byInode.get(inode)?.of(lock.kind, lock.owner) ?? []) {
      if (held.end < start) continue;
      if (held.start > lock.end) break;
      if (held.start > start) gaps.push({ ...lock, type: 'unlock', start, end: held.start - 1 });
      start = held.end + 1;
    }
    if (start <= lock.end) gaps.push({ ...lock, type: 'unlock', start });
    return gaps;
  }

  count(inode: number): number {
    return this.#byInode.get(inode)?.size ?? 0;
  }

  all(): readonly { readonly inode: number; readonly lock: FileLock }[] {
    return [...this.#byInode].flatMap(([inode, locks]) => locks.all().map((lock) => ({ inode, lock })));
  }
}

/** A record for each lock, so that a change costs the same however many there are. An owner's do not overlap: where one begins names it. */
function changesOf(inode: number, { gone, come }: LockChange): ReadonlyMap<string, unknown> {
  const key = ({ kind, start, owner }: FileLock): string => `${prefix}${inode} ${kind} ${start} ${owner}`;
  const changes = new Map<string, unknown>(come.map((lock) => [key(lock), encode(lock)]));
  for (const lock of gone) if (!changes.has(key(lock))) changes.set(key(lock), undefined);
  return changes;
}

/** JSON has no infinity. */
function encode(lock: FileLock): unknown {
  return { ...lock, end: lock.end === Infinity ? null : lock.end };
}

function decode(value: unknown): FileLock {
  const lock = value as Omit<FileLock, 'end'> & { readonly end: number | null };
  return { ...lock, end: lock.end ?? Infinity };
}
