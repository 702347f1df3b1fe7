import { randomUUID } from 'node:crypto';

import { FileSystemError } from '../file-system.ts';
import { type CallTag, Forgotten } from './calls.ts';

/** Outcomes that are remembered of one other host. */
const maxOutcomes = 4096;

/** What calls of another host came to that must not be made twice: one whose answer was lost is made again, and gets the same answer. */
export class Outcomes {
  /** Names this memory: what was first asked before it began, or after it ended, may have been done without its knowledge. */
  #id = randomUUID();
  #asker: string | undefined;
  readonly #outcomes = new Map<number, Promise<unknown>>();
  /** The highest number that is not remembered any more. */
  #forgotten = 0;

  get id(): string {
    return this.#id;
  }

  /** @throws Forgotten where it may have been performed before, and nobody knows with which outcome. */
  once<T>({ asker, number, again, memory }: CallTag, perform: () => Promise<T>): Promise<T> {
    if (asker !== this.#asker) {
      // Its process began anew, and counts anew.
      this.#asker = asker;
      this.#outcomes.clear();
      this.#forgotten = 0;
      this.#id = randomUUID();
    }
    const known = this.#outcomes.get(number);
    if (known !== undefined) return known as Promise<T>;
    if (again && (memory !== this.#id || number <= this.#forgotten)) throw new Forgotten();
    const outcome = perform();
    this.#outcomes.set(number, outcome);
    if (this.#outcomes.size > maxOutcomes) {
      const oldest = this.#outcomes.keys().next().value!;
      this.#outcomes.delete(oldest);
      this.#forgotten = Math.max(this.#forgotten, oldest);
    }
    outcome.catch((error: unknown) => {
      // It failed before it changed anything, and may succeed now.
      if (!(error instanceof FileSystemError) && this.#outcomes.get(number) === outcome) this.#outcomes.delete(number);
    });
    return outcome;
  }
}
