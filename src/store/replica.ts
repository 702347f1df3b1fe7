import { assert, type Clock, codeOf, InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  Acceptor,
  type AcceptorState,
  type Ballot,
  decodeState,
  type EarlierHolder,
  encodeState,
  LeaseTable,
  lostState,
  mayServe,
  type PeerId,
  type Reply,
  type Request,
  sameBallot,
  type View,
} from '../consensus/index.ts';
import type { Disk, DiskOperation } from '../disk/index.ts';
import { isOfClient } from './clients-elsewhere.ts';
import { answerWhenDurable, type Served } from './durable-answers.ts';
import { DurableFloor } from './durable-floor.ts';
import { isDamaged } from './failures.ts';
import { givingUp, markAllLost } from './giving-up.ts';
import { earlierHolders } from './leases.ts';
import { type Register, RegisterCache } from './register-cache.ts';

/** Where it says that all states here are to count as lost. */
const losingKey = 'acceptor/losing';
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
  /** Told of a bug that a request met once its register was loaded: whoever handed it over has gone on. */
  readonly onBug: (error: unknown) => void;
  /** Told that clients of other hosts wait for what is served. */
  readonly onClients?: () => void;
}

/**
 * This host's acceptor with its disk: what it says is durable before it is said, also what a read merely reveals. The states are those of the
 * pure core in src/consensus; here they are loaded, cached and stored.
 */
export class Replica {
  readonly acceptor: Acceptor;
  readonly #options: ReplicaOptions;
  #requests = 0;
  readonly #registers: RegisterCache;
  readonly #floor: DurableFloor;
  /** Nothing is served while all states are being marked lost. */
  #barred = false;

