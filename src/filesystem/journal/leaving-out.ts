import { InfinitError, type Logger } from '../../base/index.ts';
import { isForLoss, isPassing, isReadLater } from '../failure.ts';
import { type Journal, journalSlots } from './journal.ts';
import type { VolumeState } from './volume-state.ts';

/**
 * Passes by blocks of the journal that are out of reach when their turn comes: docs/decisions/file-system-journal.md. For whoever writes the journal, and only while nobody else does.
 */
export class LeavingOut {
  readonly #journal: Journal;
  readonly #state: Pick<VolumeState, 'write' | 'namesLeftOut'>;
  readonly #logger: Logger;

  constructor(journal: Journal, state: Pick<VolumeState, 'write' | 'namesLeftOut'>, logger: Logger) {
    this.#journal = journal;
    this.#state = state;
    this.#logger = logger;
  }

  /** A mount takes a block that is not there for the journal's end: none is written behind one that is left out before the volume's own block says so. @throws InfinitError */
  async name(): Promise<void> {
    if (!this.#state.namesLeftOut) await this.#state.write({});
  }

  /** Leaves the journal's next block out where it is out of reach. False: that is not so, or cannot be said in the volume's own block. */
  async leaveOut(): Promise<boolean> {
    const { next: sequence } = this.#journal;
    // What was left out is to be durable first.
    if (!this.#state.namesLeftOut) return false;
    this.#journal.leaveOut(await this.#journal.outOfReach(sequence));
    if (this.#journal.next === sequence) return false;
    try {
      await this.name();
    } catch {
      return false;
    }
    this.#logger.warn('a block of the journal is out of reach and is left out', { sequence });
    return true;
  }

  /**
   * Does again what failed for `error`, with another block for as long as the journal's next one is what is out of reach.
   * @param leaveOut {@link leaveOut}, as whoever asks does it. @throws what it failed for last.
   */
  async past(error: unknown, again: () => Promise<void>, leaveOut: () => Promise<boolean> = () => this.leaveOut()): Promise<void> {
    let failure: unknown = error;
    if (isForLoss(failure)) {
      // One that was given up is made anew, now that it is known.
      const own = await failureOf(again);
      if (own === undefined) return;
      if (isForLoss(own.failure)) this.#journal.cannotRemake();
      ({ failure } = own);
    }
    while ((isPassing(failure) || isReadLater(failure)) && (await leaveOut())) {
      const own = await failureOf(again);
      if (own === undefined) return;
      ({ failure } = own);
    }
    throw failure;
  }

  /** @throws InfinitError where the ring has no block left but the one before the tail, which a mount may need. */
  checkRoom(): void {
    if (this.#journal.used >= journalSlots - 1) throw new InfinitError('overloaded', 'the journal is full');
  }
}

async function failureOf(work: () => Promise<void>): Promise<{ readonly failure: unknown } | undefined> {
  try {
    await work();
    return undefined;
  } catch (failure) {
    return { failure };
  }
}
