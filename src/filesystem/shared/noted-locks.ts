import type { Records } from '../../base/index.ts';
import type { FileLock } from '../file-system.ts';
import { type LockChange, LockSet } from '../locks/lock-set.ts';

/** Locks by inode, which the next daemon of the mount will know, in the order in which they became some of each file. */
export class NotedLocks {
  readonly #byInode = new Map<number, LockSet>();
  readonly #prefix: string;
  readonly #records: Records | undefined;

  /**
   * @param kind names these among the records.
   * @param records what the next daemon will know, and what the one before left.
   */
  constructor(kind: 'locks' | 'lost', records?: Records) {
    this.#prefix = `${kind} `;
    this.#records = records;
    for (const [key, value] of new Map(records?.all())) {
      if (!key.startsWith(this.#prefix)) continue;
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

  /** There is one or, with type `unlock`, none any more. */
  note(inode: number, lock: FileLock): void {
    const change = this.#put(inode, lock);
    this.#records?.put(this.#changesOf(inode, change));
  }

  #put(inode: number, lock: FileLock): LockChange {
    let locks = this.#byInode.get(inode);
    if (locks === undefined) this.#byInode.set(inode, (locks = new LockSet()));
    const change = locks.put(lock);
    if (locks.size === 0) this.#byInode.delete(inode);
    return change;
  }

  /** A record for each lock, so that a change costs the same however many there are. An owner's do not overlap: where one begins names it. */
  #changesOf(inode: number, { gone, come }: LockChange): ReadonlyMap<string, unknown> {
    const key = ({ kind, start, owner }: FileLock): string => `${this.#prefix}${inode} ${kind} ${start} ${owner}`;
    const changes = new Map<string, unknown>(come.map((lock) => [key(lock), encode(lock)]));
    for (const lock of gone) if (!changes.has(key(lock))) changes.set(key(lock), undefined);
    return changes;
  }

  /** How many files have some. */
  get size(): number {
    return this.#byInode.size;
  }

  of(inode: number): LockSet | undefined {
    return this.#byInode.get(inode);
  }

  files(): MapIterator<[inode: number, locks: LockSet]> {
    return this.#byInode.entries();
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
