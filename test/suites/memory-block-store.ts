import { assert, InfinitError } from '../../src/base/index.ts';
import { type Address, givenUpPayload, immutableAddress, isGivenUp, kindOf } from '../../src/block/index.ts';
import {
  type BlockStore,
  type CallOptions,
  type CommitResult,
  maxImmutableBytes,
  maxMutableBytes,
  type SealedBlock,
  type Stage,
  type StoredBlock,
  type Update,
  type UpdateOutcome,
} from '../../src/store/index.ts';

/**
 * A block store in memory for tests: the contract of {@link BlockStore}, with conflicts, failures, unknown outcomes, delays and
 * crashes on demand. Each block write is one step, so a crash can fall between any two of them.
 */
export class MemoryBlockStore implements BlockStore {
  /** What was done, for tests of cost. */
  readonly counts = { gets: 0, fetches: 0, commits: 0, puts: 0, updates: 0, drops: 0 };
  /** Drops of blocks that were dropped before: a bug of the caller. */
  readonly droppedTwice: Address[] = [];
  readonly #options: MemoryBlockStoreOptions;
  readonly #immutable = new Map<Address, Uint8Array>();
  readonly #mutable = new Map<Address, { version: number; payload: Uint8Array | null }>();
  readonly #dropped = new Set<Address>();
  /** Mutable and named blocks that somebody tried to write, whatever came of it. */
  readonly #tried = new Set<Address>();
  #writesLeft = Infinity;
  #crashed = false;
  /** Counts crashes: a call that was under way when the store crashed must not touch the store that restarted. */
  #life = 0;

  constructor(options: MemoryBlockStoreOptions = {}) {
    this.#options = options;
  }

  /** Block writes so far: puts, updates and drops. */
  get writes(): number {
    return this.counts.puts + this.counts.updates + this.counts.drops;
  }

  /** After `writes` more block writes the store crashes: that write and all after it are lost, and every call fails until {@link restart}. */
  crashAfter(writes: number): void {
    this.#writesLeft = writes;
  }

  get crashed(): boolean {
    return this.#crashed;
  }

