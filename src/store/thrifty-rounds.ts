import type { PeerId, Reply, Request } from '../consensus/index.ts';
import { AnswerTimes, type Waits } from './answer-times.ts';

/** A host that was asked is waited for so long before those that were spared are asked as well. */
const hedgeWaits: Waits = { minMs: 2, maxMs: 50, firstMs: 10 };
const nobody: readonly PeerId[] = [];

/** An accept that fewer hosts were asked than its set has. */
interface UnderWay {
  readonly at: number;
  readonly dueAt: number;
  /** Hosts whose answer is awaited, perhaps this one among them. */
  readonly awaited: Set<PeerId>;
  readonly spared: readonly PeerId[];
}

export interface ThriftyAcceptsOptions {
  readonly self: PeerId;
  readonly isConnected: (peer: PeerId) => boolean;
  /** Told that a host is not to be spared any longer: what waits for it must leave now. */
  readonly onNeeded: (peer: PeerId) => void;
}

/**
 * Which replicas an accept is spared at first (thrifty Paxos; Moraru et al., EPaxos, 2013): a majority is asked at once, and the others when it suits, since the accept
 * is chosen without them. They are asked at once where one of the majority does not answer in time, answers otherwise than hoped, or is gone.
 *
 * Only for what the host of the block's last write sends without a prepare before it: a stream of writes of one host. Where hosts write one block in turn, a replica that
 * lags behind would cost the next writer a round. Nor where a lease is asked for, which should be granted by all, nor while the set of replicas changes.
 */
export class ThriftyAccepts {
  readonly #options: ThriftyAcceptsOptions;
  readonly #times: AnswerTimes;
  readonly #now: () => number;
  /** By the operation's tag, the oldest first. */
  readonly #underWay = new Map<number, UnderWay>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ThriftyAcceptsOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
    this.#times = new AnswerTimes(hedgeWaits, now);
  }

  /** Begins a round. Returns the hosts among `peers` that need not be asked yet. */
  begin(request: Request, peers: readonly PeerId[]): readonly PeerId[] {
    if (request.type !== 'accept' || request.attempt > 1 || request.lease !== null || request.record.previous.length > 0) return nobody;
    const { self } = this.#options;
    const needed = Math.floor(peers.length / 2) + 1 - (peers.includes(self) ? 1 : 0);
    const others = this.#ordered(peers);
    if (others.length <= needed) return nobody;
    const asked = others.slice(0, needed);
    const spared = others.slice(needed);
    const at = this.#now();
    const waitMs = asked.reduce((most, peer) => Math.max(most, this.#times.waitMs(peer, others)), 0);
    const awaited = new Set(peers.includes(self) ? [...asked, self] : asked);
    this.#underWay.set(request.tag, { at, dueAt: at + waitMs, awaited, spared });
    this.#timer ??= setTimeout(() => this.#look(), waitMs);
    return spared;
  }

  /** An acceptor's reply, this host's own too. */
  heard({ tag, attempt, from, type }: Reply): void {
    const accept = this.#underWay.get(tag);
    if (accept === undefined || attempt !== 1 || !accept.awaited.delete(from)) return;
    if (type !== 'accepted') return this.#release(tag, accept);
    if (from !== this.#options.self) this.#times.took(from, this.#now() - accept.at);
    if (accept.awaited.size === 0) this.#underWay.delete(tag);
  }

  /** The connection with a host is gone. */
  lost(peer: PeerId): void {
    for (const [tag, accept] of this.#underWay) if (accept.awaited.has(peer)) this.#release(tag, accept);
  }

  /** Nobody waits for answers any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#underWay.clear();
  }

  /** The others in reach, who is asked first in front: the quick ones, and of these always the same, so that what goes to one fills its messages. Each host begins with another. */
  #ordered(peers: readonly PeerId[]): PeerId[] {
    const { self, isConnected } = this.#options;
    const others = peers.filter((peer) => peer !== self && isConnected(peer)).toSorted();
    const after = others.findIndex((peer) => peer > self);
    return this.#times.ordered(after <= 0 ? others : [...others.slice(after), ...others.slice(0, after)]);
  }

  #look(): void {
    // Where this thread was held up the answers may have come: they are read before immediates are run.
    setImmediate(() => {
      this.#timer = undefined;
      const now = this.#now();
      for (const [tag, accept] of this.#underWay) {
        if (accept.dueAt > now) {
          this.#timer = setTimeout(() => this.#look(), accept.dueAt - now);
          return;
        }
        for (const peer of accept.awaited) if (peer !== this.#options.self) this.#times.failed(peer, now - accept.at);
        this.#release(tag, accept);
      }
    });
  }

  #release(tag: number, { spared }: UnderWay): void {
    this.#underWay.delete(tag);
    for (const peer of spared) this.#options.onNeeded(peer);
  }
}
