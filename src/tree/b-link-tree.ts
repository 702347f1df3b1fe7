import { InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import { destroyFrom } from './destroy.ts';
import { Housekeeper } from './housekeeper.ts';
import { mendTree } from './mend.ts';
import { emptyNode, indexOf, lowerBound, type TreeNode, valueAt } from './node.ts';
import { NodeStore } from './node-store.ts';
import type { Found } from './search.ts';
import {
  type ApplyResult,
  type Change,
  type Entry,
  type Key,
  maxKeyBytes,
  maxValueBytes,
  type NodeSealer,
  type Page,
  type TreeOptions,
} from './types.ts';
import { Writer } from './writer.ts';

/** Bytes that a node aims at. */
const defaultNodeBytes = 8 * 1024;
const minNodeBytes = 512;
const maxNodeBytes = 32 * 1024;

/**
 * One tree, by the address of its root, which never changes. Instances are cheap (no I/O before the first call): one for each
 * directory in use.
 */
export class BLinkTree {
  readonly root: Address;
  readonly #nodes: NodeStore;
  readonly #target: number;
  readonly #housekeeper: Housekeeper;
  readonly #writer: Writer;

  /** @throws InfinitError `bad-argument`. */
  constructor(root: Address, options: TreeOptions) {
    const target = options.nodeBytes ?? defaultNodeBytes;
    if (!(target >= minNodeBytes && target <= maxNodeBytes))
      throw new InfinitError('bad-argument', `nodeBytes is ${target}; it must be ${minNodeBytes} to ${maxNodeBytes}`);
    this.root = root;
    this.#target = target;
    this.#nodes = new NodeStore(root, options);
    this.#housekeeper = new Housekeeper(this.#nodes, target);
    this.#writer = new Writer(this.#nodes, this.#housekeeper.search, this.#housekeeper, target);
  }

  /**
   * Whether the cache may answer for leaves too: true while a lease excludes other writers. Each assignment starts a new term:
   * what was cached before has to be read again. Set to false (or call {@link invalidate}) BEFORE the lease ends.
   */
  get leased(): boolean {
    return this.#nodes.leased;
  }
  set leased(held: boolean) {
    this.#nodes.leased = held;
  }

  /** Forgets that anything cached is current, and ends {@link leased}. */
  invalidate(): void {
    this.#nodes.leased = false;
  }

  /** The value of a key; undefined where there is none. Synchronous where leased and cached. */
  get(key: Key): Uint8Array | undefined | Promise<Uint8Array | undefined> {
    const leaf = this.#cachedLeaf(key);
    return leaf === undefined ? this.#getFresh(key) : valueIn(leaf, key);
  }

  async #getFresh(key: Key): Promise<Uint8Array | undefined> {
    return valueIn((await this.#leaf(key)).node, key);
  }

  /** The answer of the cache alone: a hit (the value undefined where the key is known to be absent), or undefined where it cannot tell or no lease is held. */
  getCached(key: Key): { readonly hit: true; readonly value: Uint8Array | undefined } | undefined {
    const leaf = this.#cachedLeaf(key);
    return leaf === undefined ? undefined : { hit: true, value: valueIn(leaf, key) };
  }

  /**
   * Up to `limit` entries with keys greater than `after` (from the start where undefined), in order. May return fewer though not
   * done, but at least one. Synchronous where leased and cached. What is in the tree all the time is returned exactly once by a
   * series of scans that each go on after the last key of the one before.
   */
  scan(after: Key | undefined, limit: number): Page | Promise<Page> {
    return this.scanCached(after, limit) ?? this.#scanFresh(after, limit);
  }

  async #scanFresh(after: Key | undefined, limit: number): Promise<Page> {
    const collected = new PageBuilder(after, limit);
    let from: Key | undefined = after ?? '';
    while (from !== undefined) {
      const { node }: Found = await this.#leaf(from);
      from = collected.take(node, from);
    }
    return collected.page;
  }

  /** {@link scan} from the cache alone; undefined where it cannot tell the next entry. */
  scanCached(after: Key | undefined, limit: number): Page | undefined {
    const collected = new PageBuilder(after, limit);
    let from: Key | undefined = after ?? '';
    while (from !== undefined) {
      const leaf = this.#cachedLeaf(from);
      if (leaf === undefined) return collected.page.entries.length > 0 ? collected.page : undefined;
      from = collected.take(leaf, from);
    }
    return collected.page;
  }

  /** Whether there is a root: a tree that nobody wrote to yet has none. @throws InfinitError. */
  async exists(): Promise<boolean> {
    return ((await this.#nodes.load(this.root))?.version ?? 0) > 0;
  }

  /**
   * Makes changes durable. They are grouped by leaf and leaves are written in parallel; calls that overlap in time share leaf writes.
   * Each leaf is atomic, the batch is not. Never rejects for the sake of a key: see {@link ApplyResult}.
   * @throws InfinitError `bad-argument`, `too-large` for keys and values out of bounds, `overloaded`, before anything is changed.
   */
  async apply(changes: ReadonlyMap<Key, Change>): Promise<ApplyResult> {
    for (const [key, change] of changes) checkChange(key, change);
    return this.#writer.submit(changes);
  }

  /** Deferred housekeeping (separators of split nodes, merges of near-empty ones) is done or has been given up. Nobody needs to wait for it: every reader manages without. */
  settled(): Promise<void> {
    return this.#housekeeper.settled();
  }

  /** Removes the root if the tree has no entry, atomically against other writers; false where it has one. With `missingRoot: 'fail'` every later call fails with `not-found`. */
  async removeIfEmpty(): Promise<boolean> {
    for (;;) {
      const root = await this.#nodes.load(this.root);
      if (root === undefined || root.version === 0) return true;
      if (root.node.level > 0) {
        if (!(await this.#housekeeper.shrinkToRoot())) return false;
        continue;
      }
      if (root.node.keys.length > 0) return false;
      const [outcome] = (await this.#nodes.write([[{ address: this.root, version: root.version, node: null }]]))[0]!;
      if (outcome!.status === 'committed') return true;
      if (outcome!.status === 'failed') throw outcome!.error;
    }
  }

  /** Removes all blocks of the tree, the root last; `onEntries` sees the entries of each leaf before it goes. Writers must be excluded by the caller. May be repeated after a crash. */
  async destroy(onEntries?: (entries: readonly Entry[]) => Promise<void> | void): Promise<void> {
    await this.settled();
    await destroyFrom(this.#nodes, this.root, undefined, onEntries);
  }

  /** {@link mendTree}. Until then whoever needs a node that is lost is told `lost`. */
  async mend(givenUp = true): Promise<number> {
    await this.settled();
    return mendTree(this.#nodes, this.#target, givenUp);
  }

  #cachedLeaf(key: Key): TreeNode | undefined {
    if (!this.#nodes.leased) return undefined;
    const route = this.#housekeeper.search.route(key, 0, 'at');
    return route.kind === 'found' && this.#nodes.isCurrent(route.found) ? route.found.node : undefined;
  }

  async #leaf(key: Key): Promise<Found> {
    const found = await this.#housekeeper.search.find(key, 0);
    if (found === undefined) throw new InfinitError('bug', `tree ${this.root} has no leaves`);
    return found;
  }
}

/** The payload of an empty tree's root, for an owner who creates it himself (`missingRoot: 'fail'`), say in one stage with an inode. */
export function emptyRoot(root: Address, sealer: NodeSealer): Uint8Array {
  return sealer.seal(root, emptyNode.body);
}

/** Collects a page from leaves in order. */
class PageBuilder {
  readonly #entries: Entry[] = [];
  readonly #after: Key | undefined;
  readonly #limit: number;
  #done = false;

  constructor(after: Key | undefined, limit: number) {
    this.#after = after;
    this.#limit = Math.max(1, limit);
  }

  /** Takes what it wants of the leaf that covers `from`. @returns where to go on; undefined where the page is full or the tree ends. */
  take(leaf: TreeNode, from: Key): Key | undefined {
    const { keys } = leaf;
    // The leaf may begin before `from`, as it does when it took in a neighbour during the scan.
    let i = lowerBound(keys, from);
    if (keys[i] === this.#after) i++;
    for (; i < keys.length && this.#entries.length < this.#limit; i++) this.#entries.push({ key: keys[i]!, value: valueAt(leaf, i) });
    if (i < keys.length) return undefined;
    this.#done = leaf.high === undefined;
    return this.#entries.length < this.#limit ? leaf.high : undefined;
  }

  get page(): Page {
    return { entries: this.#entries, done: this.#done };
  }
}

function valueIn(leaf: TreeNode, key: Key): Uint8Array | undefined {
  const index = indexOf(leaf.keys, key);
  return index < 0 ? undefined : valueAt(leaf, index);
}

function checkChange(key: Key, change: Change): void {
  if (key.length === 0 || key.length > maxKeyBytes)
    throw new InfinitError(key.length === 0 ? 'bad-argument' : 'too-large', `a key has 1 to ${maxKeyBytes} bytes, not ${key.length}`);
  for (let i = 0; i < key.length; i++)
    if (key.charCodeAt(i) > 255)
      throw new InfinitError('bad-argument', `key ${JSON.stringify(key.slice(0, 40))} is not a byte string (one character a byte)`);
  const value = change === null || change instanceof Uint8Array ? change : change.value;
  if (value instanceof Uint8Array && value.length > maxValueBytes)
    throw new InfinitError('too-large', `a value of ${value.length} bytes is over the ${maxValueBytes} a tree takes`);
}
