import {
  type Accepted,
  Acceptor,
  type AcceptorState,
  type BallotSource,
  compareBallots,
  decodeState,
  type Effect,
  encodeState,
  type Hint,
  isMember,
  LeaseHolder,
  type LeaseMessage,
  LeaseTable,
  lostState,
  type Operation,
  type ProposalOutcome,
  Proposer,
  type ProposerEvent,
  type Request,
  type View,
} from '../../src/consensus/index.ts';
import type { HostEvent } from './events.ts';
import { type Group, SimulatedDisk } from './simulated-disk.ts';
import type { World } from './world.ts';

/** One operation under way. */
interface Running {
  readonly proposer: Proposer;
  /** Its accepts are counted as a write of this host. */
  writes: boolean;
  readonly done: (outcome: ProposalOutcome | undefined) => void;
  token: number;
}

export interface RunOptions {
  readonly lease?: 'shared' | 'exclusive' | undefined;
  readonly useHint?: boolean;
  readonly deadlineMs?: number | undefined;
  /** Called once; undefined: the process died before it was told. */
  readonly done: (outcome: ProposalOutcome | undefined) => void;
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
  readonly disk = new SimulatedDisk<HostEvent>();
  readonly #world: World;
  readonly #rate: number;
  #offset: number;
  up = false;
  life = 0;
  downSince = 0;
  /** Counted out by the others while it was down. */
  evicted = false;
  /** Lets whoever buffers under a lease send it first. */
  beforeRelease: (block: string, release: () => void) => void = (_block, release) => release();
  pausedUntil = -1;
  full = false;
  syncMs: number;
  /** The views that this host takes into account: durable. */
  oldestView = 1;
  newestView = 1;
  #acceptor!: Acceptor;
  holder!: LeaseHolder;
  #ballots!: BallotSource;
  readonly #memory = new Map<string, AcceptorState | undefined>();
  readonly #unsynced = new Map<string, Group<HostEvent>>();
  readonly #hints = new Map<string, Hint>();
  readonly #running = new Map<number, Running>();
  #tags = 0;

  constructor(world: World, index: number) {
    this.#world = world;
    this.index = index;
    this.name = world.names[index]!;
    const { drift, syncMs } = world.settings;
    this.#rate = world.chance.between(1 - drift, 1 + drift);
    this.#offset = world.chance.between(0, 1e6);
    this.syncMs = syncMs;
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
    this.disk.incarnation++;
    const { incarnation } = this.disk;
    const { rules } = mutant;
    const options = { self: this.name, incarnation, termMs: settings.leaseTermMs, rules };
    const leases = new LeaseTable({ ...options, incarnation: this.life, startedAt: this.clock, earlierHolders: this.disk.earlierHolders });
    const views = (block: string): readonly View[] => this.#world.viewsOf(block, this);
    this.#acceptor = new Acceptor({ self: this.name, leases, views, floor: this.disk.floor, rules });
    this.holder = new LeaseHolder({ ...options, drift: settings.drift });
    this.#ballots = mutant.ballots(this.name, incarnation);
    this.#tags = this.life * 1_000_000;
    if (this.evicted) this.#returnEvicted();
    if (settings.leases > 0) this.#world.at(0, { kind: 'heartbeat', to: this.index, life: this.life });
  }

