import type { MaybePromise } from '../file-system.ts';
import type { Missing } from './cow-tree.ts';

/**
 * Repeats synchronous attempts until they lack no node. What an operation has loaded stays pinned until it is done, whatever the
 * cache evicts, so that an operation which needs more nodes than the cache holds still ends.
 */
export class Loader {
  readonly #trees: readonly { unpin(): void }[];
  /** Operations that load nodes right now. */
  #running = 0;

  constructor(trees: readonly { unpin(): void }[]) {
    this.#trees = trees;
  }

  /** The result of an attempt, at once or after the loads that it lacks. */
  whenLoaded<T>(attempt: (missing: Missing) => T): MaybePromise<T> {
    const missing: Missing = new Map();
    const result = attempt(missing);
    if (missing.size === 0) return result;
    const promise = this.load(attempt, missing, true);
    // A caller who only warms the cache drops it; whoever waits still sees the error.
    promise.catch(() => {});
    return promise;
  }

  /** Loads what an attempt lacked, and what the next lacks, until one lacks nothing. Without `release` the nodes stay pinned, for the mutation that follows. */
  async load<T>(attempt: (missing: Missing) => T, first: Missing, release: boolean): Promise<T> {
    this.#running++;
    try {
      for (let missing = first; ;) {
        await Promise.all([...missing.values()].map((load) => load()));
        missing = new Map();
        const result = attempt(missing);
        if (missing.size === 0) return result;
      }
    } finally {
      this.#running--;
      if (release) this.unpin();
    }
  }

  /** Lets the cache evict what operations loaded, unless one is under way. */
  unpin(): void {
    if (this.#running === 0) for (const tree of this.#trees) tree.unpin();
  }
}
