import { type Clock, LeaseClock } from '../base/index.ts';
import { Confirmations } from './confirmations.ts';
import type { DurableKnowledge } from './knowledge.ts';
import { type Neighbourhood, termMsOf } from './options.ts';

export interface SayOptions {
  readonly neighbourhood: Neighbourhood;
  readonly knowledge: DurableKnowledge;
  readonly evictionDelayMs: number;
  readonly clock: Clock;
}

/** Whether this host's acceptor may answer: a host alone always, a member while others confirm that it was not counted out. */
export class Say {
  /** By this, and not by the monotonic clock, a host that was suspended notices that its say is over. */
  readonly clock: LeaseClock;
  readonly confirmations: Confirmations;
  readonly #neighbourhood: Neighbourhood;
  readonly #knowledge: DurableKnowledge;
  #until = -Infinity;

  constructor({ neighbourhood, knowledge, evictionDelayMs, clock }: SayOptions) {
    this.clock = new LeaseClock(clock);
    this.confirmations = new Confirmations(neighbourhood.self, termMsOf(evictionDelayMs));
    this.#neighbourhood = neighbourhood;
    this.#knowledge = knowledge;
  }

  get isHad(): boolean {
    return this.#until === Infinity || this.clock.now() < this.#until;
  }

  /** To be called after what this host knows, what was confirmed to it or who was expelled may have changed. */
  reckon(): void {
    const { standing, state } = this.#knowledge.current;
    if (state === undefined) this.#until = this.#neighbourhood.clusterId === undefined ? Infinity : -Infinity;
    else this.#until = standing === 'member' ? this.confirmations.until(state, this.#neighbourhood.revoked()) : -Infinity;
  }
}
