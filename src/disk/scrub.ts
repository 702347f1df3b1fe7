import { codeOf } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { Disk } from './disk.ts';

export interface ScrubOptions {
  /** How fast to read at the most. */
  readonly bytesPerSecond: number;
  readonly signal?: AbortSignal;
  /** Goes on after this address: a scrub takes up where the last one ended. */
  readonly after?: Address;
  /** A further check of a whole block, such as its hash; throws `damaged`. */
  readonly verify?: (address: Address, bytes: Uint8Array) => void;
  /** Told of each damaged block; a promise holds the scrub back. */
  readonly onDamaged: (address: Address) => void | Promise<void>;
  /** Told now and then how far it is. */
  readonly onProgress?: (report: ScrubReport) => void;
}

export interface ScrubReport {
  readonly blocks: number;
  readonly bytes: number;
  readonly damaged: number;
  /** Where it ended, when the signal ended it. */
  readonly last: Address | undefined;
  readonly finished: boolean;
}

const pageEntries = 256;
/** The rate is kept over stretches of this length; a single block may overshoot it. */
const paceMs = 20;

/** What cannot be read now is tried again after so long, in ms, twice as long each time, and so often: some twenty seconds in all. */
const firstRetryMs = 10;
const maxRetries = 11;

/** Reads every block once, at a bounded rate, and reports the ones that are not what was written. */
export async function scrub(disk: Disk, options: ScrubOptions): Promise<ScrubReport> {
  const started = performance.now();
  let blocks = 0;
  let bytes = 0;
  let damaged = 0;
  let last = options.after;
  for (;;) {
    const page = await patiently(() => disk.list(last, pageEntries), options.signal);
    for (const { address } of page) {
      if (options.signal?.aborted === true) return { blocks, bytes, damaged, last, finished: false };
      try {
        const value = await patiently(() => disk.read(address), options.signal);
        if (value !== undefined) options.verify?.(address, value);
        blocks++;
        bytes += value?.length ?? 0;
      } catch (error) {
        if (codeOf(error) !== 'damaged') throw error;
        damaged++;
        await options.onDamaged(address);
      }
      last = address;
      const aheadMs = (bytes / options.bytesPerSecond) * 1000 - (performance.now() - started);
      if (aheadMs > paceMs) await pause(aheadMs, options.signal);
    }
    options.onProgress?.({ blocks, bytes, damaged, last, finished: false });
    if (page.length < pageEntries) return { blocks, bytes, damaged, last, finished: true };
  }
}

/** A scrub takes days: a moment without descriptors or memory must not have it begin anew. */
async function patiently<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (codeOf(error) !== 'overloaded' || tries >= maxRetries || signal?.aborted === true) throw error;
      await pause(firstRetryMs * 2 ** tries, signal);
    }
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
