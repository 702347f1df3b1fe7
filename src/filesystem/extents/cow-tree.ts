import { assert } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import { editTree, type Edit } from './cow-edit.ts';
import type { ExtentNodeCache } from './extent-node-cache.ts';
import { type Child, decodeExtentNode, encodeExtentNode, type ExtentNode, floorIndex, isLeaf } from './node.ts';
import type { RecordCodec } from './records.ts';
import type { BlockUse, ExtentNodeIo } from './types.ts';

/** Collects the loads that a synchronous attempt lacks; where any are, the attempt's result is void. */
export type Missing = Map<Address, () => Promise<void>>;

/**
 * A copy-on-write B-tree over immutable blocks. What is read of it synchronously is what is cached; an edit makes new nodes along
 * the changed paths and lists the old ones. New nodes are held in memory until a commit with them is durable.
 */
export class CowTree<R> {
  root: Child<R> | undefined;
  readonly codec: RecordCodec<R>;
  readonly #io: ExtentNodeIo;
  readonly #cache: ExtentNodeCache;
  readonly #nodeBytes: number;
  /** Nodes loaded for an operation under way: not to be evicted before it is done. */
  readonly #pinned = new Map<Address, ExtentNode<R>>();

  readonly #loads = new Map<Address, Promise<void>>();

  constructor(codec: RecordCodec<R>, io: ExtentNodeIo, cache: ExtentNodeCache, nodeBytes: number) {
    this.codec = codec;
    this.#io = io;
    this.#cache = cache;
    this.#nodeBytes = nodeBytes;
  }

  /** The node if it is in memory; else undefined, and its load is noted. */
  resolve(child: Child<R>, missing: Missing): ExtentNode<R> | undefined {
    const node = child.node ?? this.#cached(child.address!);
    if (node === undefined) missing.set(child.address!, () => this.#load(child.address!));
    return node;
  }

  #cached(address: Address): ExtentNode<R> | undefined {
    return this.#cache.get<R>(address) ?? this.#pinned.get(address);
  }

