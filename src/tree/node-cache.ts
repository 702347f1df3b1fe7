import { InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { TreeNode } from './node.ts';

/** Nodes that a cache keeps unless told otherwise: at 8 KiB a node about 30 MiB of heap. */
export const defaultCachedNodes = 1024;

/** A node as it was read or written. */
export interface CachedNode {
  readonly node: TreeNode;
  /** The block's version; 0: the block does not exist, and the node is an empty root. */
  readonly version: number;
  /** The lease term in which it was known to be current; see NodeStore. */
  readonly term: number;
}

/** Decoded nodes by address, least recently used first out. One for all trees of a volume. */
export class NodeCache {
  readonly #maxNodes: number;
  readonly #nodes = new Map<Address, CachedNode>();

  /** @throws InfinitError `bad-argument` under 16 nodes: a path from the root and what is being written must fit. */
  constructor(maxNodes: number = defaultCachedNodes) {
    if (!(maxNodes >= 16)) throw new InfinitError('bad-argument', `a node cache holds at least 16 nodes, not ${maxNodes}`);
    this.#maxNodes = maxNodes;
  }

  /** Nodes held at the moment. */
  get size(): number {
    return this.#nodes.size;
  }

  /** The node, which thereby is the most recently used. */
  get(address: Address): CachedNode | undefined {
    const found = this.#nodes.get(address);
    if (found !== undefined && this.#nodes.size * 2 > this.#maxNodes) {
      // Order matters only once the cache fills up.
      this.#nodes.delete(address);
      this.#nodes.set(address, found);
    }
    return found;
  }

  /** Keeps a node, unless a newer version of it is here. */
  set(address: Address, entry: CachedNode): void {
    const now = this.#nodes.get(address);
    if (now !== undefined) {
      if (now.version > entry.version) return;
      this.#nodes.delete(address);
    }
    this.#nodes.set(address, entry);
    if (this.#nodes.size > this.#maxNodes) this.#nodes.delete(this.#nodes.keys().next().value!);
  }

  delete(address: Address): void {
    this.#nodes.delete(address);
  }
}
