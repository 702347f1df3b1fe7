import { assert, type Clock, InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  Acceptor,
  type AcceptorState,
  decodeState,
  type EarlierHolder,
  encodeState,
  isMember,
  LeaseTable,
  lostState,
  type PeerId,
  type Reply,
  type Request,
  type View,
} from '../consensus/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import { DurableFloor } from './durable-floor.ts';
import { isDamaged } from './failures.ts';
import { givingUp, markAllLost } from './giving-up.ts';
import { earlierHolders } from './leases.ts';

/** Registers whose state is kept in memory; those with a write under way come on top. */
const maxCachedRegisters = 16_384;
/** Bytes of values among them. */
const maxCachedBytes = 64 * 1024 * 1024;
/** What trimming leaves of that: little goes at a time, so that it never takes long. */
const trimmedShare = 15 / 16;

/** One register on this host. */
interface Register {
  state: AcceptorState | undefined;
  /** Settles when `state` is on stable storage; undefined: it is. */
  durable: Promise<void> | undefined;
  /** The last write failed: what is in memory may not be on the disk and must be written again before anything is said about it. */
  unsaved: boolean;
  bytes: number;
}

/** Where it says that all states here are to count as lost. */
const losingKey = 'acceptor/losing';
/** Registers that are being read from the disk at once. */
const maxLoading = 4096;

/** Writes of one kind that follow each other. */
interface Run {
  readonly type: DiskOperation['type'];
  readonly operations: DiskOperation[];
  readonly registers: { readonly address: Address; readonly register: Register }[];
}

const ignore = (): void => {};

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
  /** Whether the acceptor may answer; see {@link StorePlacement.hasSay}. */
  readonly hasSay: () => boolean;
  /** Whether it may be a replica of anything; see {@link StorePlacement.isMember}. */
  readonly isMember: () => boolean;
  readonly leaseTermMs: number;
  /** Sends a recall of the block to the holder. */
  readonly recall: (holder: PeerId, block: Address) => void;
  /** Told of a register whose record turned out to be damaged: it has no say until repair replaced it. */
  readonly onLost: (block: Address) => void;
  /** Told when a register's new state is durable. */
  readonly onDurable: (block: Address) => void;
}

/**
 * This host's acceptor with its disk: what it says is durable before it is said, also what a read merely reveals. The states are those of the
 * pure core in src/consensus; here they are loaded, cached and stored.
 */
export class Replica {
  readonly acceptor: Acceptor;
  readonly #options: ReplicaOptions;
  /** Requests to registers of this host, and registers that had to be read from its disk for them, since the start. */
  readonly meter = { requests: 0, loads: 0 };
  readonly #registers = new Map<Address, Register>();
  readonly #loading = new Map<Address, Promise<Register>>();
  #cachedBytes = 0;
  /** Raised when the cache is forgotten: what was read from the disk before is old. */
  #generation = 0;
  readonly #floor: DurableFloor;
  /** Registers that became tombstones since the last trim. */
  readonly #removed: Address[] = [];
  /** Its turn is near. */
  #trimming = false;
  /** Nothing is served while all states are being marked lost. */
  #barred = false;

  private constructor(options: ReplicaOptions, floor: number, holders: readonly EarlierHolder[]) {
    this.#options = options;
    this.#floor = new DurableFloor(options.disk);
    const leases = new LeaseTable({
      self: options.self,
      incarnation: options.incarnation,
      termMs: options.leaseTermMs,
      startedAt: options.clock.monotonicMs(),
      earlierHolders: holders,
    });
    this.acceptor = new Acceptor({ self: options.self, leases, views: (block) => options.views(block as Address), floor });
  }

  /** The acceptor with the floor that its disk remembers. Finishes marking states lost, where a crash interrupted it. */
  static async open(options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(options, await DurableFloor.load(options.disk), await earlierHolders(options.disk));
    if ((await options.disk.readMeta(losingKey)) !== undefined) await replica.loseEverything();
    return replica;
  }

