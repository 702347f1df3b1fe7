import type { Logger } from '../base/index.ts';
import type { PeerId } from '../overlay/index.ts';
import type { DurableKnowledge } from './knowledge.ts';
import { Silence } from './silence.ts';

/** It is saved at least so often, in ms. */
const maxSaveMs = 30_000;

export interface KeptSilenceOptions {
  readonly knowledge: DurableKnowledge;
  readonly evictionDelayMs: number;
  /** By the monotonic clock, ms. */
  readonly now: number;
  readonly logger: Logger;
}

/** The others' silence as it is counted by this host and kept on its disk. */
export class KeptSilence {
  readonly #options: KeptSilenceOptions;
  readonly #silence: Silence;
  #saved = '[]';
  #savedAt: number;

  private constructor(options: KeptSilenceOptions, silence: Silence) {
    this.#options = options;
    this.#silence = silence;
    this.#savedAt = options.now;
  }

  static async open(options: KeptSilenceOptions): Promise<KeptSilence> {
    return new KeptSilence(options, new Silence(await options.knowledge.loadSilence()));
  }

  /** Counts the silence of these, while this host itself hears most. */
  listen(others: ReadonlySet<PeerId>, isHeard: (peer: PeerId) => boolean, elapsedMs: number, now: number): void {
    const heard = [...others].filter((peer) => isHeard(peer)).length + 1;
    if (heard * 2 > others.size + 1) this.#silence.count(others, isHeard, elapsedMs);
    if (now - this.#savedAt < Math.min(maxSaveMs, this.#options.evictionDelayMs / 10)) return;
    this.#savedAt = now;
    void this.save();
  }

  /** Those that have been silent for as long as it takes to be counted out. */
  tooLong(): PeerId[] {
    return this.#silence.beyond(this.#options.evictionDelayMs);
  }

  /** Never rejects. */
  async save(): Promise<void> {
    const { knowledge, logger } = this.#options;
    const entries = this.#silence.entries();
    const text = JSON.stringify(entries);
    if (text === this.#saved) return;
    this.#saved = text;
    await knowledge.saveSilence(entries).catch((error: unknown) => logger.debug('how long hosts are silent was not kept', { error }));
  }
}
