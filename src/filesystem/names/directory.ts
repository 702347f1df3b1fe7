import type { BLinkTree, Change, Key, Page } from '../../tree/index.ts';
import { decodeBucket, type Dentry, encodeBucket, keyOf, maxBucketNames, type NamedDentry, positionOf } from './directory-codec.ts';
import { FileSystemError, type MaybePromise } from '../file-system.ts';
import { Miss } from '../miss.ts';
import { NameFilter } from './name-filter.ts';
import { firstPosition, type NameHash } from './name-hash.ts';
import { firstAfter, type NameChange, NameOverlay } from './name-overlay.ts';

/** A name at its place. */
export interface PlacedDentry extends NamedDentry {
  readonly position: number;
}

/**
 * One directory's names: its tree, and over it the changes that the tree does not have yet, those in memory only over those that are durable
 * in the journal. A layer's change hides what is below it. The journal's commit moves changes down by one, the checkpoint puts staged ones into the tree.
 */
export class Directory {
  readonly inode: number;
  readonly tree: BLinkTree;
  readonly overlay: NameOverlay;
  readonly #hash: NameHash;
  /** Nothing was ever put into the tree: no need to look. */
  #fresh: boolean;
  /** All names that it ever had, where it was made in this mount. */
  readonly #filter: NameFilter | undefined;

  constructor(inode: number, tree: BLinkTree, hash: NameHash, fresh: boolean) {
    this.inode = inode;
    this.tree = tree;
    this.#hash = hash;
    this.#fresh = fresh;
    this.#filter = fresh ? new NameFilter() : undefined;
    this.overlay = new NameOverlay(hash);
  }

  /** @throws Miss */
  lookup(name: string): Dentry | undefined {
    const change = this.overlay.get(name);
    if (change !== undefined) return change.dentry;
    const value = this.#valueOf(name);
    return value === undefined ? undefined : decodeBucket(value).find((entry) => entry.name === name);
  }

  /** Changes a name in memory; {@link lookup} has been asked before. @throws FileSystemError ENOSPC where too many names share a hash. */
  change(name: string, dentry: Dentry | undefined): NameChange {
    const change: NameChange = { name, dentry };
    if (dentry !== undefined) this.#filter?.add(this.#hash.of(name));
    this.overlay.change(change);
    return change;
  }

  /** Whether there is room for a further name; @throws Miss, FileSystemError ENOSPC. */
  checkRoom(name: string): void {
    const value = this.#valueOf(name);
    if (value !== undefined && decodeBucket(value).length >= maxBucketNames) throw new FileSystemError('ENOSPC');
  }

  /** What the tree is to be told of these changes. */
  treeChanges(changes: Iterable<NameChange>): Map<Key, Change> {
    const buckets = new Map<Key, NameChange[]>();
    for (const change of changes) {
      const key = keyOf(this.#hash.of(change.name));
      const bucket = buckets.get(key);
      if (bucket === undefined) buckets.set(key, [change]);
      else bucket.push(change);
    }
    const result = new Map<Key, Change>();
    for (const [key, bucket] of buckets) result.set(key, { value: (current) => merge(current, bucket) });
    return result;
  }

  /** The tree is about to be written. */
  touchTree(): void {
    this.#fresh = false;
  }

  /** @throws Miss */
  get empty(): boolean {
    let after = firstPosition - 1;
    for (;;) {
      const page = this.list(after, 64);
      if (page.entries.length > 0) return false;
      if (page.done) return true;
      after = page.until;
    }
  }

  /** About `limit` names after a position, in order; `until`: how far the answer reaches. @throws Miss */
  list(after: number, limit: number): { readonly entries: PlacedDentry[]; readonly done: boolean; readonly until: number } {
    const page = this.#page(after, limit);
    const until = page.done ? Infinity : positionOf(page.entries.at(-1)!.key);
    const overlay = this.overlay.ordered();
    let index = firstAfter(overlay, after);
    const entries: PlacedDentry[] = [];
    /** Overlaid names up to a position; all that share the last one's place come with it. */
    const emit = (through: number): void => {
      for (; index < overlay.length && overlay[index]!.position <= through; index++) {
        const { position, name } = overlay[index]!;
        if (entries.length >= limit && entries.at(-1)!.position !== position) return;
        const dentry = this.overlay.get(name)?.dentry;
        if (dentry !== undefined) entries.push({ position, name, inode: dentry.inode, type: dentry.type });
      }
    };
    for (const { key, value } of page.entries) {
      const position = positionOf(key);
      emit(position - 1);
      if (entries.length >= limit) return { entries, done: false, until: entries.at(-1)!.position };
      for (const entry of decodeBucket(value)) if (this.overlay.get(entry.name) === undefined) entries.push({ position, ...entry });
      emit(position);
    }
    emit(until);
    const all = index >= overlay.length || overlay[index]!.position > until;
    return all ? { entries, done: page.done, until } : { entries, done: false, until: entries.at(-1)!.position };
  }

  #page(after: number, limit: number): Page {
    if (this.#fresh) return { entries: [], done: true };
    const key = after < firstPosition ? undefined : keyOf(after);
    const page = this.tree.scanCached(key, limit) ?? this.tree.scan(key, limit);
    if (page instanceof Promise) throw new Miss(page);
    return page;
  }

  /** What the tree has at a name's place. @throws Miss */
  #valueOf(name: string): Uint8Array | undefined {
    if (this.#fresh) return undefined;
    const position = this.#hash.of(name);
    return this.#filter?.has(position) === false ? undefined : this.#value(keyOf(position));
  }

  #value(key: Key): Uint8Array | undefined {
    const cached = this.tree.getCached(key);
    if (cached !== undefined) return cached.value;
    const value: MaybePromise<Uint8Array | undefined> = this.tree.get(key);
    if (value instanceof Promise) throw new Miss(value);
    return value;
  }
}

/** A bucket after changes to some of its names; null where none is left. */
function merge(current: Uint8Array | undefined, changes: readonly NameChange[]): Uint8Array | null {
  const kept = current === undefined ? [] : decodeBucket(current).filter((entry) => changes.every(({ name }) => name !== entry.name));
  for (const { name, dentry } of changes) if (dentry !== undefined) kept.push({ name, inode: dentry.inode, type: dentry.type });
  return kept.length === 0 ? null : encodeBucket(kept);
}
