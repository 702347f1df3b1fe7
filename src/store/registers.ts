import { InfinitError, type Random, RecentMap } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  BallotSource,
  compareBallots,
  type Hint,
  type Operation,
  type PeerId,
  type ProposalOutcome,
  Proposer,
  type Reply,
  type Request,
  type View,
  withoutStalePromise,
} from '../consensus/index.ts';
import type { DiskOperation } from '../disk/index.ts';
import { AnswerPace } from './answer-pace.ts';
import { Drive, type DriveContext, type End, type RunOptions, tickMs } from './drive.ts';
import type { Leases } from './leases.ts';
import type { Replica } from './replica.ts';

/** Blocks whose hint is kept: what makes the next write of the same host one round trip. */
const maxHints = 32_768;
/** Bytes of the values in them. */
const maxHintBytes = 64 * 1024 * 1024;
/** Proposals under way at once on this host. */
const maxProposals = 16_384;

/** Tags of one start of the daemon: a straggler's reply to an earlier one must not be taken for one of this. */
const tagsPerLife = 2 ** 32;
/** The clock of operations stops after so many ticks without any. */
const idleTicks = 20;

/** How requests reach the acceptors of other hosts. A promise that rejects is an answer that did not come. */
export type AskPeer = (peer: PeerId, request: Request, signal: AbortSignal) => Promise<Reply>;

export interface RegistersOptions {
  readonly self: PeerId;
  readonly incarnation: number;
  readonly replica: Replica;
  readonly views: (block: Address) => readonly View[];
  readonly hasSay: () => boolean;
  /** As `StorePlacement.floor`. */
  readonly floor: () => number;
  /** As `StorePlacement.mayBeLost`. */
  readonly mayBeLost?: (block: Address) => boolean;
  /** The way to all acceptors, this host's own too; replies come by {@link Registers.hear}. */
  readonly send: DriveContext['send'];
  /** Whether a host can be asked now; this one can. */
  readonly isConnected: DriveContext['isConnected'];
  readonly leases: Leases;
  readonly random: Random;
  /**
   * An acceptor of the block refused a record, since the ballot is not above its floor, or, after a quorum took it, for somebody's lease. It may be
   * short of a copy.
   */
  readonly onRefused: (block: Address) => void;
  /** Told now and then while operations take long: of the one that has for longest. */
  readonly onWaiting?: (waiting: Waiting) => void;
}

/** An operation that takes long, of so many. */
export interface Waiting {
  readonly operations: number;
  readonly block: Address;
  readonly kind: Operation['kind'];
  readonly forMs: number;
  /** Hosts that were asked and have not answered, or refuse for somebody's lease. */
  readonly unanswered: readonly PeerId[];
}

/** Operations that take longer are told of, and looked at again, as often, in ms: most take one round trip. */
const longMs = 2000;

type Proposing = Pick<RunOptions, 'afresh' | 'unleased'> & { readonly here?: boolean };

/** This host as proposer: runs operations on registers, its own acceptor and those of other hosts, with the pure core deciding every step. */
export class Registers {
  readonly #options: RegistersOptions;
  readonly #ballots: BallotSource;
  readonly #hints = new RecentMap<Address, Hint>(maxHints, { max: maxHintBytes, of: ({ accepted }) => accepted.record.value?.length ?? 0 });
  readonly #running = new Map<number, Drive>();
  readonly #context: DriveContext;
  /** Operations over the network that ended, and the rounds they took, since the start. */
  readonly meter = { operations: 0, rounds: 0 };
  #nextTag: number;
  #clock: NodeJS.Timeout | undefined;
  #idle = 0;
  #toldAt = -Infinity;