  /** Serves a request: the reply may leave when the promise resolves. @throws InfinitError `disk-full`, `disk-failed`, `read-only`: then nothing is said. */
  async serve(request: Request): Promise<Reply> {
    const address = request.block as Address;
    let register: Register | undefined;
    // Between the last look and the step nothing may happen: a register that the cache dropped meanwhile would live on in two places.
    for (;;) {
      if (this.#barred) throw givingUp();
      register = this.#registers.get(address);
      if (register !== undefined) break;
      await this.#load(address);
    }
    if (!this.#mayServe(request))
      throw new InfinitError('unavailable', 'this host does not know whether it still has a say: it hears too few others');
    return this.#serveHeld(address, register, request);
  }

  /** Resolves when the reply may leave. */
  async #serveHeld(address: Address, register: Register, request: Request): Promise<Reply> {
    const { reply, operation } = this.#step(address, register, request);
    if (operation !== undefined || this.#floor.unsaved) this.#save(address, operation);
    // The floor is told in every reply. Both are taken before either is waited for: a write that fails leaves none to wait for.
    const { durable } = register;
    if (this.#floor.durable !== undefined) await Promise.all([this.#floor.durable, durable]);
    else if (durable !== undefined) await durable;
    this.trim();
    return reply;
  }

  /**
   * Serves requests that came together, in one group of the disk; `answer` is called for each whose reply may leave. Where the disk refuses, or where too
   * many wait to be read from it, nothing is said: whoever asked asks again.
   */
  serveAll(requests: readonly Request[], answer: (reply: Reply) => void): void {
    if (this.#barred) return;
    const runs: Run[] = [];
    const served: { readonly register: Register; readonly reply: Reply }[] = [];
    for (const request of requests) {
      if (!this.#mayServe(request)) continue;
      const address = request.block as Address;
      const register = this.#registers.get(address);
      if (register === undefined) {
        this.#serveLoaded(address, request, answer);
        continue;
      }
      const { reply, operation } = this.#step(address, register, request);
      served.push({ register, reply });
      if (operation === undefined) continue;
      let run = runs.at(-1);
      // What makes room must not fail along with what needs it; the order of both is kept.
      if (run === undefined || run.type !== operation.type) runs.push((run = { type: operation.type, operations: [], registers: [] }));
      run.operations.push(operation);
      run.registers.push({ address, register });
    }
    for (const run of runs) this.#saveRun(run);
    if (this.#floor.unsaved) void this.#floor.save(this.acceptor.floor, []);
    this.#answerAll(served, answer);
    this.trim();
  }

  /**
   * What is chosen a host may be told whether it has a say or not: a host that was counted out returns by being told. But not that it is a replica, as one was of whom
   * nobody knew yet that it is counted out: what it took so after it gave up everything it would still have when it returns, and the others settle, remove and forget the
   * block without asking it.
   */
  #mayServe(request: Request): boolean {
    if (request.type !== 'learn') return this.#options.hasSay();
    return this.#options.isMember() || !isMember(request.record, this.#options.self);
  }

  #serveLoaded(address: Address, request: Request, answer: (reply: Reply) => void): void {
    if (this.#loading.size >= maxLoading && !this.#loading.has(address)) return;
    this.#load(address).then(
      () => this.serveAll([request], answer),
      () => {},
    );
  }

  #saveRun({ type, operations, registers }: Run): void {
    const write = type === 'delete' && this.#floor.unsaved ? this.#floor.save(this.acceptor.floor, operations) : this.#options.disk.write(operations);
    this.#trackAll(registers, write);
  }

  /** Each reply leaves when what its register holds is durable, and the floor, which every reply tells. */
  #answerAll(served: readonly { readonly register: Register; readonly reply: Reply }[], answer: (reply: Reply) => void): void {
    const waiting = new Map<Promise<void>, Reply[]>();
    for (const { register, reply } of served) {
      const { durable } = register;
      if (durable === undefined) {
        if (this.#floor.durable === undefined) answer(reply);
        else this.#floor.durable.then(() => answer(reply), ignore);
        continue;
      }
      const replies = waiting.get(durable);
      if (replies === undefined) waiting.set(durable, [reply]);
      else replies.push(reply);
    }
    for (const [durable, replies] of waiting) {
      const all = this.#floor.durable === undefined ? durable : Promise.all([durable, this.#floor.durable]);
      all.then(() => {
        for (const reply of replies) answer(reply);
      }, ignore);
    }
  }

  /** What is kept of a register, for housekeeping: as it is now, durable or not. Does not fill the cache. */
  async peek(address: Address): Promise<AcceptorState | undefined> {
    const register = this.#registers.get(address);
    if (register !== undefined) return register.state;
    try {
      const bytes = await this.#options.disk.read(address);
      // Somebody may have loaded and changed it meanwhile.
      const now = this.#registers.get(address);
      return now !== undefined ? now.state : bytes === undefined ? undefined : decodeState(bytes);
    } catch (error) {
      if (!isDamaged(error)) throw error;
      return await this.#noteLost(address);
    }
  }

  /**
   * For a host that comes back after it was counted out: what it kept may be of foundings in views that were retired without it, so all of it counts
   * as lost (docs/consensus.md, “A host that returns”). Goes on after a crash.
   */
  async loseEverything(): Promise<void> {
    const { disk } = this.#options;
    this.#barred = true;
    await Promise.allSettled(this.#loading.values());
    // Durable after every write that was begun before it.
    await disk.write([{ type: 'put-meta', key: losingKey, bytes: new Uint8Array(1) }]);
    const round = await markAllLost(disk);
    const head = { from: this.#options.self, block: '', tag: 0, attempt: 0 };
    const ballot = { round, peer: this.#options.self, incarnation: this.#options.incarnation, serial: 0 };
    // Whatever was promised in the name of these states is refused by the floor from now on, also where a state is given up.
    const { floor } = this.acceptor.step(undefined, { type: 'forget', ...head, ballot, floor: round }, this.#options.clock.monotonicMs());
    if (floor >= 0) await this.#floor.save(this.acceptor.floor, []);
    this.clear();
    await disk.write([{ type: 'delete-meta', key: losingKey }]);
    this.#barred = false;
  }

  /**
   * Gives up a lost state whose promise the floor covers. Only where a quorum of every view in force holds nothing of the block and no view leads
   * to this host. False: it has to stay.
   */
  async dropLost(address: Address): Promise<boolean> {
    const register = await this.#held(address);
    const { state } = register;
    if (state === undefined) return true;
    if (!state.lost || state.promised === null || state.promised.round > this.acceptor.floor) return false;
    register.state = undefined;
    this.#save(address, { type: 'delete', address });
    await register.durable;
    return true;
  }

  /** Forgets a pointer that no view in force leads to, which needs no say: nobody hears of it. False: it has to stay. */
  async dropPointer(address: Address): Promise<boolean> {
    const register = await this.#held(address);
    const accepted = register.state?.accepted ?? null;
    if (accepted?.pointer !== true) return true;
    const { ballot } = accepted;
    const request: Request = { type: 'forget', from: this.#options.self, block: address, tag: 0, attempt: 1, ballot, floor: 0 };
    return (await this.#serveHeld(address, register, request)).type === 'forgotten';
  }

  /** Makes registers ready for {@link stepNow}, which must follow without a pause: the cache may drop them afterwards. */
  async prepareAll(addresses: readonly Address[]): Promise<void> {
    for (;;) {
      if (this.#barred) throw givingUp();
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

  /** Registers in memory. */
  get cached(): number {
    return this.#registers.size;
  }

  /** Forgets what is in memory: the disk was emptied. */
  clear(): void {
    this.#registers.clear();
    this.#cachedBytes = 0;
    this.#generation++;
    // Whoever asks from now on is not to wait for a read of before.
    this.#loading.clear();
  }

  /** Ties a register to the write that makes it durable. Writes are durable in the order they were begun. */
  track(address: Address, write: Promise<void>): void {
    this.#trackAll([{ address, register: this.#registers.get(address)! }], write);
  }

  #trackAll(registers: readonly { readonly address: Address; readonly register: Register }[], write: Promise<void>): void {
    for (const { register } of registers) register.durable = write;
    write.then(
      () => {
        for (const { address, register } of registers) {
          if (register.durable === write) register.durable = undefined;
          if (isRemoved(register)) this.#removed.push(address);
          this.#options.onDurable(address);
        }
        if (this.#removed.length > 0) this.trim();
      },
      () => {
        for (const { register } of registers) {
          register.unsaved = true;
          if (register.durable === write) register.durable = undefined;
        }
      },
    );
  }

  /** Makes a step durable. */
  #save(address: Address, operation: DiskOperation | undefined): void {
    const operations = operation === undefined ? [] : [operation];
    const write = this.#floor.unsaved ? this.#floor.save(this.acceptor.floor, operations) : this.#options.disk.write(operations);
    if (operation !== undefined) this.track(address, write);
  }

  /** Stores the damage, so that it is not taken for absence later. */
  async #noteLost(address: Address): Promise<AcceptorState | undefined> {
    const register = await this.#held(address);
    if (register.unsaved && register.state?.lost === true) {
      register.unsaved = false;
      this.#save(address, { type: 'put', address, bytes: encodeState(lostState) });
    }
    if (register.durable !== undefined) await register.durable;
    return register.state;
  }

  #step(address: Address, register: Register, request: Request): Answer {
    this.meter.requests++;
    const step = this.acceptor.step(register.state, request, this.#options.clock.monotonicMs());
    for (const holder of step.recalls) this.#options.recall(holder, address);
    if (step.floor >= 0) this.#floor.unsaved = true;
    if (!step.changed && !register.unsaved) return { reply: step.reply, operation: undefined };
    register.state = step.state;
    register.unsaved = false;
    this.#resize(register, step.state);
    const operation: DiskOperation =
      step.state === undefined ? { type: 'delete', address } : { type: 'put', address, bytes: encodeState(step.state) };
    return { reply: step.reply, operation };
  }

  /** The register, in the cache. It may be dropped again between its loading and the caller's turn. */
  async #held(address: Address): Promise<Register> {
    for (;;) {
      const register = this.#registers.get(address);
      if (register !== undefined) return register;
      await this.#load(address);
    }
  }

  #load(address: Address): Promise<Register> {
    let loading = this.#loading.get(address);
    if (loading === undefined) {
      const own = this.#read(address).finally(() => {
        if (this.#loading.get(address) === own) this.#loading.delete(address);
      });
      this.#loading.set(address, (loading = own));
    }
    return loading;
  }

  async #read(address: Address): Promise<Register> {
    this.meter.loads++;
    const generation = this.#generation;
    const stored = await this.#stored(address);
    const register: Register = { state: stored.state, durable: undefined, unsaved: stored.damaged, bytes: 0 };
    if (generation !== this.#generation) return register;
    this.#resize(register, register.state);
    this.#registers.set(address, register);
    if (stored.damaged) this.#options.onLost(address);
    return register;
  }

  /** A damaged record must not be taken for none: the acceptor would vote as if it had never promised anything. */
  async #stored(address: Address): Promise<{ readonly state: AcceptorState | undefined; readonly damaged: boolean }> {
    try {
      const bytes = await this.#options.disk.read(address);
      return { state: bytes === undefined ? undefined : decodeState(bytes), damaged: false };
    } catch (error) {
      if (isDamaged(error)) return { state: lostState, damaged: true };
      throw error;
    }
  }

  #resize(register: Register, state: AcceptorState | undefined): void {
    const bytes = state?.accepted?.record.value?.length ?? 0;
    this.#cachedBytes += bytes - register.bytes;
    register.bytes = bytes;
  }

  /**
   * Has registers dropped where there are too many: those that were loaded first, but none that is not durable yet. In a turn of its own, since in
   * this one somebody may be between {@link prepareAll} and {@link stepNow}.
   */
  trim(): void {
    if (this.#removed.length === 0 && this.#registers.size <= maxCachedRegisters && this.#cachedBytes <= maxCachedBytes) return;
    if (this.#trimming) return;
    this.#trimming = true;
    setImmediate(() => {
      this.#trimming = false;
      this.#trim();
    });
  }

  #trim(): void {
    // A tombstone is hardly ever asked for: a large removal must not fill memory with what is gone.
    for (const address of this.#removed.splice(0)) {
      const register = this.#registers.get(address);
      if (register !== undefined && isRemoved(register)) this.#drop(address, register);
    }
    if (this.#registers.size <= maxCachedRegisters && this.#cachedBytes <= maxCachedBytes) return;
    for (const [address, register] of this.#registers) {
      if (this.#registers.size <= maxCachedRegisters * trimmedShare && this.#cachedBytes <= maxCachedBytes * trimmedShare) return;
      this.#drop(address, register);
    }
  }

  #drop(address: Address, register: Register): void {
    if (register.durable !== undefined || register.unsaved) return;
    this.#registers.delete(address);
    this.#resize(register, undefined);
  }
}

/** It holds a tombstone. */
function isRemoved({ state }: Register): boolean {
  return state?.accepted?.record.value === null;
}
