import type { Records } from '../../base/index.ts';
import type { FileLock, LockOwner } from '../file-system.ts';
import { NotedLocks } from './noted-locks.ts';

/** Locks that this host's programs hold on a shared volume: what is taken again when another host serves it, or the daemon is another one. */
export class HeldLocks {
  readonly #noted: NotedLocks;
  /** @param records What the next daemon of this mount will know, and what the one before left. */
  constructor(records?: Records) {
    this.#noted = new NotedLocks('locks', records);
  }

  /** A lock was taken or, with type `unlock`, given back. */
  note(inode: number, lock: FileLock): void {
    this.#noted.note(inode, lock);
  }

  has(inode: number, kind: FileLock['kind'], owner: LockOwner): boolean {
    return this.#noted.of(inode)?.has(kind, owner) === true;
  }

  /** Whether this very lock of {@link all} is still held as it was. */
  holds(inode: number, lock: FileLock): boolean {
    return this.#noted.of(inode)?.includes(lock) === true;
  }

  of(inode: number): readonly FileLock[] {
    return this.#noted.of(inode)?.all() ?? [];
  }

  /** What of the lock's range its owner does not have, to be given back. */
  gaps(inode: number, lock: FileLock): readonly FileLock[] {
    const gaps: FileLock[] = [];
    let { start } = lock;
    for (const held of this.#noted.of(inode)?.of(lock.kind, lock.owner) ?? []) {
      if (held.end < start) continue;
      if (held.start > lock.end) break;
      if (held.start > start) gaps.push({ ...lock, type: 'unlock', start, end: held.start - 1 });
      start = held.end + 1;
    }
    if (start <= lock.end) gaps.push({ ...lock, type: 'unlock', start });
    return gaps;
  }

  count(inode: number): number {
    return this.#noted.of(inode)?.size ?? 0;
  }

  all(): readonly { readonly inode: number; readonly lock: FileLock }[] {
    return [...this.#noted.files()].flatMap(([inode, locks]) => locks.all().map((lock) => ({ inode, lock })));
  }
}
