import { type FileLock, FileSystemError, type LockOwner } from '../file-system.ts';
import { LockSet } from './lock-set.ts';

/** Waiters on one inode; one more is refused with ENOMEM. */
const maxWaiters = 65_536;
/** Locks held on one inode; one more is refused with ENOMEM (Linux: ENOLCK). */
const maxLocks = 262_144;
/** Locks held on all inodes of a volume; one more is refused likewise. A program in a container needs no rights for them, and each takes some 250 bytes of this process. */
const maxAllLocks = 524_288;
/** How far a chain of waiting owners is followed before it counts as free of a deadlock; as in Linux. */
const maxDeadlockSteps = 10;

interface Waiter {
  readonly inode: number;
  readonly lock: FileLock;
  readonly grant: () => void;
  readonly refuse: (error: unknown) => void;
}

interface Table {
  readonly held: LockSet;
  waiting: Waiter[];
}

/**
 * flock and fcntl (POSIX, open-file-description) locks of a volume. Owners are the kernel's; a POSIX owner is a process's file table,
 * an OFD or flock owner an open file. Waiters are served in order of arrival, each as soon as nothing is in its way.
 */
export class LockTable {
  readonly #tables = new Map<number, Table>();
  /** POSIX owners that wait, with the lock each waits for: the graph in which a deadlock is a cycle. */
  readonly #waitingOwners = new Map<LockOwner, Waiter>();
  readonly #maxLocks: number;
  readonly #maxAllLocks: number;
  /** Locks held on all inodes. */
  #count = 0;

  constructor({ most = maxLocks, mostOfAll = maxAllLocks }: { readonly most?: number; readonly mostOfAll?: number } = {}) {
    this.#maxLocks = most;
    this.#maxAllLocks = mostOfAll;
  }

  /** The first lock in the way of `lock`, among those that count. */
  conflict(inode: number, lock: FileLock, counts?: (held: FileLock) => boolean): FileLock | undefined {
    return this.#tables.get(inode)?.held.conflict(lock, counts);
  }

  /** True where anything is held or awaited on the inode. */
  has(inode: number): boolean {
    return this.#tables.has(inode);
  }

  held(inode: number): readonly FileLock[] {
    return this.#tables.get(inode)?.held.all() ?? [];
  }

  /** How many are held on the inode. */
  count(inode: number): number {
    return this.#tables.get(inode)?.held.size ?? 0;
  }

  /** Whether all that is held on the inode is of such owners, and nobody waits. */
  areOnly(inode: number, isOne: (lock: Pick<FileLock, 'kind' | 'owner'>) => boolean): boolean {
    const table = this.#tables.get(inode);
    if (table === undefined) return true;
    if (table.waiting.length > 0) return false;
    for (const each of table.held.owners()) if (!isOne(each)) return false;
    return true;
  }

  /** Puts locks in the place of some, however many there are: they were given already. None of them may be in the way of another. */
  replace(inode: number, isReplaced: (lock: Pick<FileLock, 'kind' | 'owner'>) => boolean, locks: readonly FileLock[]): void {
    const table = this.#tableOf(inode);
    const before = table.held.size;
    for (const { kind, owner } of table.held.owners()) if (isReplaced({ kind, owner })) table.held.release(kind, owner);
    for (const lock of locks) table.held.put(lock);
    this.#count += table.held.size - before;
    this.#serve(inode, table);
  }

  /** @throws FileSystemError EAGAIN without `wait`, EDEADLK, EINTR when `signal` aborts. */
  set(inode: number, lock: FileLock, wait: boolean, signal?: AbortSignal): void | Promise<void> {
    const table = this.#tableOf(inode);
    // Converting a flock is not atomic: the old lock goes first, even where the new one is then refused (flock(2)).
    if (lock.kind === 'flock') this.#apply(table, { ...lock, type: 'unlock', start: 0, end: Infinity });
    const blocker = lock.type === 'unlock' ? undefined : this.conflict(inode, lock);
    if (blocker === undefined) {
      try {
        this.#apply(table, lock);
      } finally {
        this.#serve(inode, table);
      }
      return;
    }
    this.#serve(inode, table);
    if (!wait) throw new FileSystemError('EAGAIN');
    if (signal?.aborted === true) throw new FileSystemError('EINTR');
    if (lock.kind === 'posix' && this.#deadlocks(lock, blocker)) throw new FileSystemError('EDEADLK');
    if (table.waiting.length >= maxWaiters) throw new FileSystemError('ENOMEM');
    return this.#wait(inode, table, lock, signal);
  }

  /** Drops whatever `owner` holds: a close for POSIX locks, the last close for flock. */
  release(inode: number, kind: FileLock['kind'], owner: LockOwner): void {
    const table = this.#tables.get(inode);
    if (table === undefined) return;
    const before = table.held.size;
    if (!table.held.release(kind, owner)) return;
    this.#count += table.held.size - before;
    this.#serve(inode, table);
  }

  #tableOf(inode: number): Table {
    let table = this.#tables.get(inode);
    if (table === undefined) this.#tables.set(inode, (table = { held: new LockSet(), waiting: [] }));
    return table;
  }

  #wait(inode: number, table: Table, lock: FileLock, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        signal?.removeEventListener('abort', abort);
        if (this.#waitingOwners.get(lock.owner) === waiter) this.#waitingOwners.delete(lock.owner);
      };
      const abort = (): void => {
        table.waiting = table.waiting.filter((other) => other !== waiter);
        this.#serve(inode, table);
        refuse(new FileSystemError('EINTR'));
      };
      const grant = (): void => {
        settle();
        resolve();
      };
      const refuse = (error: unknown): void => {
        settle();
        reject(error);
      };
      const waiter: Waiter = { inode, lock, grant, refuse };
      table.waiting.push(waiter);
      if (lock.kind === 'posix') this.#waitingOwners.set(lock.owner, waiter);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** Grants every waiter that nothing held is in the way of, in order of arrival; forgets an empty table. */
  #serve(inode: number, table: Table): void {
    for (let i = 0; i < table.waiting.length;) {
      const waiter = table.waiting[i]!;
      if (table.held.conflict(waiter.lock) !== undefined) {
        i++;
        continue;
      }
      table.waiting.splice(i, 1);
      try {
        this.#apply(table, waiter.lock);
      } catch (error) {
        // It is this one's, and not whoever's lock it waited for.
        waiter.refuse(error);
        continue;
      }
      waiter.grant();
    }
    if (table.held.size === 0 && table.waiting.length === 0) this.#tables.delete(inode);
  }

  /** Would waiting for `blocker` close a circle of owners that wait for one another? */
  #deadlocks(lock: FileLock, blocker: FileLock): boolean {
    let owner = blocker.owner;
    for (let step = 0; step < maxDeadlockSteps; step++) {
      const waiter = this.#waitingOwners.get(owner);
      if (waiter === undefined) return false;
      const next = this.conflict(waiter.inode, waiter.lock);
      if (next === undefined || next.kind !== 'posix') return false;
      if (next.owner === lock.owner) return true;
      owner = next.owner;
    }
    return false;
  }

  #apply(table: Table, lock: FileLock): void {
    const change = table.held.changeBy(lock);
    const more = change.come.length - change.gone.length;
    // An unlock may take one more, too: what is left of one lock are two then.
    if (lock.type !== 'unlock' && (table.held.size + more > this.#maxLocks || (more > 0 && this.#count + more > this.#maxAllLocks)))
      throw new FileSystemError('ENOMEM');
    table.held.apply(change);
    this.#count += more;
  }
}
