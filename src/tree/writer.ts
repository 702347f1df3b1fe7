import { assert, InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import { type Edit, editLeaf, type KeyChange } from './edit.ts';
import type { Housekeeper } from './housekeeper.ts';
import { isBeyond } from './node.ts';
import type { NodeOutcome, NodeStore } from './node-store.ts';
import { planWrite, type WritePlan } from './plan.ts';
import { type Found, maxGone, maxHops, type Route, type Search } from './search.ts';
import type { ApplyResult, Change, Key } from './types.ts';

/** Changes that may wait in one tree; a call that would exceed it is refused. */
export const maxQueuedChanges = 1_000_000;
/** Leaves in one commit. */
const maxLeavesPerCommit = 32;
/** Leaves edited in one turn of the event loop: each costs some 50 µs here, and as much where it is stored. */
const maxLeavesPerTurn = 32;
/** Leaves being written at once; the others' edits wait, so that a large batch does not hold its thread up. */
const maxLeavesInFlight = 128;
/** A leaf takes changes until it has grown by this many times its target, the rest in its next write: bounds the pieces of a split. */
const maxGrowth = 16;
/** Times that others may be first at a change's leaf before it fails. */
const maxConflicts = 1000;

/** One call of `apply`. */
interface Call {
  readonly refused: Map<Key, Uint8Array | undefined>;
  readonly failed: Map<Key, InfinitError>;
  left: number;
  readonly resolve: (result: ApplyResult) => void;
}

/** One change on its way. */
interface Item extends KeyChange {
  readonly call: Call;
  conflicts: number;
  /** Its route was long and its parent was loaded anew: now it is followed whatever its length. */
  far: boolean;
  /** What its route led to last that was gone, and how often. */
  gone: { readonly address: Address; readonly times: number } | undefined;
}

/** A leaf with the changes that go into it now, and how. */
interface LeafWrite {
  readonly leaf: Found;
  readonly items: readonly Item[];
  readonly edit: Edit;
  readonly plan: WritePlan;
}

/**
 * Takes changes to their leaves and writes those, each by one writer at a time: changes that arrive while their leaf is being
 * written go together in its next write. All of one tick are taken together.
 */
export class Writer {
  readonly #nodes: NodeStore;
  readonly #search: Search;
  readonly #housekeeper: Housekeeper;
  readonly #target: number;
  /** Calls' changes of this tick. */
  #incoming: Item[] = [];
  /** By leaf that is being written: who waits for it. */
  readonly #busy = new Map<Address, Item[]>();
  /** Leaves whose turn comes next; busy already. */
  readonly #ready: { readonly leaf: Found; readonly items: readonly Item[] }[] = [];
  #inFlight = 0;
  /** Leaves edited in this turn; the next one is under way where there are any. */
  #edited = 0;
  /** By node that has to be loaded or passed first. */
  readonly #blocked = new Map<Address, Item[]>();
  #queued = 0;

  constructor(nodes: NodeStore, search: Search, housekeeper: Housekeeper, target: number) {
    this.#nodes = nodes;
    this.#search = search;
    this.#housekeeper = housekeeper;
    this.#target = target;
  }

  /** See BLinkTree.apply. @throws InfinitError `overloaded`. */
  submit(changes: ReadonlyMap<Key, Change>): Promise<ApplyResult> {
    if (this.#queued + changes.size > maxQueuedChanges)
      throw new InfinitError('overloaded', `${this.#queued} changes wait in tree ${this.#nodes.root}; at most ${maxQueuedChanges} may`);
    return new Promise((resolve) => {
      const call: Call = { refused: new Map(), failed: new Map(), left: changes.size, resolve };
      if (changes.size === 0) return resolve(call);
      if (this.#incoming.length === 0) queueMicrotask(() => this.#dispatch(this.#incoming.splice(0)));
      for (const [key, change] of changes) this.#incoming.push({ key, change, call, conflicts: 0, far: false, gone: undefined });
      this.#queued += changes.size;
    });
  }

  /** Sends each change to its leaf, or lets it wait for what is in its way. `start`: the node that they waited for. */
  #dispatch(items: Item[], start?: Found): void {
    if (items.length === 0) return;
    // In order, so that neighbours share one walk. Stable: changes of one key stay in order.
    items.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    const leaves: { readonly leaf: Found; readonly items: Item[] }[] = [];
    let last: { readonly leaf: Found; readonly items: Item[] } | undefined;
    for (const item of items) {
      if (last !== undefined && !isBeyond(last.leaf.node, item.key)) {
        last.items.push(item);
        continue;
      }
      const route = this.#search.route(item.key, 0, 'at', item.far ? Infinity : maxHops, start);
      if (route.kind === 'found') {
        last = { leaf: route.found, items: [item] };
        leaves.push(last);
      } else this.#block(route, item);
    }
    for (const { leaf, items: some } of leaves) {
      const waiting = this.#busy.get(leaf.address);
      if (waiting !== undefined) waiting.push(...some);
      else {
        this.#busy.set(leaf.address, []);
        this.#ready.push({ leaf, items: some });
      }
    }
    this.#pump();
  }

  /** Starts as many writes as may be under way. */
  #pump(): void {
    while (this.#ready.length > 0) {
      const room = Math.min(maxLeavesPerCommit, maxLeavesInFlight - this.#inFlight, maxLeavesPerTurn - this.#edited);
      if (room <= 0) return;
      const next = this.#ready.splice(0, room);
      if (this.#edited === 0) setImmediate(() => this.#nextTurn());
      this.#edited += next.length;
      this.#commit(next.flatMap(({ leaf, items }) => this.#prepare(leaf, items) ?? []));
    }
  }

  #nextTurn(): void {
    this.#edited = 0;
    this.#pump();
  }

  #block(route: Route, item: Item): void {
    assert(route.kind !== 'found' && route.kind !== 'none', 'every tree has a level 0');
    if (route.kind === 'stale') item.far = true;
    const waiting = this.#blocked.get(route.address);
    if (waiting !== undefined) return void waiting.push(item);
    this.#blocked.set(route.address, [item]);
    const done = route.kind === 'load' ? this.#search.load(route.address, route.via) : this.#search.pass(route);
    const take = (): Item[] => {
      const waited = this.#blocked.get(route.address) ?? [];
      this.#blocked.delete(route.address);
      return waited;
    };
    done.then(
      (start) => this.#dispatch(start === undefined && route.kind === 'load' ? this.#unlessGone(take(), route.address) : take(), start ?? undefined),
      (error: unknown) => this.#fail(take(), asError(error)),
    );
  }

  /** Those that may try another way: pointers to a node that is gone were mended. The others fail, as it is lost. */
  #unlessGone(items: readonly Item[], address: Address): Item[] {
    return items.filter((item) => {
      const times = (item.gone?.address === address ? item.gone.times : 0) + 1;
      item.gone = { address, times };
      if (times < maxGone) return true;
      this.#fail([item], this.#search.lost(address));
      return false;
    });
  }

  /** Edits a leaf. What changes nothing is answered; if the leaf changed while it waited, its changes are sent anew. */
  #prepare(routed: Found, all: readonly Item[]): LeafWrite | undefined {
    const { address } = routed;
    // Where it was evicted meanwhile, what was routed to will do: were it stale, its write would conflict.
    const entry = this.#nodes.cached(address) ?? routed;
    const { node } = entry;
    const covered = !node.frozen && node.level === 0 && all[0]!.key >= node.low && !isBeyond(node, all.at(-1)!.key);
    this.#inFlight++;
    if (!covered) {
      this.#release(address, all);
      return undefined;
    }
    const leaf: Found = { ...entry, address };
    const count = this.#intake(all);
    const items = count === all.length ? all : all.slice(0, count);
    if (count < all.length) this.#busy.get(address)!.unshift(...all.slice(count));
    const edit = editLeaf(leaf.node, items);
    if (edit.node === leaf.node) {
      void this.#answerUnchanged(leaf, items, edit);
      return undefined;
    }
    const isRoot = address === this.#nodes.root;
    const { newAddress } = this.#nodes;
    const plan = planWrite(address, leaf.version, edit.node, { isRoot, target: this.#target, appended: edit.appended, newAddress });
    return { leaf, items, edit, plan };
  }

  /** How many of these changes one write of a leaf takes. */
  #intake(items: readonly Item[]): number {
    let bytes = 0;
    for (let i = 0; i < items.length; i++) {
      const { key, change } = items[i]!;
      const value = change === null || change instanceof Uint8Array ? change : change.value;
      bytes += key.length + (value instanceof Uint8Array ? value.length : 64);
      if (bytes > this.#target * maxGrowth) return i + 1;
    }
    return items.length;
  }

  /** Nothing to write: the verdicts hold if the leaf is what the store has. */
  async #answerUnchanged(leaf: Found, items: readonly Item[], edit: Edit): Promise<void> {
    try {
      const current = this.#nodes.isCurrent(leaf) || (await this.#nodes.load(leaf.address))?.version === leaf.version;
      if (current) this.#finish(items, edit);
      else this.#retry(leaf.address, items);
    } catch (error) {
      this.#fail(items, asError(error));
    }
    this.#release(leaf.address);
  }

  /** Leaves that stay whole go together, each that splits goes alone: were a neighbour to fail, its second stage would not start. */
  #commit(ready: readonly LeafWrite[]): void {
    const whole = ready.filter((write) => write.plan.stages.length === 1);
    for (let i = 0; i < whole.length; i += maxLeavesPerCommit) void this.#commitWhole(whole.slice(i, i + maxLeavesPerCommit));
    for (const write of ready) if (write.plan.stages.length > 1) void this.#commitSplit(write);
  }

  async #commitWhole(writes: readonly LeafWrite[]): Promise<void> {
    const [outcomes] = await this.#nodes.write([writes.flatMap((write) => write.plan.stages[0]!)]);
    for (const [i, write] of writes.entries()) this.#settle(write, outcomes![i]!);
  }

  async #commitSplit(write: LeafWrite): Promise<void> {
    const { stages } = write.plan;
    const outcomes = await this.#nodes.write(stages);
    const last = outcomes.at(-1)![0]!;
    if (last.status === 'committed') {
      for (const { separator, address } of write.plan.unposted) this.#housekeeper.post(1, separator, address);
    } else if (last.status !== 'failed' || last.error.code !== 'unknown-outcome') this.#housekeeper.discard(stages[0]!);
    if (last.status !== 'skipped') return this.#settle(write, last);
    // The new siblings were not (known to be) written, so nothing links to them: the tree is as it was.
    const failure = outcomes[0]!.find((outcome) => outcome.status === 'failed');
    const code = failure === undefined || failure.error.code === 'unknown-outcome' ? 'unavailable' : failure.error.code;
    this.#settle(write, { status: 'failed', error: new InfinitError(code, failure?.error.message ?? 'a new tree node could not be written') });
  }

  #settle({ leaf, items, edit, plan }: LeafWrite, outcome: NodeOutcome): void {
    if (outcome.status === 'committed') {
      this.#finish(items, edit);
      if (plan.stages.length === 1) this.#housekeeper.checkFill(leaf.address, edit.node);
    } else if (outcome.status === 'conflict') this.#retry(leaf.address, items);
    else {
      assert(outcome.status === 'failed', 'a leaf write was tried');
      this.#fail(items, outcome.error);
    }
    this.#release(leaf.address);
  }

  /** A leaf is free again: `first`, and then whoever waited for it, are sent on. */
  #release(leaf: Address, first: readonly Item[] = []): void {
    const waiting = this.#busy.get(leaf) ?? [];
    this.#busy.delete(leaf);
    this.#inFlight--;
    this.#dispatch([...first, ...waiting]);
    this.#pump();
  }

  /** Ahead of whoever waits for the leaf, so that changes of one key stay in order. */
  #retry(leaf: Address, items: readonly Item[]): void {
    const again: Item[] = [];
    for (const item of items) {
      if (++item.conflicts <= maxConflicts) again.push(item);
      else
        this.#fail([item], new InfinitError('conflict', `others changed a leaf of tree ${this.#nodes.root} first, ${maxConflicts} times in a row`));
    }
    this.#busy.get(leaf)!.unshift(...again);
  }

  #finish(items: readonly Item[], edit: Edit): void {
    for (const [i, { key, call }] of items.entries()) {
      const verdict = edit.verdicts[i]!;
      if (verdict.status === 'refused') call.refused.set(key, verdict.current);
      else if (verdict.status === 'failed') call.failed.set(key, verdict.error);
      this.#close(call);
    }
  }

  #fail(items: readonly Item[], error: InfinitError): void {
    for (const { key, call } of items) {
      call.failed.set(key, error);
      this.#close(call);
    }
  }

  #close(call: Call): void {
    this.#queued--;
    if (--call.left === 0) call.resolve({ refused: call.refused, failed: call.failed });
  }
}

function asError(error: unknown): InfinitError {
  return error instanceof InfinitError ? error : new InfinitError('bug', String(error), { cause: error });
}
