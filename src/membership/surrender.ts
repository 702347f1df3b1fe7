import { InfinitError, type Logger, messageOf } from '../base/index.ts';
import type { PeerId } from '../overlay/index.ts';
import type { MembershipStore } from './membership.ts';
import { decodeRosterState, rosterAddress, type RosterState } from './roster-state.ts';

const deadlineMs = 5000;
/** Pause after an attempt that failed, in ms. */
const retryMs = 1000;

export interface SurrenderOptions {
  readonly store: MembershipStore;
  readonly clusterId: () => string | undefined;
  /** What this host was told. */
  readonly state: () => RosterState;
  readonly countedOut: () => Iterable<PeerId>;
  readonly learn: (state: RosterState) => Promise<void>;
  /** All is given up. */
  readonly onDone: () => Promise<void>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * What an outcast does: it gives up all registers that it held. That it is out it was told by one host, and what it gives up is gone; so it first has
 * the roster block say that this was agreed on. It needs no say for that: it reads as any client does, from the hosts of the views that it was told of.
 */
export class Surrender {
  readonly #options: SurrenderOptions;
  #running = false;
  #trouble: string | undefined;

  constructor(options: SurrenderOptions) {
    this.#options = options;
  }

  /** Why it waits, for people. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Begins, unless it is under way. Never rejects: what failed is tried again at the next call after a while. */
  async begin(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    const { store, countedOut, onDone, logger, signal } = this.#options;
    try {
      await this.#confirm();
      logger.warn('the cluster counts on this host no longer: it lets go of its blocks, each once the others are sure to have it');
      await store.housekeeping.loseEverything([...countedOut()], signal);
      await onDone();
      this.#trouble = undefined;
    } catch (error) {
      if (signal.aborted) return;
      const trouble = `this host cannot let go of its blocks yet: ${messageOf(error)}`;
      if (this.#trouble !== trouble) logger.error('this host could not let go of its blocks: it tries again', { error });
      this.#trouble = trouble;
      await new Promise((resolve) => void setTimeout(resolve, retryMs).unref());
    } finally {
      this.#running = false;
    }
  }

  /** @throws InfinitError `unavailable` where the roster block cannot be read; `conflict` where it knows nothing of what this host was told. */
  async #confirm(): Promise<void> {
    const { store, clusterId, state, learn } = this.#options;
    const told = state();
    const block = await store.fetch(rosterAddress(clusterId()!), { deadlineMs });
    const agreed = block === undefined ? undefined : decodeRosterState(block.payload, told);
    if (agreed === undefined || agreed.serial < told.serial)
      throw new InfinitError('conflict', `it was told of state ${told.serial} of the roster, and the roster block says state ${agreed?.serial ?? 0}`);
    if (agreed.serial > told.serial) await learn(agreed);
  }
}