  constructor(options: RegistersOptions) {
    this.#options = options;
    this.#ballots = new BallotSource(options.self, options.incarnation);
    this.#nextTag = (options.incarnation % 2 ** 15) * tagsPerLife + 1;
    this.#context = {
      self: options.self,
      pace: new AnswerPace(),
      send: options.send,
      isConnected: options.isConnected,
      beginsWriting: ({ proposer }) => options.leases.beginWrite(proposer.block as Address),
      ended: (drive, end) => this.#ended(drive, end),
    };
  }

  /** True where this host alone is the block's quorum as far as it knows: then {@link runHere} decides without waiting. */
  isHere(address: Address): boolean {
    const views = this.#options.views(address);
    if (!this.#options.hasSay()) return false;
    if (!views.every(({ replicas }) => replicas.length === 1 && replicas[0] === this.#options.self)) return false;
    const record = this.#hints.get(address)?.accepted.record;
    return record === undefined || (record.replicas.length === 1 && record.replicas[0] === this.#options.self && record.previous.length === 0);
  }

  /**
   * Runs an operation against this host's acceptor alone, at once. The register must be prepared ({@link Replica.prepare}).
   * What is to be written before the outcome may be told is added to `operations`, in order, also where it throws: the register holds it already.
   * undefined: other hosts must be asked after all; nothing was decided.
   */
  runHere(address: Address, operation: Operation, operations: DiskOperation[]): ProposalOutcome | undefined {
    const proposer = this.#propose(address, operation, { here: true });
    let effects = proposer.start();
    for (;;) {
      const done = effects.find((effect) => effect.type === 'done');
      if (done !== undefined) {
        // A block that was removed is hardly ever written again: a large removal must not fill memory with what is gone.
        if (done.hint?.accepted.record.value === null) this.#hints.delete(address);
        else this.#remember(address, done.hint);
        return done.outcome;
      }
      const send = effects.find((effect) => effect.type === 'send');
      // It waits for more than this host's answer: its own record is lost, and there is no other.
      if (send === undefined) return { status: 'no-quorum' };
      if (send.to.length !== 1 || send.to[0] !== this.#options.self) return undefined;
      const { reply, operation: write } = this.#options.replica.stepNow(address, send.message);
      if (write !== undefined) {
        operations.push(write);
        this.#options.leases.forget(address);
      }
      effects = proposer.step({ type: 'reply', reply });
    }
  }

  /** Runs an operation on whatever hosts the block is. Resolves within the deadline. */
  run(address: Address, operation: Operation, options: RunOptions): Promise<ProposalOutcome> {
    if (this.#running.size >= maxProposals) throw new InfinitError('overloaded', `${maxProposals} block operations are under way on this host`);
    const drive = new Drive(this.#context, this.#propose(address, operation, options), options);
    this.#running.set(drive.proposer.tag, drive);
    this.#clock ??= setInterval(() => this.#tick(), tickMs);
    drive.start();
    return drive.outcome;
  }

  /**
   * Takes an acceptor's reply. One that comes too late tells its floor all the same: a replica that refused what a quorum took without it
   * would refuse the next blocks as well.
   * @returns Whether its operation waits for more answers to what this one answers.
   */
  hear(reply: Reply): boolean {
    this.#ballots.raiseFloor(reply.floor);
    const drive = this.#running.get(reply.tag);
    const belowFloor = reply.type === 'rejected' && reply.promised === null && reply.accepted === null;
    // Nobody asks it again.
    const leftOut = reply.type === 'leased' && drive === undefined;
    if (belowFloor || leftOut) this.#options.onRefused(reply.block as Address);
    drive?.hear(reply);
    return drive?.awaits(reply.attempt) === true;
  }

  /** A host is connected again: what waits for its answer asks at once. */
  peerUp(peer: PeerId): void {
    for (const drive of this.#running.values()) drive.peerUp(peer);
  }

  /** A host is connected no longer: what waits for it without need goes on. */
  peerDown(): void {
    for (const drive of this.#running.values()) drive.goOn();
  }

  /** The round of the next ballot. */
  get nextRound(): number {
    return this.#ballots.nextRound;
  }

  /** Blocks of which something is kept. */
  get hints(): number {
    return this.#hints.size;
  }

  /** Forgets what is known of all blocks, so that the next operations ask. */
  clear(): void {
    this.#hints.clear();
  }

  #propose(address: Address, operation: Operation, { afresh = false, unleased = false, here = false }: Proposing = {}): Proposer {
    const { views, random, leases, floor, mayBeLost, replica } = this.#options;
    const kept = afresh ? undefined : this.#hints.get(address);
    // A hint's promise is good for one use; whoever comes meanwhile goes without.
    if (!afresh) this.#hints.delete(address);
    const promised = afresh || here ? undefined : replica.promised(address);
    return new Proposer({
      block: address,
      tag: this.#nextTag++,
      operation,
      views: views(address),
      ballots: this.#ballots,
      random: () => random.unit(),
      floor: floor(),
      mayBeLost: () => mayBeLost?.(address) === true,
      hint: withoutStalePromise(kept, promised),
      promised: promised?.round,
      lease: operation.kind === 'read' && !afresh && !unleased && !here ? leases.ask(address) : undefined,
      leaseClock: leases.requests,
    });
  }

  #ended({ proposer, afresh, rounds, writes }: Drive, { outcome, hint, lease }: End): void {
    const address = proposer.block as Address;
    this.#running.delete(proposer.tag);
    this.meter.operations++;
    this.meter.rounds += rounds;
    this.#remember(address, hint, afresh);
    const committed = outcome.status === 'committed' ? (outcome.accepted ?? undefined) : undefined;
    if (writes) this.#options.leases.endWrite(address, committed, lease);
    else if (lease !== null) this.#options.leases.granted(address, lease);
  }

  #tick(): void {
    this.#idle = this.#running.size === 0 ? this.#idle + 1 : 0;
    if (this.#idle >= idleTicks) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
    const now = performance.now();
    for (const drive of this.#running.values()) drive.tick(now);
    if (now - this.#toldAt < longMs) return;
    this.#toldAt = now;
    this.#followViews(now - longMs);
    const waiting = this.waiting(now - longMs);
    if (waiting !== undefined) this.#options.onWaiting?.(waiting);
  }

  /** Whoever waits for hosts of a view that is retired meanwhile, lost ones perhaps, begins anew without it. */
  #followViews(before: number): void {
    const waiting = [...this.#running.values()].filter(({ beganAt, writes }) => beganAt < before && !writes);
    if (waiting.length === 0) return;
    const oldest = this.#oldestView(waiting[0]!.proposer.block as Address);
    for (const drive of waiting) {
      const { proposer, options } = drive;
      if (proposer.oldestView >= oldest) continue;
      this.#running.delete(proposer.tag);
      const anew = this.#propose(proposer.block as Address, proposer.operation, options);
      this.#running.set(anew.tag, drive);
      drive.beginAnew(anew);
    }
  }

  /** The same for each block. −1: this host does not know any more, or yet. */
  #oldestView(block: Address): number {
    try {
      return this.#options.views(block)[0]?.number ?? -1;
    } catch {
      return -1;
    }
  }

  /** Of the operations that began before the time: the one that did first. */
  waiting(before: number): Waiting | undefined {
    let operations = 0;
    let first: Drive | undefined;
    for (const drive of this.#running.values()) {
      if (drive.beganAt >= before) continue;
      operations++;
      if (first === undefined || drive.beganAt < first.beganAt) first = drive;
    }
    if (first === undefined) return undefined;
    const { proposer, beganAt } = first;
    const forMs = Math.round(performance.now() - beganAt);
    return { operations, block: proposer.block as Address, kind: proposer.operation.kind, forMs, unanswered: proposer.unanswered() };
  }

  /** @param beside The operation left an older hint where it was: that one is as good, unless the operation saw more. */
  #remember(address: Address, hint: Hint | null, beside = false): void {
    if (hint === null) {
      if (!beside) this.#hints.delete(address);
      return;
    }
    const kept = this.#hints.get(address);
    if (kept !== undefined && compareBallots(hint.accepted.ballot, kept.accepted.ballot) <= (beside ? 0 : -1)) return;
    this.#hints.set(address, hint);
  }
}
