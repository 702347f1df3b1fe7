import type { Effect, PeerId, ProposalOutcome, Proposer, Reply, Request } from '../consensus/index.ts';
import type { AnswerPace } from './answer-pace.ts';

/** How an operation is run. */
export interface RunOptions {
  readonly deadlineMs: number;
  /** Gives up, at the next {@link Drive.tick}. */
  readonly signal?: AbortSignal | undefined;
  /** Housekeeping's read: nothing remembered is used, and where this host's own acceptor has a say it is heard before any other. */
  readonly afresh?: boolean;
  /** A read asks for no lease. */
  readonly unleased?: boolean;
}

/** What all operations of a host share. */
export interface DriveContext {
  readonly self: PeerId;
  readonly pace: AnswerPace;
  readonly isConnected: (peer: PeerId) => boolean;
  /** `again`: the very message was sent before. */
  readonly send: (peers: readonly PeerId[], request: Request, again: boolean) => void;
  /** Called once, before the first accept is sent. */
  readonly beginsWriting: (drive: Drive) => void;
  /** Called once, before the outcome is told. */
  readonly ended: (drive: Drive, end: End) => void;
}

/** The last effect of an operation. */
export type End = Effect & { readonly type: 'done' };

/** Who is told that somebody holds a lease asks again so soon, then after twice that and so on, in ms: a recall takes a round trip. */
const firstLeasedMs = 2;
const maxLeasedMs = 64;

/** Where a host that was out of reach is heard again, pauses begin anew at this length at most, in ms: what it kept from being decided may be decided now. */
const hopefulMs = 100;

/** How often {@link Drive.tick} is called, in ms; shorter pauses have timers of their own. */
export const tickMs = 10;

/** One proposer with real time and messages. Most operations end before any time-out, so time is looked at once a tick for all of them. */
export class Drive {
  proposer: Proposer;
  readonly outcome: Promise<ProposalOutcome>;
  /** Messages to a set of hosts that this operation took: one where nobody else was at the block, two where it had to ask first. */
  rounds = 0;
  readonly #context: DriveContext;
  /** How it is run. */
  readonly options: RunOptions;
  readonly #deadlineAt: number;
  /** When it began, as performance.now() counts. */
  readonly beganAt = performance.now();
  readonly #resolve: (outcome: ProposalOutcome) => void;
  /** Replies of others, held back until this host's own acceptor has answered. */
  #held: Reply[] | undefined;
  /** Accepts were sent. */
  writes = false;
  #message: Request | undefined;
  #sentAt = 0;
  /** Hosts whose acceptor must be asked again, since it was waiting for a lease to end. */
  #leased: PeerId[] = [];
  #leasedTimer: NodeJS.Timeout | undefined;
  #leasedMs = firstLeasedMs;
  #wakeAt = Infinity;
  /** The next pause is no longer. */
  #maxRestMs = Infinity;
  /** Hosts that had not answered when a pause was over; false: and have since. Each is good for one hope, or two that take turns would never let a round end. */
  #silent: Map<PeerId, boolean> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #done = false;

  constructor(context: DriveContext, proposer: Proposer, options: RunOptions) {
    this.#context = context;
    this.proposer = proposer;
    this.options = options;
    this.#deadlineAt = performance.now() + options.deadlineMs;
    const { promise, resolve } = Promise.withResolvers<ProposalOutcome>();
    this.outcome = promise;
    this.#resolve = resolve;
  }

  /** For housekeeping: whether {@link RunOptions.afresh} was asked for. */
  get afresh(): boolean {
    return this.options.afresh === true;
  }

  start(): void {
    if (this.#isCancelled) this.#giveUp();
    else this.#take(this.proposer.start());
  }

  /** Looked at once a tick: a listener for each operation, on a signal that hardly ever comes, costs a tenth of what deciding does. */
  get #isCancelled(): boolean {
    return this.options.signal?.aborted === true;
  }

  /** Goes on by another proposer, as if it began now. Only while {@link writes} is false: then nothing of it can have taken effect. */
  beginAnew(proposer: Proposer): void {
    this.#stopTimers();
    this.proposer = proposer;
    this.#message = undefined;
    this.#held = undefined;
    this.#leased = [];
    this.#leasedMs = firstLeasedMs;
    this.#silent = undefined;
    this.#wakeAt = Infinity;
    this.#maxRestMs = Infinity;
    this.#take(proposer.start());
  }

