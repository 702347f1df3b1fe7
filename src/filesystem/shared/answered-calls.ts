import { type CallTag, maxNumbers } from './calls.ts';

/** Of one asker: the rest are not told, and remembered by the volume until it has too many. */
const maxWaiting = 1024;

/** Calls of this host that it will not make again: the host that serves the volume is told so with later calls, and need not remember them. */
export class AnsweredCalls {
  readonly #waiting = new Map<string, number[]>();

  add({ asker, number }: CallTag): void {
    const numbers = this.#waiting.get(asker) ?? [];
    if (numbers.length === 0) this.#waiting.set(asker, numbers);
    if (numbers.length < maxWaiting) numbers.push(number);
  }

  /** To be told with this call. */
  of({ asker }: CallTag): readonly number[] {
    return this.#waiting.get(asker)?.slice(0, maxNumbers) ?? [];
  }

  /** These were heard. */
  heard({ asker }: CallTag, told: readonly number[]): void {
    const waiting = this.#waiting.get(asker);
    if (waiting === undefined || told.length === 0) return;
    const left = waiting.filter((number) => !told.includes(number));
    if (left.length > 0) this.#waiting.set(asker, left);
    else this.#waiting.delete(asker);
  }
}
