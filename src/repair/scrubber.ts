import { type Logger, messageOf } from '../base/index.ts';
import { type Address, isAddress, kindOf } from '../block/index.ts';
import { saveEveryMs, scrubDelayMs } from './settings.ts';
import type { Standpoint } from './standpoint.ts';
import { pause } from './walk.ts';

/** How far scrub is: what `infinit status` shows of it. */
export interface ScrubStatus {
  readonly running: boolean;
  /** Of the run under way, or the last one since the start. */
  readonly blocks: number;
  readonly bytes: number;
  readonly damaged: number;
  /** Damaged copies that were replaced from another host, since the start. */
  readonly repaired: number;
  /** Runs that came to the end, since the start. */
  readonly runs: number;
  /** Wall clock, ms: when everything was last read; absent: never. */
  readonly finishedAtMs?: number;
}

interface Saved {
  readonly last?: Address;
  readonly finishedAtMs?: number;
}

/** Pause after a scrub that the disk broke off, in ms. */
const afterFailureMs = 60_000;

/** Damaged blocks that are being mended, or wait for that, at once: while there are more nothing further is read. */
const maxMending = 64;

/** Reads all that this host keeps, again and again at a bounded rate, so that damage is found while there are good copies elsewhere. */
export class Scrubber {
  readonly #at: Standpoint;
  readonly #logger: Logger;
  #running = false;
  #report = { blocks: 0, bytes: 0, damaged: 0 };
  #repaired = 0;
  #runs = 0;
  #finishedAtMs: number | undefined;
  /** On demand: at this rate, from the beginning. */
  #asked: number | undefined;
  #hurry = new AbortController();

  constructor(standpoint: Standpoint, logger: Logger) {
    this.#at = standpoint;
    this.#logger = logger;
  }

  status(): ScrubStatus {
    const finished = this.#finishedAtMs === undefined ? {} : { finishedAtMs: this.#finishedAtMs };
    return { running: this.#running, ...this.#report, repaired: this.#repaired, runs: this.#runs, ...finished };
  }

  /** Reads everything now, at this rate. What is under way is broken off. */
  now(bytesPerSecond: number): void {
    this.#asked = bytesPerSecond;
    this.#hurry.abort();
  }

  /** Runs until the signal ends it. */
  async run(signal: AbortSignal): Promise<void> {
    const saved = parsed(
      await this.#at.housekeeping.load('scrub').catch((error: unknown) => {
        this.#logger.warn('how far the last scrub came cannot be read: it begins anew', { error: messageOf(error) });
        return undefined;
      }),
    );
    this.#finishedAtMs = saved.finishedAtMs;
    let last = saved.last;
    let waitMs = last === undefined && saved.finishedAtMs !== undefined ? this.#untilNext(saved.finishedAtMs) : scrubDelayMs;
    while (!signal.aborted) {
      const rate = await this.#next(waitMs, signal);
      if (rate.fromBeginning) last = undefined;
      try {
        last = await this.#once(rate.bytesPerSecond, last, AbortSignal.any([signal, this.#hurry.signal]));
        waitMs = last === undefined ? this.#at.settings.scrubIntervalMs : 0;
      } catch (error) {
        signal.throwIfAborted();
        this.#logger.warn('scrub was interrupted', { error: messageOf(error) });
        waitMs = afterFailureMs;
      }
    }
  }

  #untilNext(finishedAtMs: number): number {
    return Math.max(scrubDelayMs, finishedAtMs + this.#at.settings.scrubIntervalMs - Date.now());
  }

  /** Waits until it is time, or somebody asks. */
  async #next(waitMs: number, signal: AbortSignal): Promise<{ readonly bytesPerSecond: number; readonly fromBeginning: boolean }> {
    const { scrubBytesPerSecond } = this.#at.settings;
    for (;;) {
      const asked = this.#asked;
      if (asked !== undefined) {
        this.#asked = undefined;
        this.#hurry = new AbortController();
        return { bytesPerSecond: asked, fromBeginning: true };
      }
      // Where scrub is switched off only a person starts it.
      const wait = scrubBytesPerSecond > 0 ? Math.min(waitMs, 2 ** 31 - 1) : 2 ** 31 - 1;
      await pause(wait, AbortSignal.any([signal, this.#hurry.signal])).catch(() => {});
      signal.throwIfAborted();
      if (this.#asked === undefined && scrubBytesPerSecond > 0) return { bytesPerSecond: scrubBytesPerSecond, fromBeginning: false };
    }
  }

  /** One run. Returns where it was broken off; undefined: it read everything. */
  async #once(bytesPerSecond: number, after: Address | undefined, signal: AbortSignal): Promise<Address | undefined> {
    this.#running = true;
    this.#report = { blocks: 0, bytes: 0, damaged: 0 };
    const mending = new Set<Promise<void>>();
    const mend = async (address: Address): Promise<void> => {
      const mended = this.#mend(address, signal).finally(() => mending.delete(mended));
      mending.add(mended);
      if (mending.size >= maxMending) await Promise.race(mending);
    };
    let savedAt = performance.now();
    try {
      const { last, finished } = await this.#at.housekeeping.scrub({
        bytesPerSecond,
        ...(after === undefined ? {} : { after }),
        signal,
        onDamaged: mend,
        onProgress: ({ blocks, bytes, damaged, last: place }) => {
          this.#report = { blocks, bytes, damaged };
          if (place === undefined || performance.now() - savedAt < saveEveryMs) return;
          savedAt = performance.now();
          void this.#save({ last: place }).catch(() => {});
        },
      });
      await Promise.all(mending);
      if (!finished) return last;
      this.#finishedAtMs = Date.now();
      this.#runs++;
      await this.#save({ finishedAtMs: this.#finishedAtMs });
      return undefined;
    } finally {
      this.#running = false;
    }
  }

  /** A block from another copy; a register by the rules for lost records, which begin with storing that it is lost. */
  async #mend(address: Address, signal: AbortSignal): Promise<void> {
    this.#logger.warn('scrub found a damaged block', { address });
    try {
      if (kindOf(address) === 'immutable') {
        await this.#at.pace.run(async () => this.#at.pace.spend(await this.#at.housekeeping.pull(address, { signal })));
        this.#repaired++;
      } else await this.#at.housekeeping.inspect(address);
    } catch (error) {
      this.#logger.warn('a damaged block has no other copy in reach', { address, error: messageOf(error) });
    }
  }

  async #save(saved: Saved): Promise<void> {
    const finished = this.#finishedAtMs === undefined ? {} : { finishedAtMs: this.#finishedAtMs };
    await this.#at.housekeeping.save('scrub', JSON.stringify({ ...finished, ...saved }));
  }
}

function parsed(text: string | undefined): Saved {
  if (text === undefined) return {};
  try {
    const { last, finishedAtMs } = JSON.parse(text) as { last?: unknown; finishedAtMs?: unknown };
    return { ...(isAddress(last) ? { last } : {}), ...(typeof finishedAtMs === 'number' ? { finishedAtMs } : {}) };
  } catch {
    return {};
  }
}
