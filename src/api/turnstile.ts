import { InfinitError } from '../base/index.ts';

/** Callers that may wait for a place. */
const maxWaiting = 1_000_000;
/** Places of callers that have gone are cleared away in groups of so many. */
const compactAt = 4096;

/** Lets a number of calls through at once; the others wait for a place in the order they came, so that a program may ask for more than a daemon serves. */
export class Turnstile {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  #next = 0;

  constructor(places: number) {
    this.#free = places;
  }

  /**
   * Takes a place, to be given back by {@link leave}. undefined: there was one; otherwise it is there when the promise resolves.
   * @throws InfinitError `overloaded`.
   */
  enter(): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free--;
      return undefined;
    }
    if (this.#waiting.length - this.#next >= maxWaiting) throw new InfinitError('overloaded', `${maxWaiting} calls of this program wait`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    const next = this.#waiting[this.#next];
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#next++;
    // Shifting a long array for each caller would be slow.
    if (this.#next === this.#waiting.length || this.#next >= compactAt) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    next();
  }
}
