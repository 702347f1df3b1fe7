/**
 * After a volume came to a host it gives new locks only when those who have some took theirs again: until every host that may have some has said so, or a time is over.
 * Where all of them are in reach that takes a round trip; it is not waited for the time.
 */
export class LockGrace implements Disposable {
  /** Resolves when new locks may be given. */
  readonly over: Promise<void>;
  readonly #awaited: Set<string>;
  readonly #end: () => void;
  readonly #timer: NodeJS.Timeout | undefined;

  /** @param limitMs how long is waited for hosts that say nothing. */
  constructor(awaited: Iterable<string>, limitMs: number) {
    this.#awaited = new Set(awaited);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
    if (this.#awaited.size === 0) resolve();
    else this.#timer = setTimeout(resolve, limitMs);
  }

  /** The host has taken again what its programs had locked. */
  heard(peer: string): void {
    this.#awaited.delete(peer);
    if (this.#awaited.size === 0) this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#end();
  }
}
