import { InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { ApplyResult, Change, Key, NodeSealer, Page, TreeOptions } from './types.ts';

const pending = (): never => {
  throw new InfinitError('unsupported', 'not written yet');
};

/**
 * One tree, by the address of its root, which never changes. Instances are cheap (no I/O before the first call): one for each
 * directory in use.
 */
export class BLinkTree {
  readonly root: Address;

  constructor(root: Address, options: TreeOptions) {
    this.root = root;
    void options;
  }

  /** Whether the cache may answer for leaves too: true while a lease excludes other writers. Set to false (or call {@link invalidate}) BEFORE the lease ends. */
  get leased(): boolean {
    return pending();
  }
  set leased(held: boolean) {
    void held;
  }

  /** The value of a key; undefined where there is none. Synchronous where leased and cached. */
  get(key: Key): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    void key;
    return pending();
  }

  /** The answer of the cache alone: a hit (the value undefined where the key is known to be absent), or undefined where it cannot tell or no lease is held. */
  getCached(key: Key): { readonly hit: true; readonly value: Uint8Array | undefined } | undefined {
    void key;
    return pending();
  }

  /** Up to `limit` entries with keys greater than `after` (from the start where undefined), in order. May return fewer though not done, but at least one. Synchronous where leased and cached. */
  scan(after: Key | undefined, limit: number): Page | Promise<Page> {
    void after;
    void limit;
    return pending();
  }

  /** {@link scan} from the cache alone; undefined where it cannot tell. */
  scanCached(after: Key | undefined, limit: number): Page | undefined {
    void after;
    void limit;
    return pending();
  }

  /**
   * Makes changes durable. They are grouped by leaf and leaves are written in parallel; calls that overlap in time share leaf writes.
   * Each leaf is atomic, the batch is not. Never rejects for the sake of a key: see {@link ApplyResult}.
   * @throws InfinitError `bad-argument`, `too-large` for keys and values out of bounds, before anything is changed.
   */
  apply(changes: ReadonlyMap<Key, Change>): Promise<ApplyResult> {
    void changes;
    return pending();
  }

  /** Deferred housekeeping (separators of split nodes, merges of near-empty ones) is done or has been given up. Nobody needs to wait for it: every reader manages without. */
  settled(): Promise<void> {
    return pending();
  }

  /** Forgets what is cached of this tree (leaves; inner nodes stay as hints) and ends {@link leased}. */
  invalidate(): void {}

  /** Removes the root if the tree has no entry, atomically against other writers; false where it has one. With `missingRoot: 'fail'` every later call fails with `not-found`. */
  removeIfEmpty(): Promise<boolean> {
    return pending();
  }

  /** Removes all blocks of the tree, the root last; `onEntries` sees the entries of each leaf before it goes. Writers must be excluded by the caller. May be repeated after a crash. */
  destroy(onEntries?: (entries: Page['entries']) => Promise<void> | void): Promise<void> {
    void onEntries;
    return pending();
  }
}

/** The payload of an empty tree's root, for an owner who creates it himself (`missingRoot: 'fail'`), say in one stage with an inode. */
export function emptyRoot(root: Address, sealer: NodeSealer): Uint8Array {
  void root;
  void sealer;
  return pending();
}
