/** A host whose programs may have locks, and how long is waited for it to take them again, in ms. */
export interface Awaited {
  readonly peer: string;
  readonly ms: number;
}

/** A host that takes its locks again, and is not through, is waited for so long after each, in ms. */
const goesOnMs = 1000;
/** But no longer than this in all, in ms: whoever wants a lock waits for it. */
const longestMs = 10_000;

/**
 * After a volume came to a host it gives new locks only when those who have some took theirs again: until every host that may have some has said so, or its time is over.
 * Where all of them are in reach that takes a round trip.
 */
export class LockGrace implements Disposable {
  /** Resolves when new locks may be given. */
  readonly over: Promise<void>;
  /** Those who may have been told of new files that are to be made again first: until then nobody else may have the names. */
  readonly names: LockGrace | undefined;
  readonly #giveUp: (peer: string) => Promise<void>;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #end: () => void;
  readonly #begunMs = performance.now();
  /** By host: until when it is waited for. */
  readonly #untilMs = new Map<string, number>();

  /** @param giveUp told of each whose time is over, before others may have what it had locked: should the volume go to another host by then, that one must not take it for locked ever since. */
  constructor(awaited: Iterable<Awaited>, names?: LockGrace, giveUp: (peer: string) => Promise<void> = () => Promise.resolve()) {
    this.names = names;
    this.#giveUp = giveUp;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
    for (const { peer, ms } of awaited) this.#wait(peer, ms);
    if (this.#timers.size === 0) resolve();
  }

  /** The host is taking again what its programs had locked. */
  goesOn(peer: string): void {
    const untilMs = this.#untilMs.get(peer);
    const now = performance.now();
    const until = Math.min(now + goesOnMs, this.#begunMs + longestMs);
    if (untilMs === undefined || until <= untilMs) return;
    clearTimeout(this.#timers.get(peer));
    this.#wait(peer, until - now);
  }

  #wait(peer: string, ms: number): void {
    this.#untilMs.set(peer, performance.now() + ms);
    this.#timers.set(
      peer,
      setTimeout(() => void this.#timeOver(peer), ms),
    );
  }

  async #timeOver(peer: string): Promise<void> {
    const timer = this.#timers.get(peer);
    await this.#giveUp(peer);
    // It may go on meanwhile.
    if (this.#timers.get(peer) === timer) this.heard(peer);
  }

  /** The host has taken again what its programs had locked, or its time is over. */
  heard(peer: string): void {
    this.names?.heard(peer);
    clearTimeout(this.#timers.get(peer));
    this.#timers.delete(peer);
    this.#untilMs.delete(peer);
    if (this.#timers.size === 0) this.#end();
  }

  [Symbol.dispose](): void {
    for (const peer of this.#timers.keys()) this.heard(peer);
    this.names?.[Symbol.dispose]();
  }
}
