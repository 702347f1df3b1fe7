import type { Claims } from '../core.ts';
import { type FileLock, FileSystemError, type LockOwner, type MaybePromise } from '../file-system.ts';
import { LockTable } from './locks.ts';

/** Who has locks, where that are programs of other hosts. */
export interface LockHosts {
  /** A lock was taken. */
  taken(inode: number, lock: FileLock): void;
  /** Somebody was told that no lock of others is in the way of his. */
  free(inode: number, lock: FileLock): void;
  /** Whether any host is not heard. */
  isQuiet(): boolean;
  /** Of a lock that is held: the promise resolves when it is known whether its host lives. undefined: it is. */
  silence(held: FileLock): Promise<void> | undefined;
}

/**
 * The locks of a volume's files. Those of a file that another host grants by itself come back before anybody looks at them. Nobody is told of a lock of a host that may be lost, not even who must not
 * wait: it is there or not when that is known.
 */
export class FileLocks {
  readonly #table = new LockTable();
  readonly #claims: () => Claims | undefined;
  #hosts: LockHosts | undefined;

  constructor(claims: () => Claims | undefined) {
    this.#claims = claims;
  }

  /** From now on other hosts' programs have locks as well. */
  shareWith(hosts: LockHosts): void {
    this.#hosts = hosts;
  }

  /** A lock of another owner that is in the way. */
  conflict(inode: number, lock: FileLock): MaybePromise<FileLock | undefined> {
    const unknown = this.#claims()?.locks(inode, true) ?? this.#silence(inode, lock);
    if (unknown !== undefined) return unknown.then(() => this.conflict(inode, lock));
    const held = this.#table.conflict(inode, lock, this.#isKnown);
    if (held === undefined) this.#hosts?.free(inode, lock);
    return held;
  }

  /**
   * As {@link LockTable.set}. What its owner gives back is in nobody's way. Without `wait` what another host may have granted, and does not say, counts as held once that host is known to live; until
   * that is known, and of a held lock likewise, `signal` ends the wait with EINTR.
   */
  set(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): MaybePromise<void> {
    const unknown = lock.type === 'unlock' ? undefined : (this.#claims()?.locks(inode, wait) ?? (wait ? undefined : this.#silence(inode, lock)));
    if (unknown !== undefined) return this.#setOnce(unknown, inode, lock, wait, signal);
    const taken = this.#table.set(inode, lock, wait, signal);
    if (taken !== undefined) return taken.then(() => this.#taken(inode, lock));
    this.#taken(inode, lock);
  }

  #taken(inode: number, lock: FileLock): void {
    if (lock.type !== 'unlock') this.#hosts?.taken(inode, lock);
  }

  /** Until it is known whether the lock is free; undefined: it is, or what is in its way is of a host that lives. */
  #silence(inode: number, lock: FileLock): Promise<void> | undefined {
    const hosts = this.#hosts;
    if (hosts === undefined || !hosts.isQuiet()) return undefined;
    const held = this.#table.conflict(inode, lock);
    if (held === undefined || this.#table.conflict(inode, lock, this.#isKnown) !== undefined) return undefined;
    return hosts.silence(held);
  }

  readonly #isKnown = (held: FileLock): boolean => this.#hosts?.silence(held) === undefined;

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
