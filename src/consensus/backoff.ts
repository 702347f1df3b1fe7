/** First wait after losing against a rival; doubles up to the maximum. */
const backoffMs = 4;
const maxBackoffMs = 500;

/** How often an operation lost against rivals, and how long it leaves them alone: at first not at all, then for a growing time so that they do not chase each other. */
export class Backoff {
  #losses = 0;

  /** It lost once more. Returns how long to wait, at random with `chance` in [0, 1); 0: not at all. */
  lost(chance: () => number): number {
    this.#losses++;
    return this.#losses === 1 ? 0 : chance() * Math.min(backoffMs * (1 << Math.min(this.#losses, 16)), maxBackoffMs);
  }

  /** Whether the last loss was the first. */
  get isFirst(): boolean {
    return this.#losses === 1;
  }
}
