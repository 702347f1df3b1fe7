import type { Address } from '../../block/index.ts';

/** Nodes that a cache keeps unless told otherwise. */
export const defaultCachedNodes = 1024;

/** Decoded nodes by address, least recently used first out. Nodes are immutable, so one cache serves all files of a volume. */
export class ExtentNodeCache {
  readonly #maxNodes: number;
  readonly #nodes = new Map<Address, unknown>();

  constructor(maxNodes: number = defaultCachedNodes) {
    this.#maxNodes = maxNodes;
  }

  /** Nodes held at the moment. */
  get size(): number {
    return Math.min(this.#nodes.size, this.#maxNodes);
  }
}
