import { assert, type Clock, InfinitError, type Random } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import {
  BallotSource,
  compareBallots,
  type Effect,
  type Hint,
  type Operation,
  type PeerId,
  type ProposalOutcome,
  Proposer,
  type Reply,
  type Request,
  type View,
} from '../consensus/index.ts';
import type { DiskOperation } from '../disk/index.ts';
import type { Replica } from './replica.ts';

/** Blocks whose hint is kept: what makes the next write of the same host one round trip. */
const maxHints = 65_536;
/** Proposals under way at once on this host. */
const maxProposals = 16_384;

/** How requests reach the acceptors of other hosts. A promise that rejects is an answer that did not come. */
export type AskPeer = (peer: PeerId, request: Request, signal: AbortSignal) => Promise<Reply>;

export interface RegistersOptions {
  readonly self: PeerId;
  readonly incarnation: number;
  readonly replica: Replica;
  readonly views: (block: Address) => readonly View[];
  readonly ask: AskPeer;
  readonly clock: Clock;
  readonly random: Random;
}

/** How an operation is run. */
export interface RunOptions {
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Housekeeping's read: nothing remembered is used, and where this host's own acceptor has a say it is heard before any other. */
  readonly afresh?: boolean;
}

/** What one operation of {@link Registers.runHere} led to. */
export interface HereResult {
  readonly outcome: ProposalOutcome;
  /** To be written in this order before the outcome may be told. */
  readonly operations: readonly DiskOperation[];
}

/** This host as proposer: runs operations on registers, its own acceptor and those of other hosts, with the pure core deciding every step. */
export class Registers {
  readonly #options: RegistersOptions;
  readonly #ballots: BallotSource;
  readonly #hints = new Map<Address, Hint>();
  #nextTag = 1;
  #running = 0;

  constructor(options: RegistersOptions) {
    this.#options = options;
    this.#ballots = new BallotSource(options.self, options.incarnation);
  }

  /** True where this host alone is the block's quorum as far as it knows: then {@link runHere} decides without waiting. */
  isHere(address: Address): boolean {
    const views = this.#options.views(address);
    if (!views.every(({ replicas }) => replicas.length === 1 && replicas[0] === this.#options.self)) return false;
    const record = this.#hints.get(address)?.accepted.record;
    return record === undefined || (record.replicas.length === 1 && record.replicas[0] === this.#options.self && record.previous.length === 0);
  }

  /**
   * Runs an operation against this host's acceptor alone, at once. The register must be prepared ({@link Replica.prepare}).
   * undefined: other hosts must be asked after all; nothing was decided, but `operations` of steps so far are in the register already.
   */
  runHere(address: Address, operation: Operation): HereResult | undefined {
    const proposer = this.#propose(address, operation);
    const operations: DiskOperation[] = [];
    let effects = proposer.start();
    for (;;) {
      const done = effects.find((effect) => effect.type === 'done');
      if (done !== undefined) {
        this.#remember(address, done.hint);
        return { outcome: done.outcome, operations };
      }
      const send = effects.find((effect) => effect.type === 'send');
      if (send === undefined || send.to.length !== 1 || send.to[0] !== this.#options.self) {
        assert(operations.length === 0, 'a register that is not here alone is found out before anything is written');
        return undefined;
      }
      const { reply, operation: write } = this.#options.replica.stepNow(address, send.message);
      if (write !== undefined) operations.push(write);
      effects = proposer.step({ type: 'reply', reply });
    }
  }

  /** Runs an operation on whatever hosts the block is. Resolves within the deadline. */
  run(address: Address, operation: Operation, options: RunOptions): Promise<ProposalOutcome> {
    if (this.#running >= maxProposals) throw new InfinitError('overloaded', `${maxProposals} block operations are under way on this host`);
    this.#running++;
    const afresh = options.afresh === true;
    const proposer = this.#propose(address, operation, afresh);
    const drive = new Drive(this.#options, proposer, afresh, (hint) => this.#remember(address, hint, afresh));
    return drive.run(options).finally(() => this.#running--);
  }

  /** Forgets what is known of all blocks, so that the next operations ask. */
  clear(): void {
    this.#hints.clear();
  }

  #propose(address: Address, operation: Operation, afresh = false): Proposer {
    const hint = afresh ? undefined : this.#hints.get(address);
    // A hint's promise is good for one use; whoever comes meanwhile goes without.
    if (!afresh) this.#hints.delete(address);
    const { views, random } = this.#options;
    return new Proposer({
      block: address,
      tag: this.#nextTag++,
      operation,
      views: views(address),
      ballots: this.#ballots,
      random: () => random.unit(),
      hint,
    });
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
    if (this.#hints.size > maxHints) this.#hints.delete(this.#hints.keys().next().value!);
  }
}

/** One proposer with real timers and messages. */
class Drive {
  readonly #options: RegistersOptions;
  readonly #proposer: Proposer;
  readonly #ownFirst: boolean;
  /** Replies of others, held back until this host's own acceptor has answered. */
  #held: Reply[] | undefined;
  readonly #remember: (hint: Hint | null) => void;
  readonly #settle = Promise.withResolvers<ProposalOutcome>();
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #done = false;

  constructor(options: RegistersOptions, proposer: Proposer, ownFirst: boolean, remember: (hint: Hint | null) => void) {
    this.#options = options;
    this.#proposer = proposer;
    this.#ownFirst = ownFirst;
    this.#remember = remember;
  }

  async run({ deadlineMs, signal }: RunOptions): Promise<ProposalOutcome> {
    const giveUp = (): void => this.#take(this.#proposer.step({ type: 'deadline' }));
    const deadline = setTimeout(giveUp, deadlineMs);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      this.#take(this.#proposer.start());
      return await this.#settle.promise;
    } finally {
      clearTimeout(deadline);
      clearTimeout(this.#timer);
      signal?.removeEventListener('abort', giveUp);
      this.#abort.abort();
    }
  }

  #take(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          if (this.#ownFirst && effect.to.includes(this.#options.self)) this.#held ??= [];
          for (const peer of effect.to) this.#send(peer, effect.message);
          break;
        case 'sleep':
          clearTimeout(this.#timer);
          this.#timer = setTimeout(() => this.#take(this.#proposer.step({ type: 'wake' })), effect.ms);
          break;
        case 'done':
          this.#done = true;
          this.#remember(effect.hint);
          this.#settle.resolve(effect.outcome);
          break;
      }
    }
  }

  #send(peer: PeerId, request: Request): void {
    const { self, replica, ask } = this.#options;
    const answer = peer === self ? replica.serve(request) : ask(peer, request, this.#abort.signal);
    answer.then(
      (reply) => this.#hear(reply),
      // No answer: the proposer asks again when its sleep is over, and the deadline ends it.
      () => {
        if (peer === self) this.#release();
      },
    );
  }

  #hear(reply: Reply): void {
    const own = reply.from === this.#options.self;
    if (this.#held !== undefined && !own) {
      this.#held.push(reply);
      return;
    }
    if (!this.#done) this.#take(this.#proposer.step({ type: 'reply', reply }));
    if (own) this.#release();
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const reply of held) if (!this.#done) this.#take(this.#proposer.step({ type: 'reply', reply }));
  }
}
