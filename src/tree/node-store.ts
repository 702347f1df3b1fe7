import { assert, codeOf, commitLeavesUnchanged, InfinitError, messageOf, type Random, systemRandom } from '../base/index.ts';
import { type Address, mutableAddress } from '../block/index.ts';
import type { BlockStore, CommitResult, StoredBlock, Update, UpdateOutcome } from '../store/index.ts';
import { type CachedNode, NodeCache } from './node-cache.ts';
import { decodeNode, emptyNode, type TreeNode } from './node.ts';
import type { NodeSealer, TreeOptions } from './types.ts';

/** One node to be written, or (null) removed, if it still is at `version`; version 0: if it does not exist; 'any': whatever is there. */
export interface NodeWrite {
  readonly address: Address;
  readonly version: number | 'any';
  readonly node: TreeNode | null;
}

export type NodeOutcome =
  | { readonly status: 'committed' }
  /** Somebody else was first; the cache has what he wrote. */
  | { readonly status: 'conflict' }
  /** Under code `unknown-outcome` it may have been written. */
  | { readonly status: 'failed'; readonly error: InfinitError }
  /** A stage before failed: nothing was tried. */
  | { readonly status: 'skipped' };

/** Trees that share no cache get one of this size. */
const ownCachedNodes = 64;

/**
 * Nodes between a tree and its block store: fetches, caches and writes them.
 *
 * A cached node may be stale. It is known to be current only while a lease excludes other writers, and only if it was read or
 * written in the same lease term: each gain, loss or doubt of the lease starts a new term.
 */
export class NodeStore {
  readonly root: Address;
  readonly #store: BlockStore;
  readonly #sealer: NodeSealer;
  readonly #cache: NodeCache;
  readonly #random: Random;
  readonly #createRoot: boolean;
  /** Nobody ever tried to write the root. */
  #freshRoot: boolean;
  #leased: boolean;
  #term = 0;

  constructor(root: Address, options: TreeOptions) {
    this.root = root;
    this.#store = options.store;
    this.#sealer = options.sealer;
    this.#cache = options.cache ?? new NodeCache(ownCachedNodes);
    this.#random = options.random ?? systemRandom;
    this.#createRoot = options.missingRoot !== 'fail';
    this.#freshRoot = options.missingRoot === 'fresh';
    this.#leased = options.leased ?? false;
  }

  get leased(): boolean {
    return this.#leased;
  }

  /** Starts a new term, in which nothing of before counts as current. */
  set leased(held: boolean) {
    this.#leased = held;
    this.#term++;
  }

  newAddress = (): Address => mutableAddress(this.#random.bytes(31));

  cached(address: Address): CachedNode | undefined {
    return this.#cache.get(address);
  }

  /** Whether a cached node is known to be what the store has. */
  isCurrent(entry: CachedNode): boolean {
    return this.#leased && entry.term === this.#term;
  }

  forget(address: Address): void {
    this.#cache.delete(address);
  }

  /** Reads a node from the store; undefined where it is gone. A root that does not exist is an empty leaf. @throws InfinitError. */
  async load(address: Address): Promise<CachedNode | undefined> {
    const term = this.#term;
    if (this.#freshRoot && address === this.root) return this.#keep(address, { node: emptyNode, version: 0, term });
    const before = this.#cache.get(address);
    const stored = await this.#store.fetch(address);
    const now = this.#cache.get(address);
    if (stored === undefined) {
      // A write of ours may have overtaken this answer.
      if (now !== undefined && now !== before && now.version > 0) return now;
      this.#cache.delete(address);
      if (address !== this.root) return undefined;
      if (!this.#createRoot) throw new InfinitError('not-found', `tree ${address} does not exist`);
      return this.#keep(address, { node: emptyNode, version: 0, term });
    }
    if (now !== undefined && now.version === stored.version) return this.#keep(address, { node: now.node, version: now.version, term });
    const node = decodeNode(address, this.#sealer.open(address, stored.payload));
    return this.#keep(address, { node, version: stored.version, term });
  }

  #keep(address: Address, entry: CachedNode): CachedNode {
    const now = this.#cache.get(address);
    if (now !== undefined && now.version > entry.version) return now;
    this.#cache.set(address, entry);
    return entry;
  }

  /** Writes nodes in stages, each after the one before is durable; outcomes by stage and write. Never rejects. */
  async write(stages: readonly (readonly NodeWrite[])[]): Promise<NodeOutcome[][]> {
    const term = this.#term;
    let result: CommitResult;
    try {
      result = await this.#store.commit(stages.map((writes) => ({ update: writes.map((write) => this.#update(write)) })));
    } catch (cause) {
      return this.#failAll(stages, cause);
    }
    const failedStage = result.done ? stages.length : result.stage;
    return stages.map((writes, stage) =>
      writes.map((write, index): NodeOutcome => {
        if (stage > failedStage) return { status: 'skipped' };
        const versions = result.done ? result.versions[stage] : undefined;
        // Versions of stages before a failed one are not told: a write that was to follow on version n made n + 1.
        if (stage < failedStage) return this.#settle(write, { status: 'committed', version: versions?.[index] ?? followingVersion(write) }, term);
        assert(!result.done, 'a failed stage has outcomes');
        return this.#settle(write, result.outcomes[index]!, term);
      }),
    );
  }

  #update({ address, version, node }: NodeWrite): Update {
    const payload = node === null ? null : this.#sealer.seal(address, node.body);
    if (version !== 0) return { address, expect: version, payload };
    // The address of any other node was drawn for this very write.
    const fresh = address !== this.root || this.#freshRoot;
    if (address === this.root) this.#freshRoot = false;
    return { address, expect: 'absent', payload, ...(fresh ? { fresh } : {}) };
  }

  #settle(write: NodeWrite, outcome: UpdateOutcome, term: number): NodeOutcome {
    const { address, node } = write;
    if (outcome.status === 'committed') {
      if (node === null) this.#cache.delete(address);
      else this.#keep(address, { node, version: outcome.version, term });
      return { status: 'committed' };
    }
    if (outcome.status === 'conflict') {
      this.#cache.delete(address);
      if (outcome.current !== undefined) this.#keepWinner(address, outcome.current, term);
      return { status: 'conflict' };
    }
    if (outcome.status === 'unknown') {
      this.#cache.delete(address);
      return { status: 'failed', error: new InfinitError('unknown-outcome', `tree node ${address}: ${outcome.message}`) };
    }
    return { status: 'failed', error: new InfinitError(outcome.code, `tree node ${address}: ${outcome.message}`) };
  }

  #keepWinner(address: Address, { version, payload }: StoredBlock, term: number): void {
    try {
      this.#keep(address, { node: decodeNode(address, this.#sealer.open(address, payload)), version, term });
    } catch {
      // Whoever needs the node loads it, and gets the error in his own call.
    }
  }

  #failAll(stages: readonly (readonly NodeWrite[])[], cause: unknown): NodeOutcome[][] {
    const code = codeOf(cause);
    const known = commitLeavesUnchanged(code);
    const error = new InfinitError(known ? code : 'unknown-outcome', `writing tree ${this.root}: ${messageOf(cause)}`, { cause });
    if (!known) for (const writes of stages) for (const { address } of writes) this.#cache.delete(address);
    return stages.map((writes) => writes.map(() => ({ status: 'failed', error })));
  }
}

/** What a write made of a node whose version it does not tell. */
function followingVersion({ version }: NodeWrite): number {
  return version === 'any' ? 0 : version + 1;
}
