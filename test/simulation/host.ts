import { assert } from '../../src/base/index.ts';
import {
  type Accepted,
  Acceptor,
  type AcceptorState,
  type Ballot,
  type BallotSource,
  compareBallots,
  mayServe,
  LeaseHolder,
  type LeaseMessage,
  LeaseTable,
  lostState,
  type Operation,
  type ProposalOutcome,
  Proposer,
  type Reply,
  type Request,
  sameBallot,
  type View,
  withoutStalePromise,
} from '../../src/consensus/index.ts';
import { type HostEvent, leaseEvent, type ReportMessage, replyEvent, requestEvent, timeEvent } from './events.ts';
import { type Done, type End, Operations, type Running } from './operations.ts';
import { HostStates } from './states.ts';
import type { World } from './world.ts';

export interface RunOptions {
  readonly lease?: 'shared' | 'exclusive' | undefined;
  readonly useHint?: boolean;
  readonly deadlineMs?: number | undefined;
  readonly done: Done;
}

/** Housekeeping is patient. */
const housekeepingMs = 2500;
/** Heartbeats in a term. */
const heartbeatsPerTerm = 4;

/**
 * A host: the production step functions, a disk, a process that can die. What the store's shell does in production (keep states, make them
 * durable before replies leave, count time) is done here over simulated time.
 */
export class Host {
  readonly index: number;
  readonly name: string;
  readonly #states: HostStates;
  readonly #world: World;
  readonly #rate: number;
  #offset: number;
  up = false;
  life = 0;
  downSince = 0;
  /** Counted out by the others while it was down. */
  evicted = false;
  /** For good; see disaster.ts. */
  lost = false;
  /** Hosts of which this one knows, durably, that they were expelled. */
  readonly barred = new Set<string>();
  /** Lets whoever buffers under a lease send it first. */
  beforeRelease: (block: string, release: () => void) => void = (_block, release) => release();
  /** Whether the acceptor may answer; what a chosen record says it may be told in any case. */
  hasSay: () => boolean = () => true;
  /** Whether it may be a replica of anything. */
  isMember: () => boolean = () => true;
  onReport: (message: ReportMessage) => void = () => {};
  onStart: () => void = () => {};
  pausedUntil = -1;
  /** Bits rotted here. */
  rotted = false;
  /** Whatever is not in memory cannot be read from the disk. */
  unreadable = false;
  syncMs: number;
  /** The views that this host takes into account: durable. */
  oldestView = 1;
  /** As `RosterState.floor`. */
  retiredFloor = 0;
  /** As `Membership.mayBeLost`. */
  mayBeLost: (block: string) => boolean = () => false;
  newestView = 1;
  #acceptor!: Acceptor;
  holder!: LeaseHolder;
  #ballots!: BallotSource;
  readonly #operations: Operations;
  /** Questions outside of any operation, by tag. */
  readonly #questions = new Map<number, (reply: Reply) => void>();
  readonly #random = (): number => this.#world.chance.unit();
  readonly #leaseClock = (): number => this.holder.clock;
  #tags = 0;