  private constructor(options: ReplicaOptions, floor: number, holders: readonly EarlierHolder[]) {
    this.#options = options;
    this.#floor = new DurableFloor(options.disk, floor);
    this.#registers = new RegisterCache(options.disk, options.onLost);
    const leases = new LeaseTable({
      self: options.self,
      incarnation: options.incarnation,
      termMs: options.leaseTermMs,
      startedAt: options.clock.monotonicMs(),
      earlierHolders: holders,
      sharedOnly: true,
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
      await this.#registers.load(address);
    }
    if (!this.#mayServe(request, this.#options.hasSay()))
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
    this.#registers.trim();
    return reply;
  }

  /**
   * Serves requests that came together, in one group of the disk; `answer` is called for each whose reply may leave, with who asked. Where the disk refuses, where too
   * many wait to be read from it, or where this host cannot judge a request, nothing is said: whoever asked asks again.
   * @throws where a request meets a bug; the others are served.
   */
  serveAll(requests: readonly Request[], answer: (reply: Reply, to: PeerId) => void): void {
    if (this.#barred) return;
    const runs: Run[] = [];
    const served: Served[] = [];
    const bugs: unknown[] = [];
    const now = this.#options.clock.monotonicMs();
    const hasSay = this.#options.hasSay();
    if (requests.some((request) => request.from !== this.#options.self && isOfClient(request))) this.#options.onClients?.();
    for (const request of requests) {
      if (!this.#mayServe(request, hasSay)) continue;
      const address = request.block as Address;
      const register = this.#registers.get(address);
      if (register === undefined) {
        this.#serveLoaded(address, request, answer);
        continue;
      }
      let step: Answer;
      try {
        step = this.#step(address, register, request, now);
      } catch (error) {
        if (codeOf(error) === 'bug') bugs.push(error);
        continue;
      }
      const { reply, operation } = step;
      served.push({ register, reply, to: request.from });
      if (operation === undefined) continue;
      let run = runs.at(-1);
      // What makes room must not fail along with what needs it; the order of both is kept.
      if (run === undefined || run.type !== operation.type) runs.push((run = { type: operation.type, operations: [], registers: [] }));
      run.operations.push(operation);
      run.registers.push({ address, register });
    }
    for (const run of runs) this.#saveRun(run);
    if (this.#floor.unsaved) void this.#floor.save(this.acceptor.floor, []);
    answerWhenDurable(served, this.#floor, answer);
    this.#registers.trim();
    if (bugs.length > 0) throw bugs[0];
  }

  #mayServe(request: Request, hasSay: boolean): boolean {
    return mayServe(request, this.#options.self, hasSay, this.#options.isMember());
  }

  #serveLoaded(address: Address, request: Request, answer: (reply: Reply, to: PeerId) => void): void {
    if (!this.#registers.mayLoad(address)) return;
    this.#registers.load(address).then(() => {
      try {
        this.serveAll([request], answer);
      } catch (error) {
        this.#options.onBug(error);
      }
    }, ignore);
  }

  #saveRun({ type, operations, registers }: Run): void {
    const write =
      type === 'delete' && !this.#floor.isDurable ? this.#floor.save(this.acceptor.floor, operations) : this.#options.disk.write(operations);
    this.#trackAll(registers, write);
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
    this.#barred = true;
    await this.#registers.settled();
    // Durable after every write that was begun before it.
    await this.#options.disk.write([{ type: 'put-meta', key: losingKey, bytes: new Uint8Array(1) }]);
    const round = await markAllLost(this.#options.disk);
    const head = { from: this.#options.self, block: '', tag: 0, attempt: 0 };
    const ballot = { round, peer: this.#options.self, incarnation: this.#options.incarnation, serial: 0 };
    // Whatever was promised in the name of these states is refused by the floor from now on, also where a state is given up.
    const { floor } = this.acceptor.step(undefined, { type: 'forget', ...head, ballot, floor: round }, this.#options.clock.monotonicMs());
    if (floor >= 0) await this.#floor.save(this.acceptor.floor, []);
    this.clear();
    await this.#options.disk.write([{ type: 'delete-meta', key: losingKey }]);
    this.#barred = false;
  }

  /**
   * Gives up a lost state whose promise the floor covers. Only where a quorum of every view in force holds nothing of the block and no view leads
   * to this host. False: it has to stay.
   */
  async dropLost(address: Address): Promise<boolean> {
    const register = await this.#held(address);
    const { state } = register;
    if (state === undefined) return this.#durably(address, register);
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
    return accepted?.pointer === true ? this.#forget(address, register, accepted.ballot) : this.#durably(address, register);
  }

  /** What memory holds is on the disk: what that refused once is written again. @throws InfinitError where it still refuses. */
  async #durably(address: Address, register: Register): Promise<true> {
    if (register.unsaved) {
      register.unsaved = false;
      this.#save(address, operationOf(address, register.state));
    }
    await register.durable;
    return true;
  }

  /** Forgets what a pointer above it proved to be of a block that was removed and forgotten (`survey`). False: there is another record by now. */
  async dropForgotten(address: Address, ballot: Ballot): Promise<boolean> {
    const register = await this.#held(address);
    const { state } = register;
    if (state === undefined || state.accepted === null) return true;
    if (!sameBallot(state.accepted.ballot, ballot)) return false;
    register.state = { ...state, accepted: null };
    return this.#forget(address, register, ballot);
  }

  async #forget(address: Address, register: Register, ballot: Ballot): Promise<boolean> {
    const request: Request = { type: 'forget', from: this.#options.self, block: address, tag: 0, attempt: 1, ballot, floor: 0 };
    return (await this.#serveHeld(address, register, request)).type === 'forgotten';
  }

  /** Makes registers ready for {@link stepNow}, which must follow without a pause: the cache may drop them afterwards. */
  async prepareAll(addresses: readonly Address[]): Promise<void> {
    for (;;) {
      if (this.#barred) throw givingUp();
      const missing = addresses.filter((address) => this.#registers.get(address) === undefined);
      if (missing.length === 0) return;
      await Promise.all(missing.map((address) => this.#registers.load(address)));
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

  /** What this host's acceptor promised last of a register that is in memory, durable or not. */
  promised(address: Address): Ballot | undefined {
    return this.#registers.get(address)?.state?.promised ?? undefined;
  }

  /** Requests to registers of this host, and registers that had to be read from its disk for them, since the start. */
  get meter(): { readonly requests: number; readonly loads: number } {
    return { requests: this.#requests, loads: this.#registers.loads };
  }

  /** Registers in memory. */
  get cached(): number {
    return this.#registers.size;
  }

  /** Has registers dropped where too many are in memory, soon: not between {@link prepareAll} and {@link stepNow}. */
  trim(): void {
    this.#registers.trim();
  }

  /** Forgets what is in memory: the disk was emptied. */
  clear(): void {
    this.#registers.clear();
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
          this.#registers.noteRemoved(address, register);
          this.#options.onDurable(address);
        }
        this.#registers.trim();
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
    const along = this.#floor.unsaved || (operation?.type === 'delete' && !this.#floor.isDurable);
    const write = along ? this.#floor.save(this.acceptor.floor, operations) : this.#options.disk.write(operations);
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

  #step(address: Address, register: Register, request: Request, now = this.#options.clock.monotonicMs()): Answer {
    this.#requests++;
    const step = this.acceptor.step(register.state, request, now);
    for (const holder of step.recalls) this.#options.recall(holder, address);
    if (step.floor >= 0) this.#floor.unsaved = true;
    if (!step.changed && !register.unsaved) return { reply: step.reply, operation: undefined };
    register.state = step.state;
    register.unsaved = false;
    this.#registers.resize(register, step.state);
    return { reply: step.reply, operation: operationOf(address, step.state) };
  }

  /** The register, in the cache. It may be dropped again between its loading and the caller's turn. */
  async #held(address: Address): Promise<Register> {
    for (;;) {
      const register = this.#registers.get(address);
      if (register !== undefined) return register;
      await this.#registers.load(address);
    }
  }
}

function operationOf(address: Address, state: AcceptorState | undefined): DiskOperation {
  return state === undefined ? { type: 'delete', address } : { type: 'put', address, bytes: encodeState(state) };
}