  #load(address: Address): Promise<void> {
    let load = this.#loads.get(address);
    if (load === undefined) {
      load = this.#read(address).finally(() => this.#loads.delete(address));
      this.#loads.set(address, load);
    }
    return load;
  }

  async #read(address: Address): Promise<void> {
    const node = decodeExtentNode(address, await this.#io.read(address), this.codec);
    this.#cache.set(address, node);
    this.#pinned.set(address, node);
  }

  /** The node, read where it must be and then neither pinned nor kept in the cache: for walks over everything. */
  async read(child: Child<R>): Promise<ExtentNode<R>> {
    return child.node ?? this.#cached(child.address!) ?? decodeExtentNode(child.address!, await this.#io.read(child.address!), this.codec);
  }

  unpin(): void {
    this.#pinned.clear();
  }

  /** The record with the greatest key that is at most `key`. */
  floor(key: number, missing: Missing): R | undefined {
    let child = this.root;
    while (child !== undefined) {
      const node = this.resolve(child, missing);
      if (node === undefined) return undefined;
      const index = floorIndex(node.keys, key);
      if (index < 0) return undefined;
      if (isLeaf(node)) return node.records[index];
      child = node.children[index];
    }
    return undefined;
  }

  /** The least key that is greater than `key`; undefined where there is none. */
  keyAfter(key: number, missing: Missing): number | undefined {
    let child = this.root;
    let after: number | undefined;
    while (child !== undefined) {
      const node = this.resolve(child, missing);
      if (node === undefined) return undefined;
      const index = floorIndex(node.keys, key);
      // A key of an inner node is a key of a record.
      after = node.keys[index + 1] ?? after;
      if (index < 0 || isLeaf(node)) return after;
      child = node.children[index];
    }
    return after;
  }

  /** The first key of the leaf that is `leaves` before the last one with keys below `key`, within the same parent; undefined where there is none below. */
  leafBefore(key: number, leaves: number, missing: Missing): number | undefined {
    let child = this.root;
    let first: number | undefined;
    while (child !== undefined) {
      const node = this.resolve(child, missing);
      if (node === undefined || node.keys[0]! >= key) return undefined;
      if (isLeaf(node)) return first ?? node.keys[0];
      let index = node.keys.length - 1;
      while (index > 0 && node.keys[index]! >= key) index--;
      first = node.keys[Math.max(0, index - leaves + 1)];
      child = node.children[index];
    }
    return undefined;
  }

  /** The first key behind the leaf that `key` falls into; undefined at the end. */
  leafEnd(key: number, missing: Missing): number | undefined {
    let child = this.root;
    let end: number | undefined;
    while (child !== undefined) {
      const node = this.resolve(child, missing);
      if (node === undefined || isLeaf(node)) return end;
      const index = Math.max(0, floorIndex(node.keys, key));
      end = node.keys[index + 1] ?? end;
      child = node.children[index];
    }
    return end;
  }

  /** Notes the loads of the path that an edit of this key changes. */
  touch(key: number, missing: Missing): void {
    let child = this.root;
    while (child !== undefined) {
      const node = this.resolve(child, missing);
      if (node === undefined || isLeaf(node)) return;
      child = node.children[Math.max(0, floorIndex(node.keys, key))];
    }
  }

  /** Visits the records with keys below `to`, from the one with the greatest key that is at most `from`, in order. */
  range(from: number, to: number, missing: Missing, visit: (record: R) => void): void {
    if (this.root !== undefined) this.#range(this.root, from, to, missing, visit);
  }

  #range(child: Child<R>, from: number, to: number, missing: Missing, visit: (record: R) => void): void {
    const node = this.resolve(child, missing);
    if (node === undefined) return;
    for (let i = Math.max(0, floorIndex(node.keys, from)); i < node.keys.length && node.keys[i]! < to; i++) {
      if (isLeaf(node)) visit(node.records[i]!);
      else this.#range(node.children[i]!, from, to, missing, visit);
    }
  }

  /** Applies edits, in ascending order of keys, all of whose nodes are in memory; returns the stored nodes that are superseded. */
  edit(edits: readonly Edit<R>[]): BlockUse[] {
    const superseded: BlockUse[] = [];
    this.root = editTree(this.root, edits, {
      codec: this.codec,
      nodeBytes: this.#nodeBytes,
      node: (child) => child.node ?? this.#cached(child.address!),
      supersede: ({ address, epoch }) => {
        if (address === undefined) return;
        superseded.push({ address, epoch, kind: 'node' });
        this.#cache.delete(address);
      },
    });
    return superseded;
  }

  /** Seals up to `limit` new nodes, children first; those of an earlier commit that failed keep their blocks. @returns how many were sealed. */
  seal(epoch: number, limit: number): number {
    return this.root === undefined ? 0 : this.#seal(this.root, epoch, limit);
  }

  #seal(child: Child<R>, epoch: number, limit: number): number {
    const { node } = child;
    // Below a sealed node all are.
    if (node === undefined || child.sealed !== undefined) return 0;
    let done = 0;
    if (!isLeaf(node)) for (const below of node.children) done += done < limit ? this.#seal(below, epoch, limit - done) : 0;
    if (done >= limit) return done;
    child.epoch = epoch;
    child.sealed = this.#io.seal(encodeExtentNode(node, this.codec));
    child.address = child.sealed.address;
    return done + 1;
  }

  /** All sealed nodes that are not known to be durable. */
  sealed(): Child<R>[] {
    const found: Child<R>[] = [];
    const collect = (child: Child<R>): void => {
      if (child.node === undefined) return;
      if (!isLeaf(child.node)) for (const below of child.node.children) collect(below);
      found.push(child);
    };
    if (this.root !== undefined) collect(this.root);
    return found;
  }

  /** These new nodes are durable: from now on the cache holds them. */
  settle(children: readonly Child<R>[]): void {
    for (const child of children) {
      assert(child.address !== undefined && child.node !== undefined, 'only new nodes are settled');
      this.#cache.set(child.address, child.node);
      child.node = undefined;
      child.sealed = undefined;
    }
  }
}
