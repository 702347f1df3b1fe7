/** For so long at the most it is not known of a host whether it lives, in ms. */
const longestMs = 5000;

interface Silence {
  readonly over: PromiseWithResolvers<void>;
  readonly timer: NodeJS.Timeout;
}

/** Hosts that are not heard, and not given up yet: whether what their programs have locked is locked will be known soon. */
export class SilentHosts implements Disposable {
  readonly #silent = new Map<string, Silence>();

  get isEmpty(): boolean {
    return this.#silent.size === 0;
  }

  /** It is not heard from now on. */
  fell(peer: string): void {
    if (this.#silent.has(peer)) return;
    this.#silent.set(peer, { over: Promise.withResolvers(), timer: setTimeout(() => this.judged(peer), longestMs).unref() });
  }

  /** It is heard again, or what it had is free. */
  judged(peer: string): void {
    const silence = this.#silent.get(peer);
    if (silence === undefined) return;
    this.#silent.delete(peer);
    clearTimeout(silence.timer);
    silence.over.resolve();
  }

  /** Resolves when it is known; undefined: it is. */
  of(peer: string): Promise<void> | undefined {
    return this.#silent.get(peer)?.over.promise;
  }

  [Symbol.dispose](): void {
    for (const peer of this.#silent.keys()) this.judged(peer);
  }
}