  /** The process dies. What it had said stays said; what its disk had not synced is lost, or not. */
  crash(): void {
    if (!this.up) return;
    this.up = false;
    this.downSince = this.#world.now;
    this.pausedUntil = -1;
    this.disk.crash(this.#world.chance);
    this.#memory.clear();
    this.#unsynced.clear();
    this.#hints.clear();
    const running = [...this.#running.values()];
    this.#running.clear();
    for (const { done } of running) done(undefined);
    this.#offset = this.#world.chance.between(0, 1e6);
  }

  /** What was kept here may be of foundings in views that were retired without this host: it has no say until it is told where each block is. */
  #returnEvicted(): void {
    this.evicted = false;
    [this.oldestView, this.newestView] = this.#world.currentViews(this);
    for (const block of this.disk.blocks()) {
      this.#memory.set(block, lostState);
      this.#save(block, lostState, -1);
    }
  }

  handle(event: HostEvent): void {
    switch (event.kind) {
      case 'request':
        return this.#onRequest(event.message);
      case 'reply':
        return this.#onEvent(event.message.tag, { type: 'reply', reply: event.message });
      case 'lease':
        return this.#onLease(event.message);
      case 'synced':
        return this.#onSynced();
      case 'wake': {
        const running = this.#running.get(event.tag);
        if (running !== undefined && running.token === event.token) this.#onEvent(event.tag, { type: 'wake' });
        return;
      }
      case 'deadline':
        return this.#onEvent(event.tag, { type: 'deadline' });
      case 'heartbeat':
        return this.#beat();
    }
  }

  // --- the acceptor's shell --------------------------------------------------------------------------------------------------

  /** What the acceptor knows of a block. */
  stateOf(block: string): AcceptorState | undefined {
    if (this.#memory.has(block)) return this.#memory.get(block);
    const stored = this.disk.read(block);
    let state: AcceptorState | undefined;
    if (stored === 'rotten') {
      state = lostState;
      this.#save(block, state, -1);
    } else if (stored !== undefined) {
      state = decodeState(stored);
    }
    this.#memory.set(block, state);
    return state;
  }

  /** The record on the medium became unreadable, and what memory held of it is gone too. */
  rot(block: string): void {
    if (!this.#unsynced.has(block) && this.disk.rot(block)) this.#memory.delete(block);
  }

  #onRequest(request: Request): void {
    const world = this.#world;
    const { block } = request;
    const before = this.stateOf(block);
    const step = this.#acceptor.step(before, request, this.clock);
    for (const peer of step.recalls) this.#sendLease(world.indexOf(peer), { type: 'recall', from: this.name, block });
    // A full disk: nothing was changed, nothing is said.
    if (step.changed && this.full) return;
    if (step.changed) {
      this.#memory.set(block, step.state);
      world.judges.accepted(request);
      this.#save(block, step.state, step.floor);
    }
    if (world.trace.on) world.trace.step(this.name, request, step.reply);
    const to = world.indexOf(request.from);
    const reply: HostEvent = { kind: 'reply', to, life: to === this.index ? this.life : -1, message: step.reply };
    const group = this.#unsynced.get(block);
    if (group === undefined || world.mutant.repliesBeforeSync === true) world.send(this.index, reply);
    else group.waiting.push(reply);
  }

  #save(block: string, state: AcceptorState | undefined, floor: number): void {
    this.#unsynced.set(block, this.disk.write(block, state === undefined ? undefined : encodeState(state), floor));
    this.#sync();
  }

  #sync(): void {
    if (this.disk.start()) this.#world.at(this.syncMs * this.#world.chance.between(0.5, 1.5), { kind: 'synced', to: this.index, life: this.life });
  }

  #onSynced(): void {
    const group = this.disk.finish();
    for (const { block } of group.writes) if (this.#unsynced.get(block) === group) this.#unsynced.delete(block);
    for (const reply of group.waiting) this.#world.send(this.index, reply);
    this.#sync();
  }

  // --- the proposer's shell --------------------------------------------------------------------------------------------------

  /** Runs one operation from this host. */
  run(block: string, operation: Operation, { lease, useHint = true, deadlineMs = housekeepingMs, done }: RunOptions): void {
    const tag = ++this.#tags;
    const hint = useHint ? this.#hints.get(block) : undefined;
    // What was promised to this host is used once.
    if (operation.kind !== 'read') this.#hints.delete(block);
    const proposer = new Proposer({
      block,
      tag,
      operation,
      views: this.#world.viewsOf(block, this),
      ballots: this.#ballots,
      random: () => this.#world.chance.unit(),
      hint,
      lease: lease === undefined ? undefined : this.holder.request(block, lease),
      leaseClock: () => this.holder.clock,
      rules: this.#world.mutant.rules,
    });
    const running: Running = { proposer, writes: false, done, token: 0 };
    this.#running.set(tag, running);
    this.#world.at(this.#real(deadlineMs), { kind: 'deadline', to: this.index, life: this.life, tag });
    this.#perform(running, proposer.start());
  }

