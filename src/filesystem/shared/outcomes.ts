import { randomUUID } from 'node:crypto';

import { FileSystemError } from '../file-system.ts';
import { type CallTag, Forgotten } from './calls.ts';

/** Outcomes that are remembered of one asker. */
const maxOutcomes = 8192;

/** What an asker's calls came to that must not be made twice: one whose answer was lost is made again, and gets the same answer. */
export class Outcomes {
  /** Names this memory: what was first asked before it began, or after it ended, may have been done without its knowledge. */
  readonly id: string = randomUUID();
  readonly #outcomes = new Map<number, Promise<unknown>>();
  /** Calls that opened something. */
  readonly #opened = new Set<number>();
  /** The highest number that is not remembered any more. */
  #forgotten = 0;

  /**
   * @param opens its outcome is good only until {@link closeAll}.
   * @throws Forgotten where it may have been performed before, and nobody knows with which outcome.
   */
  once<T>({ number, again, memory }: CallTag, perform: () => Promise<T>, opens = false): Promise<T> {
    const known = this.#outcomes.get(number);
    if (known !== undefined) return known as Promise<T>;
    if (again && (memory !== this.id || number <= this.#forgotten)) throw new Forgotten();
    const outcome = perform();
    this.#outcomes.set(number, outcome);
    if (opens) this.#opened.add(number);
    if (this.#outcomes.size > maxOutcomes) {
      const oldest = this.#outcomes.keys().next().value!;
      this.#outcomes.delete(oldest);
      this.#opened.delete(oldest);
      this.#forgotten = Math.max(this.#forgotten, oldest);
    }
    outcome.catch((error: unknown) => {
      // It failed before it changed anything, and may succeed now.
      if (!(error instanceof FileSystemError) && this.#outcomes.get(number) === outcome) this.#outcomes.delete(number);
    });
    return outcome;
  }

  /** What was opened is no more: whoever asks again must not be given it. */
  closeAll(): void {
    for (const number of this.#opened) {
      const outcome = Promise.reject(new Forgotten());
      outcome.catch(() => {});
      this.#outcomes.set(number, outcome);
    }
    this.#opened.clear();
  }
}
