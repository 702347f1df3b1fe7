import type { Effect, ProposalOutcome, Proposer, ProposerEvent, Reply } from '../../src/consensus/index.ts';
import { requestEvent, timeEvent } from './events.ts';
import type { World } from './world.ts';

/** Called once; undefined: the process died before it was told. `exclusive`: the block was leased so until then. */
export type Done = (outcome: ProposalOutcome | undefined, exclusive: boolean) => void;

/** The last effect of an operation. */
export type End = Extract<Effect, { type: 'done' }>;

/** One operation under way. */
export interface Running {
  readonly proposer: Proposer;
  /** Its accepts are counted as a write of this host. */
  writes: boolean;
  readonly done: Done;
  readonly beganAt: number;
  /** When it wants to be woken, and when its caller's patience is over. */
  wakeAt: number;
  readonly deadlineAt: number;
  /** The next two times at which an event looks whether it is time for either; ∞: none. Events that come for nothing do no harm. */
  nearAt: number;
  farAt: number;
}

export interface OperationsContext {
  readonly index: number;
  readonly life: () => number;
  /** How long it takes until the host's clock is so many ms further. */
  readonly real: (localMs: number) => number;
  /** Called once, before the first accept is sent. */
  readonly beginsWriting: (block: string) => void;
  readonly ended: (running: Running, end: End) => void;
}

const wake: ProposerEvent = { type: 'wake' };
const deadline: ProposerEvent = { type: 'deadline' };

/** The operations of one host that are under way: sends what their proposers want sent, counts time for them, brings them replies. As `Drive` in src/store. */
export class Operations {
  readonly #world: World;
  readonly #context: OperationsContext;
  readonly #running = new Map<number, Running>();

  constructor(world: World, context: OperationsContext) {
    this.#world = world;
    this.#context = context;
  }

  begin(proposer: Proposer, deadlineMs: number, done: Done): void {
    const deadlineAt = this.#world.now + deadlineMs;
    const beganAt = this.#world.now;
    const running: Running = { proposer, writes: false, done, beganAt, wakeAt: Infinity, deadlineAt, nearAt: Infinity, farAt: Infinity };
    this.#running.set(proposer.tag, running);
    this.#perform(running, proposer.start());
  }

  hear(tag: number, reply: Reply): void {
    const running = this.#running.get(tag);
    if (running !== undefined) this.#perform(running, running.proposer.step({ type: 'reply', reply }));
  }

  onTimer(tag: number): void {
    const running = this.#running.get(tag);
    if (running === undefined) return;
    const { now } = this.#world;
    if (running.nearAt <= now) {
      running.nearAt = running.farAt > now ? running.farAt : Infinity;
      running.farAt = Infinity;
    }
    if (running.deadlineAt <= now) return this.#perform(running, running.proposer.step(deadline));
    if (running.wakeAt <= now) {
      running.wakeAt = Infinity;
      this.#perform(running, running.proposer.step(wake));
    }
    if (this.#running.has(tag)) this.#arm(running);
  }

  /** The process dies. */
  crash(): void {
    const running = [...this.#running.values()];
    this.#running.clear();
    for (const { done } of running) done(undefined, false);
  }

  /** Sleeps are longer than most phases: an event that is on its way already is used again, where it is early enough. */
  #arm(running: Running): void {
    const at = Math.min(running.wakeAt, running.deadlineAt);
    if (at >= running.nearAt) return;
    running.farAt = running.nearAt;
    running.nearAt = at;
    this.#world.push(at, timeEvent('timer', this.#context.index, this.#context.life(), running.proposer.tag));
  }

  #perform(running: Running, effects: readonly Effect[]): void {
    const world = this.#world;
    const { index, life, real, beginsWriting, ended } = this.#context;
    for (const effect of effects) {
      if (effect.type === 'send') {
        if (effect.message.type === 'accept' && !running.writes) {
          running.writes = true;
          beginsWriting(running.proposer.block);
        }
        for (const peer of effect.to) {
          const to = world.indexOf(peer);
          world.send(index, requestEvent(to, to === index ? life() : -1, effect.message));
        }
      } else if (effect.type === 'sleep') {
        running.wakeAt = world.now + real(effect.ms);
        this.#arm(running);
      } else {
        this.#running.delete(running.proposer.tag);
        ended(running, effect);
      }
    }
  }
}
