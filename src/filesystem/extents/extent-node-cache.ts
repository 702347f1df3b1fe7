import { InfinitError } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { ExtentNode } from './node.ts';

/** Nodes that a cache keeps unless told otherwise: about 16 MiB of heap. */
export const defaultCachedNodes = 1024;

/** Decoded nodes by address, least recently used first out. Nodes are immutable, so one cache serves all files of a volume. */
export class ExtentNodeCache {
  readonly #maxNodes: number;
  readonly #nodes = new Map<Address, ExtentNode<never>>();

  /** @throws InfinitError `bad-argument` under 8 nodes. */
  constructor(maxNodes: number = defaultCachedNodes) {
    if (!(maxNodes >= 8)) throw new InfinitError('bad-argument', `an extent node cache holds at least 8 nodes, not ${maxNodes}`);
    this.#maxNodes = maxNodes;
  }

  /** Nodes held at the moment. */
  get size(): number {
    return this.#nodes.size;
  }

  /** The node, which thereby is the most recently used. An address is only ever asked for by the kind of tree it belongs to. */
  get<R>(address: Address): ExtentNode<R> | undefined {
    const found = this.#nodes.get(address);
    if (found !== undefined && this.#nodes.size * 2 > this.#maxNodes) {
      // Order matters only once the cache fills up.
      this.#nodes.delete(address);
      this.#nodes.set(address, found);
    }
    return found;
  }

  set<R>(address: Address, node: ExtentNode<R>): void {
    this.#nodes.set(address, node as ExtentNode<never>);
    if (this.#nodes.size > this.#maxNodes) this.#nodes.delete(this.#nodes.keys().next().value!);
  }

  delete(address: Address): void {
    this.#nodes.delete(address);
  }
}