  constructor(world: World, index: number) {
    this.#world = world;
    this.#states = new HostStates(() => this.#sync(), world.mutant.forgetsUnsaved === true);
    this.index = index;
    this.name = world.names[index]!;
    const { drift, syncMs } = world.settings;
    this.#rate = world.chance.between(1 - drift, 1 + drift);
    this.#offset = world.chance.between(0, 1e6);
    this.syncMs = syncMs;
    this.#operations = new Operations(world, {
      index,
      life: () => this.life,
      real: (localMs) => this.#real(localMs),
      beginsWriting: (block) => this.holder.beginWrite(block),
      ended: (running, end) => this.#finish(running, end),
    });
  }

  get evictionMs(): number {
    return this.#world.settings.evictionMs;
  }

  get clock(): number {
    return this.#offset + this.#world.now * this.#rate;
  }

  /** How long until the local clock is so many ms further. */
  #real(localMs: number): number {
    return localMs / this.#rate;
  }

  // --- the process -----------------------------------------------------------------------------------------------------------

  start(): void {
    const { settings, mutant } = this.#world;
    this.up = true;
    this.life++;
    this.#states.disk.recover(this.#world.mutant.trustsTornRecords !== true);
    this.#states.disk.incarnation++;
    const { incarnation } = this.#states.disk;
    const { rules } = mutant;
    const options = { self: this.name, incarnation, termMs: settings.leaseTermMs, rules };
    const leases = new LeaseTable({ ...options, incarnation: this.life, startedAt: this.clock, earlierHolders: this.#states.disk.earlierHolders });
    const views = (block: string): readonly View[] => this.#world.viewsOf(block, this);
    this.#acceptor = new Acceptor({ self: this.name, leases, views, floor: this.#states.disk.floor, rules });
    this.holder = new LeaseHolder({ ...options, drift: settings.drift });
    this.#ballots = mutant.ballots(this.name, incarnation);
    this.#tags = this.life * 1_000_000;
    if (this.evicted) this.#returnEvicted();
    this.onStart();
    if (settings.leases > 0) this.#world.at(0, timeEvent('heartbeat', this.index, this.life));
  }

  /** The process dies. What it had said stays said; what its disk had not synced is lost, or not. */
  crash(): void {
    if (!this.up) return;
    this.up = false;
    this.downSince = this.#world.now;
    this.pausedUntil = -1;
    this.#states.crash(this.#world.chance);
    this.#operations.crash();
    this.#questions.clear();
    this.#offset = this.#world.chance.between(0, 1e6);
  }

  /** What was kept here may be of foundings in views that were retired without this host: it has no say until it is told where each block is. */
  #returnEvicted(): void {
    this.evicted = false;
    [this.oldestView, this.newestView] = this.#world.currentViews(this);
    for (const block of this.#states.disk.blocks()) {
      this.#states.save(block, this.#states.of(block), lostState, -1, true);
    }
  }

  /** As `Replica.loseEverything`: whatever was promised in the name of these states, the floor refuses from now on. */
  loseEverything(): void {
    const round = this.#states.loseEverything();
    const ballot = { round, peer: this.name, incarnation: this.#states.disk.incarnation, serial: 0 };
    const head = { from: this.name, block: '', tag: 0, attempt: 0 };
    const { floor } = this.#acceptor.step(undefined, { type: 'forget', ...head, ballot, floor: round }, this.clock);
    this.#states.disk.floor = Math.max(this.#states.disk.floor, floor);
  }

  /** As `Replica.dropLost`. */
  dropLost(block: string): boolean {
    return this.#states.dropLost(block, this.#acceptor.floor);
  }

  /** As `Replica.dropPointer`: false while some view in force leads to this host. */
  dropPointer(block: string, ballot: Ballot): boolean {
    const kept = this.#states.load(block);
    const step = this.#acceptor.step(kept.state, { type: 'forget', from: this.name, block, tag: 0, attempt: 1, ballot, floor: 0 }, this.clock);
    if (!step.changed) return false;
    this.#states.save(block, kept, step.state, step.floor);
    return !this.#states.isUnsaved(kept);
  }

  /** As `Replica.dropLost` and `dropPointer` do it where nothing is to be given up any more: what the disk refused once is written again. */
  writeAgain(block: string): void {
    const kept = this.#states.load(block);
    if (this.#states.isUnsaved(kept)) this.#states.save(block, kept, kept.state, -1);
  }

  /** As `Housekeeping.tell` of this very host. */
  learn(block: string, { ballot, record }: Accepted): void {
    const message = { type: 'learn', from: this.name, block, tag: 0, attempt: 1, ballot, record } as const;
    this.#world.send(this.index, requestEvent(this.index, this.life, message));
  }

  /** As `Replica.dropForgotten`, where a read that this host answered too found nothing of a block of which it held something. */
  dropForgotten(block: string, held: Accepted | null, outcome: ProposalOutcome): void {
    if (held === null || held.pointer || outcome.status !== 'committed' || outcome.accepted !== null) return;
    const kept = this.#states.load(block);
    const { state } = kept;
    if (state === undefined || state.accepted === null || !sameBallot(state.accepted.ballot, held.ballot)) return;
    const request = { type: 'forget', from: this.name, block, tag: 0, attempt: 1, ballot: held.ballot, floor: 0 } as const;
    const step = this.#acceptor.step({ ...state, accepted: null }, request, this.clock);
    this.#states.save(block, kept, step.state, step.floor);
  }

  handle(event: HostEvent): void {
    switch (event.kind) {
      case 'request':
        return this.#onRequest(event.message);
      case 'reply':
        // Also of a reply that comes too late for its operation, as in src/store; nothing hangs on it, and mutants are rarer caught with it.
        if (this.#world.settings.mending > 0) this.#ballots.raiseFloor(event.message.floor);
        this.#questions.get(event.tag)?.(event.message);
        return this.#operations.hear(event.tag, event.message);
      case 'lease':
        return this.#onLease(event.message);
      case 'report':
        return this.onReport(event.message);
      case 'synced':
        return this.#onSynced();
      case 'timer':
        return this.#operations.onTimer(event.tag);
      case 'heartbeat':
        return this.#beat();
    }
  }

  // --- the acceptor's shell --------------------------------------------------------------------------------------------------

  /** Of no block that was forgotten here was the version above it. */
  get floor(): number {
    return this.#acceptor.floor;
  }

  /** What the acceptor knows of a block. Of a process that is down nobody may ask: what it loads it may have to write. */
  stateOf(block: string): AcceptorState | undefined {
    assert(this.up, `${this.name} is down`);
    return this.#states.load(block).state;
  }

  /** Whether what the process has of a block is on the medium. */
  isDurable(block: string): boolean {
    const kept = this.#states.of(block);
    return kept.unsynced === undefined && !kept.unsaved;
  }

  // --- the disk --------------------------------------------------------------------------------------------------------------

  set full(full: boolean) {
    this.#states.disk.full = full;
  }

  /** A write failed. The process goes on with what is in memory, and writes nothing any longer. */
  get failed(): boolean {
    return this.#states.disk.failed;
  }

  failDisk(): void {
    if (this.up) this.#states.fail(this.#world.chance);
  }

  rot(block: string): void {
    this.rotted = true;
    this.#states.rot(block, this.#world.chance);
  }

  /** Whether the copy is damaged, noticed or not. */
  isDamaged(block: string): boolean {
    return this.#states.disk.isRotten(block) || this.#states.of(block).state?.lost === true;
  }

  /** From now on nothing can be read that is not in memory, and little is. */
  failReads(): void {
    this.unreadable = true;
    this.#states.dropClean();
  }

  #onRequest(request: Request): void {
    const world = this.#world;
    const { block } = request;
    if (!mayServe(request, this.name, this.hasSay(), this.isMember())) return;
    if (this.unreadable && !this.#states.of(block).loaded) return;
    const kept = this.#states.load(block);
    const step = this.#acceptor.step(kept.state, request, this.clock);
    for (const peer of step.recalls) this.#sendLease(world.indexOf(peer), { type: 'recall', from: this.name, block });
    if (step.changed) world.judges.accepted(request);
    const before = kept.state?.accepted;
    if (before?.pointer === true && step.reply.type === 'forgotten') world.judges.onPointerForgotten(block, this, before.record);
    // As `Replica.serve`: memory keeps the step also where the disk refuses it, and nothing is said.
    if (step.changed || this.#states.isUnsaved(kept)) this.#states.save(block, kept, step.state, step.floor);
    if (world.trace.on) world.trace.step(this.name, request, step.reply);
    if (this.#states.isUnsaved(kept)) return world.trace.say(`${this.name}  ${block}  cannot be written: nothing is said`);
    const to = world.indexOf(request.from);
    const reply = replyEvent(to, to === this.index ? this.life : -1, step.reply);
    const awaited = this.#states.awaited(kept);
    if (awaited === undefined || world.mutant.repliesBeforeSync === true) world.send(this.index, reply);
    else awaited.waiting.push(reply);
  }

  #sync(): void {
    if (this.#states.disk.start()) this.#world.at(this.syncMs * this.#world.chance.between(0.5, 1.5), timeEvent('synced', this.index, this.life));
  }

  #onSynced(): void {
    for (const reply of this.#states.synced()) this.#world.send(this.index, reply);
    this.#sync();
  }

  // --- the proposer's shell --------------------------------------------------------------------------------------------------

  /** Runs one operation from this host. */
  run(block: string, operation: Operation, { lease, useHint = true, deadlineMs = housekeepingMs, done }: RunOptions): void {
    const tag = ++this.#tags;
    const kept = this.#states.of(block);
    const hint = useHint ? kept.hint : undefined;
    const promised = useHint ? (kept.state?.promised ?? undefined) : undefined;
    // What was promised to this host is used once.
    if (operation.kind !== 'read') kept.hint = undefined;
    const proposer = new Proposer({
      block,
      tag,
      operation,
      views: this.#world.viewsOf(block, this),
      ballots: this.#ballots,
      random: this.#random,
      floor: this.retiredFloor,
      mayBeLost: () => this.mayBeLost(block),
      hint: withoutStalePromise(hint, promised),
      promised: promised?.round,
      lease: lease === undefined ? undefined : this.holder.request(block, lease),
      leaseClock: this.#leaseClock,
      rules: this.#world.mutant.rules,
    });
    this.#operations.begin(proposer, this.#real(deadlineMs), done);
  }

  /** What these hosts have of a block, each for itself, as far as they answer in time: as `Housekeeping.ask`. */
  ask(block: string, peers: readonly string[], withinMs: number, done: (replies: readonly Reply[]) => void): void {
    const tag = ++this.#tags;
    const replies = new Map<string, Reply>();
    const end = (): void => void (this.#questions.delete(tag) && done([...replies.values()]));
    this.#questions.set(tag, (reply) => {
      replies.set(reply.from, reply);
      if (replies.size === peers.length) end();
    });
    const message = { type: 'read', from: this.name, block, tag, attempt: 1, view: -1, known: null, lease: null } as const;
    for (const peer of peers) this.#world.send(this.index, requestEvent(this.#world.indexOf(peer), -1, message));
    this.#world.later(withinMs, end);
  }

  #finish({ proposer, writes, done, beganAt }: Running, { outcome, hint, lease }: End): void {
    const { block } = proposer;
    const kept = this.#states.of(block);
    if (hint !== null && compareBallots(hint.accepted.ballot, kept.hint?.accepted.ballot ?? null) > 0) kept.hint = hint;
    const told = outcome.status === 'committed' || outcome.status === 'conflict' ? outcome.accepted : null;
    // What a conflict reports is chosen as well.
    if (told !== null) this.#world.judges.chosen(block, told);
    const { kind } = proposer.operation;
    if (told === null && (outcome.status === 'committed' || outcome.status === 'conflict') && (kind === 'read' || kind === 'write')) {
      const isClients = kind === 'write' || !('own' in proposer.operation);
      this.#world.judges.onAbsent(block, beganAt, isClients ? this : undefined);
    }
    const committed = outcome.status === 'committed' && told !== null ? told : undefined;
    const now = this.clock;
    const exclusive = this.holder.holdsExclusive(block, now);
    const leased = writes ? this.holder.endWrite(block, committed, lease, now) : lease !== null && this.holder.granted(block, lease, now);
    if (leased) this.#world.judges.leased(this, block);
    done(outcome, exclusive);
  }

  // --- leases ----------------------------------------------------------------------------------------------------------------

  #beat(): void {
    const world = this.#world;
    for (let to = 0; to < world.hosts.length; to++) this.#sendLease(to, this.holder.heartbeat(this.clock));
    this.#acceptor.leases.sweep(this.clock);
    const { to: earlier, message } = this.#acceptor.leases.forgot();
    for (const peer of earlier) this.#sendLease(world.indexOf(peer), message);
    for (const block of this.holder.sweep(this.clock)) this.#release(block);
    world.at(this.#real(world.settings.leaseTermMs / heartbeatsPerTerm), timeEvent('heartbeat', this.index, this.life));
  }

  #onLease(message: LeaseMessage): void {
    switch (message.type) {
      case 'heartbeat': {
        const { reply, remember } = this.#acceptor.leases.heartbeat(message, this.clock);
        if (remember !== undefined && this.failed) return;
        if (remember !== undefined) this.#states.disk.earlierHolders = remember;
        if (reply !== undefined) this.#sendLease(this.#world.indexOf(message.from), reply);
        return;
      }
      case 'heartbeat-reply':
        return this.holder.onHeartbeatReply(message);
      case 'recall':
        return this.#world.mutant.ignoresRecalls === true ? undefined : this.beforeRelease(message.block, () => this.#release(message.block));
      case 'release':
        return this.#acceptor.leases.release(message, this.clock);
      case 'forgot':
        return this.#sendLease(this.#world.indexOf(message.from), this.holder.onForgot(message, this.clock)!);
      case 'forgot-reply':
        return this.#acceptor.leases.onForgotReply(message);
    }
  }

  #release(block: string): void {
    if (!this.up) return;
    const release = this.holder.drop(block);
    for (let to = 0; to < this.#world.hosts.length; to++) this.#sendLease(to, release);
  }

  #sendLease(to: number, message: LeaseMessage): void {
    this.#world.send(this.index, leaseEvent(to, to === this.index ? this.life : -1, message));
  }

  /** What the acceptor accepted last of a block. */
  acceptedOf(block: string): Accepted | null {
    return this.stateOf(block)?.accepted ?? null;
  }
}