  /** The store is back with what was durable; calls from before the crash stay failed. */
  restart(): void {
    if (!this.#crashed) this.#crash();
    this.#crashed = false;
    this.#writesLeft = Infinity;
  }

  /** The store for one process, which ends with the next crash: what of it goes on in this process, such as its timers, has no effect any more. */
  way(): BlockStore {
    const life = this.#life;
    return {
      get: async (address, options) => (this.#live(life), this.get(address, options)),
      fetch: async (address) => (this.#live(life), this.fetch(address)),
      commit: async (stages) => (this.#live(life), this.commit(stages)),
    };
  }

  /** Addresses of the immutable blocks held. */
  immutableAddresses(): Set<Address> {
    return new Set(this.#immutable.keys());
  }

  /** Bytes of all immutable blocks. */
  get immutableBytes(): number {
    return [...this.#immutable.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** Addresses of the mutable and named blocks that exist (tombstones do not count). */
  mutableAddresses(): Set<Address> {
    return new Set([...this.#mutable].filter(([, block]) => block.payload !== null).map(([address]) => address));
  }

  /** The bytes of a mutable block, without a call. */
  peek(address: Address): StoredBlock | undefined {
    const block = this.#mutable.get(address);
    return block === undefined || block.payload === null ? undefined : { version: block.version, payload: block.payload };
  }

  /** A person gave it up: it can be made anew. */
  giveUp(address: Address): void {
    const version = 2 ** 32 + (this.#mutable.get(address)?.version ?? 0);
    this.#mutable.set(address, { version, payload: givenUpPayload({ by: 'a person', at: 'noon' }) });
  }

  /** All that had it are lost, and a person accepted that: there is nothing, and what is made anew is above all that it was. */
  lose(address: Address): void {
    this.#mutable.set(address, { version: 2 ** 32 + (this.#mutable.get(address)?.version ?? 0), payload: null });
  }

  async get(address: Address, { memory, part }: CallOptions = {}): Promise<Uint8Array> {
    this.counts.gets++;
    await this.#step(this.#life);
    const sealed = this.#immutable.get(address);
    if (sealed === undefined) throw new InfinitError('not-found', `block ${address} is not there`);
    if (part !== undefined) return sealed.slice(part.offset, part.offset + part.length);
    // The caller's own: it may move it to another thread.
    if (memory === undefined || memory.length < sealed.length) return Uint8Array.from(sealed);
    memory.set(sealed);
    return memory.subarray(0, sealed.length);
  }

  async fetch(address: Address): Promise<StoredBlock | undefined> {
    this.counts.fetches++;
    await this.#step(this.#life);
    const block = this.peek(address);
    if (isGivenUp(block?.payload ?? null)) throw new InfinitError('lost', `block ${address} is lost`);
    return block;
  }

  async commit(stages: readonly Stage[]): Promise<CommitResult> {
    this.counts.commits++;
    const life = this.#life;
    await this.#step(life);
    const versions: number[][] = [];
    for (const [index, stage] of stages.entries()) {
      const outcomes = await this.#runStage(stage, life);
      if (outcomes.some((outcome) => outcome.status !== 'committed')) return { done: false, stage: index, outcomes };
      versions.push(outcomes.map((outcome) => (outcome.status === 'committed' ? outcome.version : 0)));
    }
    return { done: true, versions, ...(this.#options.across === true ? {} : { released: true }) };
  }

  /** All writes of a stage, in an order of its own. */
  async #runStage(stage: Stage, life: number): Promise<UpdateOutcome[]> {
    const updates = stage.update ?? [];
    const outcomes: UpdateOutcome[] = Array.from({ length: updates.length });
    const writes: (() => void)[] = [
      ...(stage.put ?? []).map((block) => () => this.#put(block)),
      ...updates.map((update, at) => () => void (outcomes[at] = this.#update(update))),
      ...(stage.drop ?? []).map((address) => () => this.#drop(address)),
    ];
    const random = this.#options.random;
    if (random !== undefined) shuffle(writes, random);
    for (const write of writes) {
      await this.#step(life);
      if (this.#writesLeft-- <= 0) this.#crash();
      this.#live(life);
      write();
    }
    // The answer takes its time, too: others may act between the write and its acknowledgement.
    if (this.#options.delay !== undefined) await this.#step(life);
    return outcomes;
  }

  #put({ address, sealed }: SealedBlock): void {
    this.counts.puts++;
    assert(sealed.length <= maxImmutableBytes, 'an immutable block is not over the limit');
    if (this.#options.verify !== false) assert(immutableAddress(sealed) === address, 'an immutable block hashes to its address');
    this.#immutable.set(address, Uint8Array.from(sealed));
  }

  #drop(address: Address): void {
    this.counts.drops++;
    assert(kindOf(address) === 'immutable', 'only immutable blocks are dropped');
    if (this.#dropped.has(address)) this.droppedTwice.push(address);
    this.#dropped.add(address);
    this.#immutable.delete(address);
  }

  #update(update: Update): UpdateOutcome {
    const { address, expect, payload } = update;
    assert(update.fresh !== true || (expect === 'absent' && !this.#tried.has(address)), 'what is fresh nobody ever tried to write');
    this.#tried.add(address);
    const fate = this.#options.fate?.(update) ?? 'normal';
    if (fate === 'full') return { status: 'failed', code: 'disk-full', message: 'injected' };
    if (fate === 'failed') return { status: 'failed', code: 'unavailable', message: 'injected' };
    if (fate === 'unknown-lost') return { status: 'unknown', code: 'unknown-outcome', message: 'injected' };
    const outcome = this.#compareAndSet(address, expect, payload);
    return fate === 'unknown-applied' ? { status: 'unknown', code: 'unknown-outcome', message: 'injected' } : outcome;
  }

  #compareAndSet(address: Address, expect: Update['expect'], payload: Uint8Array | null): UpdateOutcome {
    assert(kindOf(address) !== 'immutable', 'an immutable block is not updated');
    assert(payload === null || payload.length <= maxMutableBytes, 'a mutable block is not over the limit');
    const now = this.#mutable.get(address);
    const isLost = isGivenUp(now?.payload ?? null);
    if (isLost && expect !== 'any' && expect !== 'lost') return { status: 'failed', code: 'lost', message: `block ${address} is lost` };
    const fits =
      expect === 'any' ||
      (expect === 'lost' && isLost) ||
      (expect === 'absent' ? (now?.payload ?? null) === null : now?.version === expect && now.payload !== null);
    if (!fits) return { status: 'conflict', current: this.peek(address) };
    this.counts.updates++;
    const version = (now?.version ?? 0) + 1;
    this.#mutable.set(address, { version, payload: payload === null ? null : Uint8Array.from(payload) });
    return { status: 'committed', version };
  }

  async #step(life: number): Promise<void> {
    this.#live(life);
    const delay = this.#options.delay?.();
    if (delay === undefined) return;
    await delay;
    this.#live(life);
  }

  #live(life: number): void {
    if (this.#crashed || life !== this.#life) throw new InfinitError('closed', 'the store crashed');
  }

  #crash(): void {
    this.#crashed = true;
    this.#life++;
  }
}

export interface MemoryBlockStoreOptions {
  /** In [0, 1): shuffles the writes of a stage, which may take effect in any order. In the given order where absent. */
  readonly random?: () => number;
  /** Awaited before each block access, to let calls interleave; by default a call runs through. */
  readonly delay?: () => Promise<void> | undefined;
  /** What becomes of an update: 'failed', 'full' and 'unknown-lost' leave the block alone, 'unknown-applied' writes it and hides that. */
  readonly fate?: (update: Update) => 'normal' | 'failed' | 'full' | 'unknown-lost' | 'unknown-applied';
  /** False: do not hash what is put, for benchmarks. */
  readonly verify?: boolean;
  /** True: a commit says what one over several hosts does. */
  readonly across?: boolean;
}

function shuffle(items: unknown[], random: () => number): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j], items[i]];
  }
}
