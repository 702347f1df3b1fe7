/** A host whose programs may have locks, and how long is waited for it to take them again, in ms. */
export interface Awaited {
  readonly peer: string;
  readonly ms: number;
}

/**
 * After a volume came to a host it gives new locks only when those who have some took theirs again: until every host that may have some has said so, or its time is over.
 * Where all of them are in reach that takes a round trip.
 */
export class LockGrace implements Disposable {
  /** Resolves when new locks may be given. */
  readonly over: Promise<void>;
  /** Those who may have been told of new files that are to be made again first: until then nobody else may have the names. */
  readonly names: LockGrace | undefined;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #end: () => void;

  constructor(awaited: Iterable<Awaited>, names?: LockGrace) {
    this.names = names;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
    for (const { peer, ms } of awaited)
      this.#timers.set(
        peer,
        setTimeout(() => this.heard(peer), ms),
      );
    if (this.#timers.size === 0) resolve();
  }

  /** The host has taken again what its programs had locked, or its time is over. */
  heard(peer: string): void {
    this.names?.heard(peer);
    clearTimeout(this.#timers.get(peer));
    this.#timers.delete(peer);
    if (this.#timers.size === 0) this.#end();
  }

  [Symbol.dispose](): void {
    for (const peer of this.#timers.keys()) this.heard(peer);
    this.names?.[Symbol.dispose]();
  }
}
