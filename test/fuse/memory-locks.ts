import { FileSystemError, type FileLock } from '../../src/filesystem/index.ts';

/** The advisory locks of one inode. */
export class MemoryLocks {
  #held: FileLock[] = [];
  readonly #waiting = new Set<() => boolean>();

  conflict(lock: FileLock): FileLock | undefined {
    return this.#held.find(
      (held) =>
        held.kind === lock.kind &&
        held.owner !== lock.owner &&
        held.start <= lock.end &&
        lock.start <= held.end &&
        (held.type === 'write' || lock.type === 'write'),
    );
  }

  take(lock: FileLock, wait: boolean, signal?: AbortSignal): void | Promise<void> {
    if (lock.type === 'unlock' || this.conflict(lock) === undefined) return this.#apply(lock);
    if (!wait) throw new FileSystemError('EAGAIN');
    return new Promise((resolve, reject) => {
      const tryAgain = (): boolean => {
        if (this.conflict(lock) !== undefined) return false;
        this.#waiting.delete(tryAgain);
        this.#apply(lock);
        resolve();
        return true;
      };
      this.#waiting.add(tryAgain);
      signal?.addEventListener('abort', () => {
        if (this.#waiting.delete(tryAgain)) reject(new FileSystemError('EINTR'));
      });
    });
  }

  release(kind: FileLock['kind'], owner: string): void {
    this.#apply({ kind, type: 'unlock', owner, pid: 0, start: 0, end: Infinity });
  }

  #apply(lock: FileLock): void {
    const next: FileLock[] = [];
    for (const held of this.#held) {
      if (held.kind !== lock.kind || held.owner !== lock.owner || held.end < lock.start || held.start > lock.end) next.push(held);
      else {
        if (held.start < lock.start) next.push({ ...held, end: lock.start - 1 });
        if (held.end > lock.end) next.push({ ...held, start: lock.end + 1 });
      }
    }
    if (lock.type !== 'unlock') next.push(lock);
    this.#held = next;
    for (const tryAgain of this.#waiting) tryAgain();
  }
}