  #giveUp(): void {
    this.#take(this.proposer.step({ type: 'deadline' }));
  }

  tick(now: number): void {
    if (now >= this.#deadlineAt || this.#isCancelled) this.#giveUp();
    else if (now >= this.#wakeAt) this.#wake();
  }

  /** The host is connected again. */
  peerUp(peer: PeerId): void {
    if (this.#done || !this.proposer.unanswered().includes(peer)) return;
    // It may have a say a moment later only, when it has heard others.
    this.#maxRestMs = hopefulMs;
    this.#wake();
  }

  /** Answers to the message of that attempt are waited for. */
  awaits(attempt: number): boolean {
    return !this.#done && this.#message?.attempt === attempt;
  }

  hear(reply: Reply): void {
    const own = reply.from === this.#context.self;
    if (this.#held !== undefined && !own) {
      this.#held.push(reply);
      return;
    }
    this.#step(reply);
    if (own) this.#release();
  }

  #step(reply: Reply): void {
    if (this.#done) return;
    if (reply.from !== this.#context.self && reply.attempt === this.#message?.attempt) this.#context.pace.took(performance.now() - this.#sentAt);
    if (reply.type === 'leased') this.#onLeased(reply);
    this.#take(this.proposer.step({ type: 'reply', reply }));
    if (this.#silent !== undefined && !this.#done) this.#hope(reply);
    this.goOn();
  }

  /** Who cannot answer now is waited for only where it is needed: a replica that lags, and another that is away, would cost each read a pause. */
  goOn(): void {
    if (this.#done || !this.proposer.isOptional) return;
    if (!this.proposer.unanswered().some((peer) => this.#context.isConnected(peer))) this.#wake();
  }

  /** One that was silent for long has answered: the rest of what is waited for may be there by now. */
  #hope({ from, attempt, type }: Reply): void {
    if (type === 'leased' || type === 'lost' || attempt !== this.#message?.attempt || this.#silent!.get(from) !== true) return;
    this.#silent!.set(from, false);
    this.#maxRestMs = hopefulMs;
    this.#wakeAt = Math.min(this.#wakeAt, performance.now() + hopefulMs);
  }

  #wake(): void {
    this.#wakeAt = Infinity;
    // This host's own acceptor cannot answer: go on without it.
    this.#release();
    if (this.#done) return;
    this.#silent ??= new Map();
    for (const peer of this.proposer.unanswered()) if (!this.#silent.has(peer)) this.#silent.set(peer, true);
    this.#take(this.proposer.step({ type: 'wake' }));
  }

  #release(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    for (const reply of held) this.#step(reply);
  }

  #take(effects: readonly Effect[]): void {
    let asks = false;
    for (const effect of effects) {
      switch (effect.type) {
        case 'send': {
          const again = effect.message === this.#message;
          asks = true;
          if (!again) this.#sentAt = performance.now();
          this.rounds++;
          if (this.afresh && effect.to.includes(this.#context.self)) this.#held ??= [];
          if (effect.message.type === 'accept' && !this.writes) {
            this.writes = true;
            this.#context.beginsWriting(this);
          }
          this.#message = effect.message;
          this.#context.send(effect.to, effect.message, again);
          break;
        }
        case 'sleep':
          this.#sleep(asks ? Math.max(effect.ms, this.#context.pace.lateMs) : effect.ms);
          break;
        case 'done':
          this.#end(effect);
          break;
      }
    }
  }

  #sleep(ms: number): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    const rest = Math.min(ms, this.#maxRestMs);
    this.#maxRestMs *= 2;
    this.#timer = rest < 2 * tickMs ? setTimeout(() => this.#wake(), rest) : undefined;
    this.#wakeAt = this.#timer === undefined ? performance.now() + rest : Infinity;
  }

  #onLeased({ from, attempt }: Reply): void {
    if (attempt !== this.#message?.attempt) return;
    this.#leased.push(from);
    if (this.#leasedTimer !== undefined) return;
    this.#leasedTimer = setTimeout(() => this.#askLeased(attempt), this.#leasedMs);
    this.#leasedMs = Math.min(this.#leasedMs * 2, maxLeasedMs);
  }

  #askLeased(attempt: number): void {
    const peers = this.#leased;
    this.#leased = [];
    this.#leasedTimer = undefined;
    // The very message once more, as if the network had doubled it.
    const message = this.#message!;
    if (!this.#done && message.attempt === attempt) this.#context.send(peers, message, true);
  }

  #end(end: End): void {
    this.#done = true;
    this.#stopTimers();
    this.#context.ended(this, end);
    this.#resolve(end.outcome);
  }

  #stopTimers(): void {
    clearTimeout(this.#leasedTimer);
    clearTimeout(this.#timer);
    this.#leasedTimer = undefined;
    this.#timer = undefined;
  }
}
