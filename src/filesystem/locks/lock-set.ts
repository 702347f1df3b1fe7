import type { FileLock, LockOwner } from '../file-system.ts';
import { LockList } from './lock-list.ts';

/** What taking a lock, or giving one back, takes away and brings. */
export interface LockChange {
  readonly gone: readonly FileLock[];
  readonly come: readonly FileLock[];
}

/** Locks of one kind. */
class OfKind {
  readonly list = new LockList();
  /** Of each owner sorted and disjoint. */
  readonly byOwner = new Map<LockOwner, FileLock[]>();
}

const unchanged: LockChange = { gone: [], come: [] };

/** Locks held of one file. Taking one, and finding what is in its way, costs about the same however many there are. */
export class LockSet {
  readonly #kinds = { posix: new OfKind(), flock: new OfKind() } as const;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** What putting the lock over what its owner has comes to: overlaps are replaced, split or shortened, neighbours of the same type become one. */
  changeBy(lock: FileLock): LockChange {
    const own = this.of(lock.kind, lock.owner);
    const gone: FileLock[] = [];
    const [left, right]: FileLock[][] = [[], []];
    let { start, end } = lock;
    for (let at = firstThatEndsAt(own, lock.start - 1); at < own.length; at++) {
      const held = own[at]!;
      if (held.start > lock.end + 1) break;
      if (held.type === lock.type) {
        if (held.start <= lock.start && held.end >= lock.end) return unchanged;
        start = Math.min(start, held.start);
        end = Math.max(end, held.end);
      } else {
        if (held.end < lock.start || held.start > lock.end) continue;
        if (held.start < lock.start) left!.push({ ...held, end: lock.start - 1 });
        if (held.end > lock.end) right!.push({ ...held, start: lock.end + 1 });
      }
      gone.push(held);
    }
    return { gone, come: [...left!, ...(lock.type === 'unlock' ? [] : [{ ...lock, start, end }]), ...right!] };
  }

  /** Of {@link changeBy}, with nothing between. */
  apply({ gone, come }: LockChange): void {
    const first = gone[0] ?? come[0];
    if (first === undefined) return;
    const { list, byOwner } = this.#kinds[first.kind];
    let own = byOwner.get(first.owner);
    if (own === undefined) byOwner.set(first.owner, (own = []));
    own.splice(firstThatEndsAt(own, first.start), gone.length, ...come);
    if (own.length === 0) byOwner.delete(first.owner);
    for (const lock of gone) list.delete(lock);
    for (const lock of come) list.add(lock);
    this.#size += come.length - gone.length;
  }

  put(lock: FileLock): LockChange {
    const change = this.changeBy(lock);
    this.apply(change);
    return change;
  }

  /** Drops whatever the owner has. False: it had nothing. */
  release(kind: FileLock['kind'], owner: LockOwner): boolean {
    const gone = [...this.of(kind, owner)];
    this.apply({ gone, come: [] });
    return gone.length > 0;
  }

  /** The first that is in the way of the lock, among those that count. */
  conflict(lock: FileLock, counts?: (held: FileLock) => boolean): FileLock | undefined {
    return this.#kinds[lock.kind].list.find(
      lock.start,
      lock.end,
      (held) => held.owner !== lock.owner && (held.type === 'write' || lock.type === 'write') && counts?.(held) !== false,
    );
  }

  has(kind: FileLock['kind'], owner: LockOwner): boolean {
    return this.#kinds[kind].byOwner.has(owner);
  }

  of(kind: FileLock['kind'], owner: LockOwner): readonly FileLock[] {
    return this.#kinds[kind].byOwner.get(owner) ?? [];
  }

  /** Whether this very one is held, as it was. */
  includes(lock: FileLock): boolean {
    const own = this.of(lock.kind, lock.owner);
    return own[firstThatEndsAt(own, lock.start)] === lock;
  }

  *owners(): Iterable<{ readonly kind: FileLock['kind']; readonly owner: LockOwner }> {
    for (const kind of ['posix', 'flock'] as const) for (const owner of this.#kinds[kind].byOwner.keys()) yield { kind, owner };
  }

  all(): FileLock[] {
    return Object.values(this.#kinds).flatMap(({ byOwner }) => [...byOwner.values()].flat());
  }
}

/** The first of an owner's that has this byte or one behind it. */
function firstThatEndsAt(own: readonly FileLock[], byte: number): number {
  let [low, high] = [0, own.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (own[middle]!.end < byte) low = middle + 1;
    else high = middle;
  }
  return low;
}
