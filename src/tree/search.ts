import { assert, InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { CachedNode } from './node-cache.ts';
import { childAt, lowerBound, type TreeNode } from './node.ts';
import type { NodeStore } from './node-store.ts';
import type { Key } from './types.ts';

/** 'at': the node that covers a key. 'below': the one that covers what lies directly below it, hence the left neighbour of a node whose low key it is. */
export type Side = 'at' | 'below';

/** A node that was found. */
export interface Found extends CachedNode {
  readonly address: Address;
  /** It was reached by a right link only. */
  readonly hopped?: boolean;
}

/** How far the cache leads towards a key. */
export type Route =
  | { readonly kind: 'found'; readonly found: Found }
  /** This node has to be loaded; `via` is where its address was read. */
  | { readonly kind: 'load'; readonly address: Address; readonly via: Via | undefined }
  /** A merge is under way here and has to be completed first. */
  | { readonly kind: 'frozen'; readonly address: Address }
  /** A cached node that misleads: it has to be forgotten. */
  | { readonly kind: 'stale'; readonly address: Address }
  /** The tree has no such level. */
  | { readonly kind: 'none' };

/** The pointer that led to a node: a parent's entry, or (separator undefined) a right link. */
export interface Via {
  readonly address: Address;
  readonly level: number;
  readonly separator: Key | undefined;
}

/** Right moves within a level after which the parent is taken to be stale. */
export const maxHops = 4;
/** Loads in one search; more only if the tree is rewritten all the time, or broken. */
const maxLoads = 500;
/** Times that a search may find the same node gone: whatever leads to one that was merged away is current, or mended, at the next look. A node that is gone still was lost with all its hosts. */
export const maxGone = 8;

/** What a search needs done that writes: given by the housekeeper, who in turn searches. */
export interface Obstacles {
  /** Completes the merge that a frozen node is in. */
  complete(address: Address): Promise<void>;
  /** A parent's entry leads to a node that is gone. */
  repair(level: number, separator: Key, child: Address): Promise<void>;
  /** A node was reached by a right link only: its parent may lack the separator. */
  post(level: number, separator: Key, child: Address): void;
}

/** Walks from the root towards a key, to any level. */
export class Search {
  readonly #nodes: NodeStore;
  readonly #obstacles: Obstacles;

  constructor(nodes: NodeStore, obstacles: Obstacles) {
    this.#nodes = nodes;
    this.#obstacles = obstacles;
  }

  /**
   * Follows the cache as far as it leads. Synchronous; inner nodes may be stale, which costs hops but is not wrong. `start` is a node
   * that was just loaded on this way: with it a walk goes on even if the cache evicted all above.
   */
  route(key: Key, level: number, side: Side, hopLimit: number = Infinity, start?: Found): Route {
    const from = start !== undefined && leadsTo(start.node, key, level, side) ? start : undefined;
    let address = from?.address ?? this.#nodes.root;
    let via: Via | undefined;
    let parent: Address | undefined;
    let hops = from?.hopped === true ? 1 : 0;
    for (;;) {
      const entry = this.#nodes.cached(address) ?? (address === from?.address ? from : undefined);
      if (entry === undefined) return { kind: 'load', address, via };
      const { node } = entry;
      if (node.level < level) return via === undefined ? { kind: 'none' } : { kind: 'stale', address: via.address };
      if (node.frozen) return { kind: 'frozen', address };
      if (side === 'at' ? key < node.low : key <= node.low && node.low !== '') return { kind: 'stale', address: via?.address ?? address };
      if (node.high !== undefined && (side === 'at' ? key >= node.high : key > node.high)) {
        assert(node.right !== undefined, 'a node that ends has a right neighbour');
        if (++hops > hopLimit && parent !== undefined) return { kind: 'stale', address: parent };
        via = { address, level: node.level, separator: undefined };
        address = node.right;
        continue;
      }
      if (hops > 0 && address !== this.#nodes.root) this.#obstacles.post(node.level + 1, node.low, address);
      if (node.level === level) return { kind: 'found', found: { address, node, version: entry.version, term: entry.term } };
      const index = childIndex(node, key, side);
      if (index < 0) return { kind: 'stale', address };
      parent = address;
      hops = 0;
      via = { address, level: node.level, separator: node.keys[index]! };
      address = childAt(node, index);
    }
  }

  /**
   * The node of a level that covers a key; undefined where the tree is lower than that. With `fresh` the node is current as of some
   * moment after the call (a lease makes the cache suffice), else it may be stale. @throws InfinitError.
   */
  async find(key: Key, level: number, side: Side = 'at', fresh: boolean = true): Promise<Found | undefined> {
    let loaded: Found | undefined;
    let hopLimit: number = maxHops;
    let rootLoaded = false;
    const gone = new Map<Address, number>();
    const load = async (address: Address, via: Via | undefined): Promise<Found | undefined> => {
      const node = await this.load(address, via);
      if (node !== undefined) return node;
      const times = (gone.get(address) ?? 0) + 1;
      if (times === maxGone) throw this.lost(address);
      gone.set(address, times);
      return undefined;
    };
    for (let loads = 0; loads < maxLoads; loads++) {
      const route = this.route(key, level, side, hopLimit, loaded);
      if (route.kind === 'found') {
        const { found } = route;
        if (!fresh || this.#nodes.isCurrent(found) || (loaded?.address === found.address && found.version >= loaded.version)) return found;
        loaded = await load(found.address, undefined);
      } else if (route.kind === 'none') {
        // The root may have grown since it was cached.
        if (rootLoaded || !fresh) return undefined;
        rootLoaded = true;
        await this.#nodes.load(this.#nodes.root);
      } else if (route.kind === 'load') {
        loaded = await load(route.address, route.via);
      } else {
        if (route.kind === 'stale') hopLimit = Infinity;
        loaded = undefined;
        await this.pass(route);
      }
    }
    throw new InfinitError('unavailable', `tree ${this.#nodes.root} changed ${maxLoads} times during one search`);
  }

  /** Loads a node; undefined where it is gone, after the pointer to it was mended. */
  async load(address: Address, via: Via | undefined): Promise<Found | undefined> {
    const entry = await this.#nodes.load(address);
    if (entry !== undefined) return { ...entry, address, hopped: via !== undefined && via.separator === undefined };
    if (via === undefined) return undefined;
    if (via.separator === undefined) this.#nodes.forget(via.address);
    else await this.#obstacles.repair(via.level, via.separator, address);
    return undefined;
  }

  /** A node was found gone {@link maxGone} times on one way. */
  lost(address: Address): InfinitError {
    return new InfinitError('lost', `node ${address} of tree ${this.#nodes.root} is not there, and those beside it lead to it`);
  }

  /** Does away with what is in the way of a route. */
  async pass(route: Route & { readonly kind: 'frozen' | 'stale' }): Promise<void> {
    if (route.kind === 'frozen') await this.#obstacles.complete(route.address);
    else this.#nodes.forget(route.address);
  }
}

/** Whether a walk to a key may start at a node. */
function leadsTo(node: TreeNode, key: Key, level: number, side: Side): boolean {
  return node.level >= level && (node.low === '' || (side === 'at' ? key >= node.low : key > node.low));
}

/** The child that leads to a key. */
function childIndex(node: TreeNode, key: Key, side: Side): number {
  const index = lowerBound(node.keys, key);
  return side === 'at' && node.keys[index] === key ? index : index - 1;
}
