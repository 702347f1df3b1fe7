import { type FileLock, FileSystemError, type LockOwner } from '../file-system.ts';

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
  /** Of every owner; of one owner and kind sorted by start and disjoint. */
  held: FileLock[];
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

  /** The first lock in the way of `lock`. */
  conflict(inode: number, lock: FileLock): FileLock | undefined {
    return this.#tables.get(inode)?.held.find((held) => inTheWay(held, lock));
  }

  /** True where anything is held or awaited on the inode. */
  has(inode: number): boolean {
    return this.#tables.has(inode);
  }

  held(inode: number): readonly FileLock[] {
    return this.#tables.get(inode)?.held ?? [];
  }

  /** Whether all that is held on the inode is of such locks, and nobody waits. */
  areOnly(inode: number, isOne: (lock: FileLock) => boolean): boolean {
    const table = this.#tables.get(inode);
    return table === undefined || (table.waiting.length === 0 && table.held.every(isOne));
  }

  /** Puts locks in the place of some, however many there are: they were given already. None of them may be in the way of another. */
  replace(inode: number, isReplaced: (lock: FileLock) => boolean, locks: readonly FileLock[]): void {
    const table = this.#tableOf(inode);
    const kept = table.held.filter((lock) => !isReplaced(lock));
    this.#hold(table, locks.reduce<FileLock[]>(putLock, kept));
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
    const held = table.held.filter((lock) => lock.kind !== kind || lock.owner !== owner);
    if (held.length === table.held.length) return;
    this.#hold(table, held);
    this.#serve(inode, table);
  }

  #tableOf(inode: number): Table {
    let table = this.#tables.get(inode);
    if (table === undefined) this.#tables.set(inode, (table = { held: [], waiting: [] }));
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
      if (table.held.some((held) => inTheWay(held, waiter.lock))) {
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
    if (table.held.length === 0 && table.waiting.length === 0) this.#tables.delete(inode);
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
    const held = putLock(table.held, lock);
    const more = held.length - table.held.length;
    // An unlock may take one more, too: what is left of one lock are two then.
    if (lock.type !== 'unlock' && (held.length > this.#maxLocks || (more > 0 && this.#count + more > this.#maxAllLocks)))
      throw new FileSystemError('ENOMEM');
    this.#hold(table, held);
  }

  #hold(table: Table, held: FileLock[]): void {
    this.#count += held.length - table.held.length;
    table.held = held;
  }
}

/** Puts the lock over what its owner has: overlaps are replaced, split or shortened, neighbours of the same type become one. */
export function putLock(before: readonly FileLock[], lock: FileLock): FileLock[] {
  const kept: FileLock[] = [];
  let { start, end } = lock;
  for (const held of before) {
    const own = held.kind === lock.kind && held.owner === lock.owner;
    if (!own || held.end + 1 < start || held.start > end + 1) kept.push(held);
    else if (held.type === lock.type) {
      start = Math.min(start, held.start);
      end = Math.max(end, held.end);
    } else {
      if (held.start < lock.start) kept.push(held.end < lock.start ? held : { ...held, end: lock.start - 1 });
      if (held.end > lock.end) kept.push(held.start > lock.end ? held : { ...held, start: lock.end + 1 });
    }
  }
  if (lock.type !== 'unlock') kept.push({ ...lock, start, end });
  return kept;
}

function inTheWay(held: FileLock, lock: FileLock): boolean {
  return (
    held.kind === lock.kind &&
    held.owner !== lock.owner &&
    (held.type === 'write' || lock.type === 'write') &&
    held.start <= lock.end &&
    held.end >= lock.start
  );
}
