import { InfinitError } from './errors.ts';

/** Jobs of one key that may wait; far more than a host has containers on one volume. */
const maxWaiting = 4096;

/** Runs the jobs of one key one after another, in the order they came; other keys do not wait. */
export class KeyedQueue {
  readonly #tails = new Map<string, { readonly tail: Promise<unknown>; readonly waiting: number }>();

  /** Keys of which a job runs or waits. */
  get size(): number {
    return this.#tails.size;
  }

  /** @throws InfinitError `overloaded` where too many wait already. */
  run<T>(key: string, job: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const waiting = (before?.waiting ?? 0) + 1;
    if (waiting > maxWaiting) return Promise.reject(new InfinitError('overloaded', `more than ${maxWaiting} calls wait for "${key}"`));
    const result = before === undefined ? job() : before.tail.then(job, job);
    const settled = (): void => {
      const now = this.#tails.get(key)!;
      if (now.waiting === 1) this.#tails.delete(key);
      else this.#tails.set(key, { ...now, waiting: now.waiting - 1 });
    };
    const tail = result.then(settled, settled);
    this.#tails.set(key, { tail, waiting });
    return result;
  }
}
