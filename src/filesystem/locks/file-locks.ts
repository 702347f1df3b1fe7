import type { Claims } from '../core.ts';
import { type FileLock, FileSystemError, type LockOwner, type MaybePromise } from '../file-system.ts';
import { LockTable } from './locks.ts';

/** The locks of a volume's files. Those of a file that another host grants by itself come back before anybody looks at them. */
export class FileLocks {
  readonly #table = new LockTable();
  readonly #claims: () => Claims | undefined;

  constructor(claims: () => Claims | undefined) {
    this.#claims = claims;
  }

  /** A lock of another owner that is in the way. */
  conflict(inode: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    const back = this.#claims()?.locks(inode, true);
    return back === undefined ? this.#table.conflict(inode, lock) : back.then(() => this.conflict(inode, lock));
  }

  /** As {@link LockTable.set}. What its owner gives back is in nobody's way. Without `wait` what another host may have granted, and does not say, counts as held. */
  set(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): MaybePromise<void> {
    const back = lock.type === 'unlock' ? undefined : this.#claims()?.locks(inode, wait);
    return back === undefined ? this.#table.set(inode, lock, wait, signal) : this.#setOnce(back, inode, lock, wait, signal);
  }

  async #setOnce(back: Promise<void>, inode: number, lock: FileLock, wait: boolean, signal: AbortSignal | undefined): Promise<void> {
    await unless(signal, back);
    if (signal?.aborted === true) throw new FileSystemError('EINTR');
    return this.set(inode, lock, wait, signal);
  }

  /** A lock of a host that grants the file's locks by itself, and says which there are. */
  setAgain(inode: number, lock: FileLock): MaybePromise<void> {
    return this.#table.set(inode, lock, false);
  }

  release(inode: number, kind: FileLock['kind'], owner: LockOwner): void {
    this.#table.release(inode, kind, owner);
  }

  /** Whether all that is locked of the inode is of such locks, and nobody waits. */
  areOnly(inode: number, isOne: (lock: Pick<FileLock, 'kind' | 'owner'>) => boolean): boolean {
    return this.#table.areOnly(inode, isOne);
  }

  /** In the place of those that there are. */
  replace(inode: number, isReplaced: (lock: Pick<FileLock, 'kind' | 'owner'>) => boolean, locks: readonly FileLock[]): void {
    this.#table.replace(inode, isReplaced, locks);
  }
}

/** @throws FileSystemError EINTR when the signal aborts first. */
async function unless(signal: AbortSignal | undefined, awaited: Promise<void>): Promise<void> {
  if (signal === undefined) return awaited;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new FileSystemError('EINTR'));
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    await Promise.race([awaited, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
