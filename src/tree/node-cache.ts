import type { Address } from '../block/index.ts';

/** Nodes that a cache keeps unless told otherwise: at 8 KiB a node about 30 MiB of heap. */
export const defaultCachedNodes = 1024;

/** Decoded nodes by address, least recently used first out. One for all trees of a volume. */
export class NodeCache {
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
