import { codeOf, InfinitError } from '../base/index.ts';
import { type Address, hashesTo } from '../block/index.ts';
import type { PeerId } from '../overlay/index.ts';
import type { AnswerTimes } from './answer-times.ts';

/** A host that sent other bytes counts as one that takes this long. */
const uselessMs = 10_000;

export interface HedgeOptions {
  readonly address: Address;
  /** Hosts in reach that should have the block, best first. */
  readonly replicas: readonly PeerId[];
  /** Hosts in reach that may have it all the same. */
  readonly others: readonly PeerId[];
  /** Where none of them has the block, there is none. */
  readonly certain: boolean;
  readonly times: AnswerTimes;
  readonly ask: (peer: PeerId, cancel: AbortSignal) => Promise<Uint8Array>;
}

/**
 * Asks for one copy after another, the next as soon as the one before fails or takes longer than it should, and takes the first that is right. Hosts
 * that lately were quick are asked first. Where all that should have the block hesitate, the pauses double: they are busy, and further hosts probably have nothing.
 */
export class Hedge {
  readonly result: Promise<Uint8Array>;
  readonly #options: HedgeOptions;
  readonly #peers: readonly PeerId[];
  readonly #settle = Promise.withResolvers<Uint8Array>();
  readonly #abort = new AbortController();
  /** When those that have not answered were asked. */
  readonly #asked = new Map<PeerId, number>();
  #next = 0;
  #failed = 0;
  /** Of those that failed: have no copy, or a damaged one. */
  #missing = 0;
  #damaged = 0;
  #done = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HedgeOptions) {
    this.#options = options;
    this.#peers = [...options.times.ordered(options.replicas), ...options.others];
    this.result = this.#settle.promise.finally(() => {
      this.#done = true;
      clearTimeout(this.#timer);
      this.#abort.abort();
    });
    this.#askNext();
  }

  #askNext(): void {
    clearTimeout(this.#timer);
    const peer = this.#peers[this.#next++];
    if (peer === undefined) return;
    const { times, replicas, ask } = this.#options;
    const beyond = Math.max(0, this.#next - replicas.length);
    this.#timer = setTimeout(() => this.#askNext(), times.waitMs(peer, replicas) * 2 ** beyond);
    this.#asked.set(peer, performance.now());
    ask(peer, this.#abort.signal).then(
      (bytes) => this.#take(peer, bytes),
      (error: unknown) => this.#fail(peer, error),
    );
  }

  #take(peer: PeerId, bytes: Uint8Array): void {
    const { address, times } = this.#options;
    if (!hashesTo(address, bytes)) {
      times.failed(peer, uselessMs);
      return this.#fail(peer, new InfinitError('damaged', `host ${peer} sent other bytes as block ${address}`));
    }
    if (this.#done) return;
    this.#done = true;
    const now = performance.now();
    const since = this.#asked.get(peer)!;
    times.took(peer, now - since);
    // They were asked before and let another be first.
    for (const [slow, at] of this.#asked) if (at < since) times.failed(slow, now - at);
    this.#settle.resolve(bytes);
  }

  #fail(peer: PeerId, error: unknown): void {
    if (this.#done) return;
    const { address, times, certain } = this.#options;
    if (codeOf(error) === 'unknown-outcome') times.failed(peer, performance.now() - this.#asked.get(peer)!);
    this.#asked.delete(peer);
    if (codeOf(error) === 'not-found') this.#missing++;
    if (codeOf(error) === 'damaged') this.#damaged++;
    if (++this.#failed < this.#peers.length) return this.#askNext();
    const hopeless = certain && this.#missing + this.#damaged === this.#peers.length;
    const code = !hopeless ? 'unavailable' : this.#damaged > 0 ? 'damaged' : 'not-found';
    this.#settle.reject(new InfinitError(code, `no host in reach gives block ${address}`, { cause: error }));
  }
}
