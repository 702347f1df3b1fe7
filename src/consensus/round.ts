import type { PeerId } from './ballot.ts';
import type { Reply, Request } from './messages.ts';
import type { ReplicaSet } from './record.ts';

/** First wait for answers; doubles up to the maximum. */
export const retransmitMs = 100;
export const maxRetransmitMs = 2000;

const nobody: ReadonlySet<PeerId> = new Set();

/** One message to some hosts, and who has answered it: what an operation waits for at a time. */
export class Round {
  /** Whom the message was sent to. */
  readonly targets: PeerId[] = [];
  /** How often its timer fired. */
  wakes = 0;
  /** What was answered suffices, and more may only make it cheaper. */
  isOptional = false;
  #message: Request | null = null;
  #answers = new Map<PeerId, Reply>();
  #rejected: Set<PeerId> | undefined;

  get answers(): ReadonlyMap<PeerId, Reply> {
    return this.#answers;
  }

  get rejected(): ReadonlySet<PeerId> {
    return this.#rejected ?? nobody;
  }

  get message(): Request {
    return this.#message!;
  }

  /** Another message to all of the sets; what was answered to the one before counts no longer. */
  begin(sets: readonly ReplicaSet[], message: Request): void {
    if (this.#answers.size > 0) this.#answers = new Map();
    this.#rejected = undefined;
    this.targets.length = 0;
    this.#message = message;
    this.wakes = 0;
    this.isOptional = false;
    this.extend(sets);
  }

  /** Adds hosts of the sets that were not asked yet; returns them. */
  extend(sets: readonly ReplicaSet[]): readonly PeerId[] {
    let more: PeerId[] | undefined;
    for (const set of sets) {
      for (const peer of set) {
        if (this.targets.includes(peer)) continue;
        this.targets.push(peer);
        (more ??= []).push(peer);
      }
    }
    return more ?? [];
  }

  answer(reply: Reply): void {
    this.#answers.set(reply.from, reply);
  }

  reject(peer: PeerId): void {
    (this.#rejected ??= new Set()).add(peer);
  }

  unanswered(): PeerId[] {
    return this.targets.filter((peer) => !this.#answers.has(peer));
  }

  /** How long to wait before the next try; `chance` in [0, 1) spreads hosts that wait for the same. */
  waitMs(chance: number): number {
    return Math.min(retransmitMs * (1 << Math.min(this.wakes, 16)), maxRetransmitMs) * (0.75 + chance / 2);
  }
}
