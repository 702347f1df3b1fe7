import { assert, type Clock } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  Acceptor,
  type AcceptorState,
  decodeState,
  encodeState,
  LeaseTable,
  lostState,
  type PeerId,
  type Reply,
  type Request,
  type View,
} from '../consensus/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import { isDamaged } from './failures.ts';

/** Registers whose state is kept in memory; those with a write under way come on top. */
const maxCachedRegisters = 65_536;
/** Bytes of values among them. */
const maxCachedBytes = 64 * 1024 * 1024;

/** One register on this host. */
interface Register {
  state: AcceptorState | undefined;
  /** Settles when `state` is on stable storage; undefined: it is. */
  durable: Promise<void> | undefined;
  /** The last write failed: what is in memory may not be on the disk and must be written again before anything is said about it. */
  unsaved: boolean;
  bytes: number;
}

/** The answer to a request, and what must happen before it may leave. */
export interface Answer {
  readonly reply: Reply;
  /** To be made durable first; undefined where nothing changed. */
  readonly operation: DiskOperation | undefined;
}

export interface ReplicaOptions {
  readonly self: PeerId;
  readonly incarnation: number;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly views: (block: Address) => readonly View[];
  readonly leaseTermMs: number;
  /** Sends a recall of the block to the holder. */
  readonly recall: (holder: PeerId, block: Address) => void;
}

/**
 * This host's acceptor with its disk: what it says is durable before it is said, also what a read merely reveals. The states are those of the
 * pure core in src/consensus; here they are loaded, cached and stored.
 */
export class Replica {
  readonly acceptor: Acceptor;
  readonly #options: ReplicaOptions;
  readonly #registers = new Map<Address, Register>();
  readonly #loading = new Map<Address, Promise<Register>>();
  #cachedBytes = 0;

  constructor(options: ReplicaOptions, floor: number) {
    this.#options = options;
    const leases = new LeaseTable({
      self: options.self,
      incarnation: options.incarnation,
      termMs: options.leaseTermMs,
      startedAt: options.clock.monotonicMs(),
      earlierHolders: [],
    });
    this.acceptor = new Acceptor({ self: options.self, leases, views: (block) => options.views(block as Address), floor });
  }

  /** Serves a request: the reply may leave when the promise resolves. @throws InfinitError `disk-full`, `disk-failed`, `read-only`: then nothing is said. */
  async serve(request: Request): Promise<Reply> {
    const address = request.block as Address;
    const register = this.#registers.get(address) ?? (await this.#load(address));
    const { reply, operation } = this.#step(address, register, request);
    if (operation !== undefined) this.track(address, this.#options.disk.write([operation]));
    if (register.durable !== undefined) await register.durable;
    this.trim();
    return reply;
  }

  /** Makes registers ready for {@link stepNow}, which must follow without a pause: the cache may drop them afterwards. */
  async prepareAll(addresses: readonly Address[]): Promise<void> {
    for (;;) {
      const missing = addresses.filter((address) => !this.#registers.has(address));
      if (missing.length === 0) return;
      await Promise.all(missing.map((address) => this.#load(address)));
    }
  }

  /**
   * Decides at once, for a caller who gathers several operations in one group of the disk: it must write `operation`, in order, and
   * {@link track} the write. Nothing of the reply may be told to anybody before.
   */
  stepNow(address: Address, request: Request): Answer {
    const register = this.#registers.get(address);
    assert(register !== undefined, 'a register is prepared before it is stepped');
    return this.#step(address, register, request);
  }

  /** Settles when what the register holds now is durable; undefined: it is. */
  durability(address: Address): Promise<void> | undefined {
    return this.#registers.get(address)?.durable;
  }

  /** Forgets what is in memory: the disk was emptied. */
  clear(): void {
    this.#registers.clear();
    this.#cachedBytes = 0;
  }

  /** Ties a register to the write that makes it durable. Writes are durable in the order they were begun. */
  track(address: Address, write: Promise<void>): void {
    const register = this.#registers.get(address)!;
    register.durable = write;
    write.then(
      () => {
        if (register.durable === write) register.durable = undefined;
      },
      () => {
        register.unsaved = true;
        if (register.durable === write) register.durable = undefined;
      },
    );
  }

  #step(address: Address, register: Register, request: Request): Answer {
    const step = this.acceptor.step(register.state, request, this.#options.clock.monotonicMs());
    for (const holder of step.recalls) this.#options.recall(holder, address);
    if (!step.changed && !register.unsaved) return { reply: step.reply, operation: undefined };
    register.state = step.state;
    register.unsaved = false;
    this.#resize(register, step.state);
    const operation: DiskOperation =
      step.state === undefined ? { type: 'delete', address } : { type: 'put', address, bytes: encodeState(step.state) };
    return { reply: step.reply, operation };
  }

  #load(address: Address): Promise<Register> {
    let loading = this.#loading.get(address);
    if (loading === undefined) {
      loading = this.#read(address).finally(() => this.#loading.delete(address));
      this.#loading.set(address, loading);
    }
    return loading;
  }

  async #read(address: Address): Promise<Register> {
    const register: Register = { state: await this.#stored(address), durable: undefined, unsaved: false, bytes: 0 };
    this.#resize(register, register.state);
    this.#registers.set(address, register);
    return register;
  }

  /** A damaged record must not be taken for none: the acceptor would vote as if it had never promised anything. */
  async #stored(address: Address): Promise<AcceptorState | undefined> {
    try {
      const bytes = await this.#options.disk.read(address);
      return bytes === undefined ? undefined : decodeState(bytes);
    } catch (error) {
      if (isDamaged(error)) return lostState;
      throw error;
    }
  }

  #resize(register: Register, state: AcceptorState | undefined): void {
    const bytes = state?.accepted?.record.value?.length ?? 0;
    this.#cachedBytes += bytes - register.bytes;
    register.bytes = bytes;
  }

  /** Drops the registers that were loaded first, but none that is not durable yet. */
  trim(): void {
    if (this.#registers.size <= maxCachedRegisters && this.#cachedBytes <= maxCachedBytes) return;
    for (const [address, register] of this.#registers) {
      if (this.#registers.size <= maxCachedRegisters / 2 && this.#cachedBytes <= maxCachedBytes / 2) return;
      if (register.durable !== undefined || register.unsaved) continue;
      this.#registers.delete(address);
      this.#resize(register, undefined);
    }
  }
}
