import { randomUUID } from 'node:crypto';

import { FileSystemError } from '../file-system.ts';
import { type CallTag, Forgotten } from './calls.ts';

/** Outcomes that are remembered of one asker. */
const maxOutcomes = 8192;

interface Outcome {
  readonly number: number;
  readonly value: Promise<unknown>;
  /** It opened something. */
  readonly opens: boolean;
}

/** What an asker's calls came to that must not be made twice: one whose answer was lost is made again, and gets the same answer. */
export class Outcomes {
  /** Names this memory: what was first asked before it began, or after it ended, may have been done without its knowledge. */
  readonly id: string = randomUUID();
  /** By method and number: a request of the kernel has one number, whatever is called to serve it. */
  readonly #outcomes = new Map<string, Outcome>();
  /** Numbers of calls that opened what was closed since. */
  readonly #closed = new Map<string, number>();
  /** The highest number that is not remembered any more. */
  #forgotten = 0;

  /**
   * @param opens its outcome is good only until {@link closeAll}.
   * @param earlier what to do instead where it was first asked before this memory began, and it is known all the same whether it was done.
   * @throws Forgotten where it may have been performed before, and nobody knows with which outcome. The asker may then have it performed anew, with the number it has.
   */
  once<T>(
    method: string,
    { number, again, memory }: CallTag,
    perform: () => Promise<T>,
    opens = false,
    earlier?: () => (() => Promise<T>) | undefined,
  ): Promise<T> {
    const key = keyOf(method, number);
    const known = this.#outcomes.get(key);
    if (known !== undefined) return known.value as Promise<T>;
    let work = perform;
    if (again && (memory !== this.id || number <= this.#forgotten || this.#closed.has(key))) {
      const known = memory === this.id ? undefined : earlier?.();
      if (known === undefined) throw new Forgotten();
      work = known;
    }
    this.#closed.delete(key);
    const outcome = { number, value: work(), opens };
    this.#outcomes.set(key, outcome);
    if (this.#outcomes.size > maxOutcomes) {
      const [oldest, { number: forgotten }] = this.#outcomes.entries().next().value!;
      this.#outcomes.delete(oldest);
      this.#forget(forgotten);
    }
    outcome.value.catch((error: unknown) => {
      // It failed before it changed anything, and may succeed now.
      if (!(error instanceof FileSystemError) && this.#outcomes.get(key) === outcome) this.#outcomes.delete(key);
    });
    return outcome.value;
  }

  /** What this call opened was closed again, since it failed for its asker. */
  close(method: string, { number }: CallTag): void {
    const key = keyOf(method, number);
    if (!this.#outcomes.delete(key)) return;
    this.#closed.set(key, number);
    this.#bound();
  }

  /** What was opened is no more: whoever asks again must not be given it. */
  closeAll(): void {
    for (const [key, { number, opens }] of this.#outcomes) {
      if (!opens) continue;
      this.#outcomes.delete(key);
      this.#closed.set(key, number);
    }
    this.#bound();
  }

  #bound(): void {
    for (const [key, number] of this.#closed) {
      if (this.#closed.size <= maxOutcomes) break;
      this.#closed.delete(key);
      this.#forget(number);
    }
  }

  #forget(number: number): void {
    this.#forgotten = Math.max(this.#forgotten, number);
  }
}

function keyOf(method: string, number: number): string {
  return `${method} ${number}`;
}
