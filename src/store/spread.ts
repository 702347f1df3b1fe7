import { codeOf, type ErrorCode, InfinitError } from '../base/index.ts';
import type { Address } from '../block/index.ts';
import type { PeerId } from '../overlay/index.ts';

/** Hosts that could not be reached are asked again after so long, in ms: a connection that broke is made anew within moments. */
const retryMs = 100;

export interface SpreadOptions {
  readonly address: Address;
  /** Hosts that may hold the block, best first. */
  readonly ranked: readonly PeerId[];
  /** How many of them should. */
  readonly wanted: number;
  readonly self: PeerId;
  /** Settles with this host's own copy; undefined: it keeps none. */
  readonly local: Promise<void> | undefined;
  readonly deadlineMs: number;
  /** Has a host make a copy. */
  readonly ask: (peer: PeerId, deadlineMs: number) => Promise<unknown>;
  /** Told when every copy that was begun has been made: nobody reads the bytes any more. Never where one failed, for it may still be on its way. */
  readonly onReleased?: () => void;
}

/** Makes the copies of one block: at the hosts it belongs to, at the next ones where those fail, again and again until a majority has it or time is up. */
export class Spread {
  /** Resolves when a majority has the block on stable storage; the others go on in the background. @throws InfinitError `unavailable`, `disk-full`. */
  readonly done: Promise<void>;
  readonly #options: SpreadOptions;
  readonly #majority: number;
  readonly #giveUpAt: number;
  readonly #settle = Promise.withResolvers<void>();
  #acknowledged = 0;
  #anyFailed = false;
  #underWay = 0;
  #next: number;
  /** Hosts that could not be reached. */
  #missed: PeerId[] = [];
  #full = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: SpreadOptions) {
    this.#options = options;
    this.done = this.#settle.promise;
    const { ranked, wanted, self, local, deadlineMs } = options;
    this.#majority = Math.floor(wanted / 2) + 1;
    this.#giveUpAt = performance.now() + deadlineMs;
    this.#next = wanted;
    if (local !== undefined) {
      this.#underWay++;
      local.then(
        () => this.#kept(),
        (reason: unknown) => this.#failed(undefined, reason),
      );
    }
    for (const peer of ranked.slice(0, wanted)) if (peer !== self) this.#ask(peer);
    if (this.#underWay === 0) this.#reject('unavailable', ', and no host takes blocks', undefined);
  }

  #ask(peer: PeerId): void {
    this.#underWay++;
    this.#options.ask(peer, Math.max(1, this.#giveUpAt - performance.now())).then(
      () => this.#kept(),
      (reason: unknown) => this.#failed(peer, reason),
    );
  }

  #kept(): void {
    this.#underWay--;
    if (this.#underWay === 0 && !this.#anyFailed) this.#options.onReleased?.();
    if (++this.#acknowledged < this.#majority) return;
    clearTimeout(this.#retry);
    this.#settle.resolve();
  }

  #failed(peer: PeerId | undefined, reason: unknown): void {
    const { ranked, self } = this.#options;
    this.#underWay--;
    this.#anyFailed = true;
    if (peer !== undefined && isPassing(reason)) this.#missed.push(peer);
    if (codeOf(reason) === 'disk-full') this.#full++;
    while (this.#next < ranked.length && ranked[this.#next] === self) this.#next++;
    if (this.#next < ranked.length) this.#ask(ranked[this.#next++]!);
    else if (this.#isForWantOfRoom())
      this.#reject('disk-full', `, and ${this.#full === 1 ? '1 host has' : `${this.#full} hosts have`} no room`, reason);
    else if (this.#underWay + this.#acknowledged >= this.#majority || this.#retry !== undefined) return;
    else if (this.#missed.length > 0 && performance.now() + retryMs < this.#giveUpAt) this.#retry = setTimeout(() => this.#askMissed(), retryMs);
    else this.#reject('unavailable', '', reason);
  }

  /** Those that could not be reached, or have not answered yet, would not make a majority either. Nobody waits then, nor asks them again. */
  #isForWantOfRoom(): boolean {
    return this.#full > 0 && this.#acknowledged + this.#underWay + this.#missed.length < this.#majority;
  }

  #reject(code: ErrorCode, why: string, cause: unknown): void {
    const { address, wanted } = this.#options;
    clearTimeout(this.#retry);
    const made = `block ${address}: ${this.#acknowledged} of ${wanted} copies were made, ${this.#majority} are needed`;
    this.#settle.reject(new InfinitError(code, made + why, { cause }));
  }

  #askMissed(): void {
    this.#retry = undefined;
    for (const peer of this.#missed.splice(0)) this.#ask(peer);
  }
}

/** Failures of the way to a host, as against those of the host itself. */
function isPassing(reason: unknown): boolean {
  const code = codeOf(reason);
  return code === 'unavailable' || code === 'unknown-outcome' || code === 'overloaded';
}
