import type { BLinkTree, Change, Entry, Key, Page } from '../tree/index.ts';
import { decodeBucket, type Dentry, encodeBucket, keyOf, maxBucketNames, type NamedDentry, positionOf } from './directory-codec.ts';
import { FileSystemError, type MaybePromise } from './file-system.ts';
import { Miss } from './miss.ts';
import { firstPosition, type NameHash } from './name-hash.ts';

/** A name's new meaning: a dentry, or undefined where it is removed. */
export interface NameChange {
  readonly name: string;
  readonly dentry: Dentry | undefined;
}

/** A name at its place. */
export interface PlacedDentry extends NamedDentry {
  readonly position: number;
}

/**
 * One directory's names, in layers: changes in memory only (`pending`), over changes that are durable in the journal (`staged`), over
 * the tree. A layer's change hides what is below it. The journal's commit moves changes down by one, the checkpoint puts staged ones into the tree.
 */
export class Directory {
  readonly inode: number;
  readonly tree: BLinkTree;
  readonly pending = new Map<string, NameChange>();
  readonly staged = new Map<string, NameChange>();
  readonly #hash: NameHash;
  /** Nothing was ever put into the tree: no need to look. */
  #fresh: boolean;
  /** The overlay in order of position, while it is right. */
  #ordered: Overlaid[] | undefined;

  constructor(inode: number, tree: BLinkTree, hash: NameHash, fresh: boolean) {
    this.inode = inode;
    this.tree = tree;
    this.#hash = hash;
    this.#fresh = fresh;
  }

  get overlaid(): number {
    return this.pending.size + this.staged.size;
  }

  /** @throws Miss */
  lookup(name: string): Dentry | undefined {
    const change = this.pending.get(name) ?? this.staged.get(name);
    if (change !== undefined) return change.dentry;
    if (this.#fresh) return undefined;
    const value = this.#value(keyOf(this.#hash.of(name)));
    return value === undefined ? undefined : decodeBucket(value).find((entry) => entry.name === name);
  }

  /** Changes a name in memory; {@link lookup} has been asked before. @throws FileSystemError ENOSPC where too many names share a hash. */
  change(name: string, dentry: Dentry | undefined): NameChange {
    const change: NameChange = { name, dentry };
    this.pending.set(name, change);
    this.#ordered = undefined;
    return change;
  }

  /** Whether there is room for a further name; @throws Miss, FileSystemError ENOSPC. */
  checkRoom(name: string): void {
    if (this.#fresh) return;
    const value = this.#value(keyOf(this.#hash.of(name)));
    if (value !== undefined && decodeBucket(value).length >= maxBucketNames) throw new FileSystemError('ENOSPC');
  }

  /** The journal has these changes now. */
  stage(changes: Iterable<NameChange>): void {
    for (const change of changes) {
      this.staged.set(change.name, change);
      if (this.pending.get(change.name) === change) this.pending.delete(change.name);
    }
    this.#ordered = undefined;
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

  /** The tree has these changes now. */
  applied(changes: Iterable<NameChange>): void {
    for (const change of changes) if (this.staged.get(change.name) === change) this.staged.delete(change.name);
    this.#ordered = undefined;
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
    const overlay = this.#overlay();
    let index = firstAfter(overlay, after);
    const entries: PlacedDentry[] = [];
    const emitOverlay = (through: number): void => {
      for (; index < overlay.length && overlay[index]!.position <= through && entries.length < limit; index++) {
        const { position, name, dentry } = overlay[index]!;
        if (dentry !== undefined) entries.push({ position, name, inode: dentry.inode, type: dentry.type });
      }
    };
    for (const { key, value } of page.entries) {
      const position = positionOf(key);
      emitOverlay(position - 1);
      if (entries.length >= limit) return this.#cutShort(entries, overlay, index);
      for (const entry of decodeBucket(value)) {
        if (!this.pending.has(entry.name) && !this.staged.has(entry.name)) entries.push({ position, ...entry });
      }
      // Names of one position stay together.
      while (index < overlay.length && overlay[index]!.position === position) {
        const { name, dentry } = overlay[index++]!;
        if (dentry !== undefined) entries.push({ position, name, inode: dentry.inode, type: dentry.type });
      }
    }
    emitOverlay(until);
    if (index < overlay.length && overlay[index]!.position <= until) return this.#cutShort(entries, overlay, index);
    return { entries, done: page.done, until };
  }

  /** The limit was reached among overlaid names: the answer ends with the last one, and with all that share its position. */
  #cutShort(entries: PlacedDentry[], overlay: readonly Overlaid[], from: number): { entries: PlacedDentry[]; done: boolean; until: number } {
    const until = entries.at(-1)!.position;
    for (let index = from; index < overlay.length && overlay[index]!.position === until; index++) {
      const { name, dentry } = overlay[index]!;
      if (dentry !== undefined) entries.push({ position: until, name, inode: dentry.inode, type: dentry.type });
    }
    return { entries, done: false, until };
  }

  #page(after: number, limit: number): Page {
    if (this.#fresh) return { entries: [], done: true };
    const key = after < firstPosition ? undefined : keyOf(after);
    const page = this.tree.scanCached(key, limit) ?? this.tree.scan(key, limit);
    if (page instanceof Promise) throw new Miss(page);
    return page;
  }

  #value(key: Key): Uint8Array | undefined {
    const cached = this.tree.getCached(key);
    if (cached !== undefined) return cached.value;
    const value: MaybePromise<Uint8Array | undefined> = this.tree.get(key);
    if (value instanceof Promise) throw new Miss(value);
    return value;
  }

  #overlay(): readonly Overlaid[] {
    if (this.#ordered !== undefined) return this.#ordered;
    const ordered: Overlaid[] = [];
    for (const { name, dentry } of this.pending.values()) ordered.push({ position: this.#hash.of(name), name, dentry });
    for (const { name, dentry } of this.staged.values()) {
      if (!this.pending.has(name)) ordered.push({ position: this.#hash.of(name), name, dentry });
    }
    ordered.sort((a, b) => a.position - b.position);
    return (this.#ordered = ordered);
  }
}

interface Overlaid {
  readonly position: number;
  readonly name: string;
  readonly dentry: Dentry | undefined;
}

function firstAfter(overlay: readonly Overlaid[], position: number): number {
  let low = 0;
  let high = overlay.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (overlay[middle]!.position > position) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** A bucket after changes to some of its names; null where none is left. */
function merge(current: Uint8Array | undefined, changes: readonly NameChange[]): Uint8Array | null {
  const kept = current === undefined ? [] : decodeBucket(current).filter((entry) => changes.every(({ name }) => name !== entry.name));
  for (const { name, dentry } of changes) if (dentry !== undefined) kept.push({ name, inode: dentry.inode, type: dentry.type });
  return kept.length === 0 ? null : encodeBucket(kept);
}

/** Names in a page of the tree. */
export function dentriesOf(entries: readonly Entry[]): NamedDentry[] {
  return entries.flatMap(({ value }) => decodeBucket(value));
}