  #onEvent(tag: number, event: ProposerEvent): void {
    const running = this.#running.get(tag);
    if (running !== undefined) this.#perform(running, running.proposer.step(event));
  }

  #perform(running: Running, effects: readonly Effect[]): void {
    const world = this.#world;
    for (const effect of effects) {
      if (effect.type === 'send') {
        if (effect.message.type === 'accept' && !running.writes) {
          running.writes = true;
          this.holder.beginWrite(running.proposer.block);
        }
        for (const peer of effect.to) {
          const to = world.indexOf(peer);
          world.send(this.index, { kind: 'request', to, life: to === this.index ? this.life : -1, message: effect.message });
        }
      } else if (effect.type === 'sleep') {
        const { tag } = running.proposer;
        world.at(this.#real(effect.ms), { kind: 'wake', to: this.index, life: this.life, tag, token: ++running.token });
      } else {
        this.#finish(running, effect);
      }
    }
  }

  #finish(running: Running, { outcome, hint, lease }: Extract<Effect, { type: 'done' }>): void {
    const { block, tag } = running.proposer;
    this.#running.delete(tag);
    const kept = this.#hints.get(block);
    if (hint !== null && (kept === undefined || compareBallots(hint.accepted.ballot, kept.accepted.ballot) > 0)) this.#hints.set(block, hint);
    if (outcome.status === 'committed' && outcome.accepted !== null) this.#world.judges.chosen(block, outcome.accepted);
    const committed = outcome.status === 'committed' && outcome.accepted !== null ? outcome.accepted : undefined;
    const now = this.clock;
    const leased = running.writes ? this.holder.endWrite(block, committed, lease, now) : lease !== null && this.holder.granted(block, lease, now);
    if (leased) this.#world.judges.leased(this, block);
    running.done(outcome);
  }

  // --- leases ----------------------------------------------------------------------------------------------------------------

  #beat(): void {
    const world = this.#world;
    for (let to = 0; to < world.hosts.length; to++) this.#sendLease(to, this.holder.heartbeat(this.clock));
    this.#acceptor.leases.sweep(this.clock);
    for (const block of this.holder.sweep(this.clock)) this.#release(block);
    world.at(this.#real(world.settings.leaseTermMs / heartbeatsPerTerm), { kind: 'heartbeat', to: this.index, life: this.life });
  }

  #onLease(message: LeaseMessage): void {
    switch (message.type) {
      case 'heartbeat': {
        const { reply, remember } = this.#acceptor.leases.heartbeat(message, this.clock);
        if (remember !== undefined) this.disk.earlierHolders = remember;
        if (reply !== undefined) this.#sendLease(this.#world.indexOf(message.from), reply);
        return;
      }
      case 'heartbeat-reply':
        return this.holder.onHeartbeatReply(message);
      case 'recall':
        return this.#world.mutant.ignoresRecalls === true ? undefined : this.beforeRelease(message.block, () => this.#release(message.block));
      case 'release':
        return this.#acceptor.leases.release(message, this.clock);
    }
  }

  #release(block: string): void {
    if (!this.up) return;
    const release = this.holder.drop(block);
    for (let to = 0; to < this.#world.hosts.length; to++) this.#sendLease(to, release);
  }

  #sendLease(to: number, message: LeaseMessage): void {
    this.#world.send(this.index, { kind: 'lease', to, life: to === this.index ? this.life : -1, message });
  }

  /** Whether a read that this host answered too found at least what it holds: nothing is left here that the read did not see. */
  isResolved(block: string, outcome: ProposalOutcome): boolean {
    const accepted = this.stateOf(block)?.accepted ?? null;
    if (accepted === null || accepted.pointer) return true;
    return outcome.status === 'committed' && outcome.accepted !== null && compareBallots(accepted.ballot, outcome.accepted.ballot) <= 0;
  }

  /** Whether this host holds a record of a block that it is no replica of. */
  isOutsider(block: string, current: Accepted | null): boolean {
    const accepted = this.stateOf(block)?.accepted ?? null;
    return accepted !== null && !accepted.pointer && (current === null || !isMember(current.record, this.name));
  }
}
