import { InfinitError } from '../../base/index.ts';
import { FileSystemError } from '../file-system.ts';

/** What may wait before nothing more is opened or locked. */
const maxWaiting = 100_000;
/** Pause before what nobody took is tried again, in ms. */
const pauseMs = 250;

interface Release {
  readonly attempt: () => Promise<void>;
  readonly through: () => void;
}

/**
 * Closes and unlocks that the host which serves the volume has not heard of yet. The kernel says them once, so they are tried until they are heard: a file would
 * stay open there, or locked, for ever.
 */
export class Undelivered {
  readonly #waiting: Release[] = [];
  #trying = false;

  get size(): number {
    return this.#waiting.length;
  }

  /** @param attempt fails with a FileSystemError where it was heard all the same. The promise never rejects. */
  add(attempt: () => Promise<void>): Promise<void> {
    return new Promise((through) => {
      this.#waiting.push({ attempt, through });
      if (!this.#trying) void this.#try();
    });
  }

  /** @throws InfinitError `overloaded` where so much waits that nothing may be added to what will have to be closed. */
  requireRoom(): void {
    if (this.#waiting.length >= maxWaiting)
      throw new InfinitError('overloaded', `${maxWaiting} files wait to be closed or unlocked at the host that serves the volume`);
  }

  async #try(): Promise<void> {
    this.#trying = true;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const heard = await isHeard(next.attempt);
      this.#waiting.shift();
      if (heard) {
        next.through();
        continue;
      }
      // What one host does not take must not keep back the others.
      this.#waiting.push(next);
      await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
    }
    this.#trying = false;
  }
}

async function isHeard(attempt: () => Promise<void>): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch (error) {
    return error instanceof FileSystemError;
  }
}
