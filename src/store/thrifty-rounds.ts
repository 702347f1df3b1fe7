import type { PeerId, Reply, Request } from '../consensus/index.ts';
import { AnswerTimes, type Waits } from './answer-times.ts';

/** A host that was asked is waited for so long before those that were spared are asked as well. Where all are slow, to ask more of them makes them slower. */
const hedgeWaits: Waits = { minMs: 2, maxMs: 250, firstMs: 10 };
/**
 * Those that were spared are asked early for one round in so many, and for so many in a row (Dean and Barroso, The Tail at Scale, 2013, bound what hedging may add likewise). Where
 * answers are late because processors are busy, to ask more hosts makes them later yet, and it goes on like that.
 */
const roundsPerHedge = 20;
const maxHedges = 10;
/** Beyond that a host is waited for as long again, and so long at least, in ms: it is slow or gone then, not behind. */
const patientMs = 25;
const nobody: readonly PeerId[] = [];

/** A request that fewer hosts were asked than its set has. */
interface UnderWay {
  readonly request: Request;
  readonly at: number;
  /** When the spared ones are asked as well, or would be if rounds that ask early were not bounded. */
  dueAt: number;
  /** Hosts whose answer is awaited, perhaps this one among them. */
  readonly awaited: Set<PeerId>;
  readonly spared: readonly PeerId[];
  /** It was due, and put off. */
  isLate: boolean;
}

export interface ThriftyRoundsOptions {
  readonly self: PeerId;
  readonly isConnected: (peer: PeerId) => boolean;
  /** Told that hosts are not to be spared the request any longer: it must leave now. */
  readonly onNeeded: (peers: readonly PeerId[], request: Request) => void;
}

/**
 * Which replicas a request is spared at first (thrifty Paxos; Moraru et al., EPaxos, 2013): a majority is asked at once, since it decides alone. The others are asked at
 * once where one of the majority does not answer in time, answers otherwise than hoped, or is gone; otherwise they get an accept when it suits, and a read never.
 *
 * Of reads only those of a block that this host knows, and with it the hosts that have it: where they first have to be found, all that may be some are asked.
 * Of accepts only those that the host of the block's last write sends without a prepare before them: a stream of writes of one host. Where hosts write one block in turn, a
 * replica that lags behind would cost the next writer a round. Nothing for which a lease is asked, which should be granted by all, and no accept while the set of replicas changes.
 */
export class ThriftyRounds {
  readonly #options: ThriftyRoundsOptions;
  readonly #times: AnswerTimes;
  readonly #now: () => number;
  /** By the operation's tag, the oldest first. */
  readonly #underWay = new Map<number, UnderWay>();
  #timer: NodeJS.Timeout | undefined;
  /** Rounds that may be hedged yet. */
  #hedges = maxHedges;

  constructor(options: ThriftyRoundsOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
    this.#times = new AnswerTimes(hedgeWaits, now);
  }

  /** Begins a round. Returns the hosts among `peers` that need not be asked yet. */
  begin(request: Request, peers: readonly PeerId[]): readonly PeerId[] {
    if (!maySpare(request)) return nobody;
    const { self } = this.#options;
    const needed = Math.floor(peers.length / 2) + 1 - (peers.includes(self) ? 1 : 0);
    const others = this.#ordered(peers);
    if (others.length <= needed) return nobody;
    const asked = others.slice(0, needed);
    const spared = others.slice(needed);
    this.#hedges = Math.min(maxHedges, this.#hedges + 1 / roundsPerHedge);
    const at = this.#now();
    let waitMs = 0;
    for (const peer of asked) waitMs = Math.max(waitMs, this.#times.waitMs(peer, others));
    const awaited = new Set(peers.includes(self) ? [...asked, self] : asked);
    this.#underWay.set(request.tag, { request, at, dueAt: at + waitMs, awaited, spared, isLate: false });
    this.#timer ??= setTimeout(() => this.#look(), waitMs);
    return spared;
  }

  /**
   * An acceptor's reply, this host's own too, which the proposer has seen.
   * @param waits The proposer waits for more answers to the request.
   */
  heard({ tag, attempt, from, type }: Reply, waits: boolean): void {
    const round = this.#underWay.get(tag);
    if (round === undefined || attempt !== 1 || !round.awaited.delete(from)) return;
    if (type !== 'accepted' && type !== 'value') return this.#release(tag, round);
    if (from !== this.#options.self) this.#times.took(from, this.#now() - round.at);
    if (round.awaited.size > 0) return;
    // Those that answered a read differ, or are a majority of no set that counts.
    if (waits) this.#release(tag, round);
    else this.#underWay.delete(tag);
  }

  /** The connection with a host is gone. */
  lost(peer: PeerId): void {
    for (const [tag, round] of this.#underWay) if (round.awaited.has(peer)) this.#release(tag, round);
  }

  /** Nobody waits for answers any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#underWay.clear();
  }

  /** The others in reach, who is asked first in front: the quick ones, and of these always the same, so that what goes to one fills its messages. Each host begins with another. */
  #ordered(peers: readonly PeerId[]): readonly PeerId[] {
    const { self, isConnected } = this.#options;
    const others: PeerId[] = [];
    for (const peer of peers) {
      if (peer === self || !isConnected(peer)) continue;
      let place = others.length;
      while (place > 0 && comesBefore(peer, others[place - 1]!, self)) place--;
      others.splice(place, 0, peer);
    }
    return this.#times.ordered(others);
  }

  #look(): void {
    // Where this thread was held up the answers may have come: they are read before immediates are run.
    setImmediate(() => {
      this.#timer = undefined;
      const now = this.#now();
      let next = Infinity;
      for (const [tag, round] of this.#underWay) {
        if (round.dueAt <= now) this.#ask(tag, round, now);
        if (this.#underWay.has(tag)) next = Math.min(next, round.dueAt);
      }
      if (next !== Infinity) this.#timer = setTimeout(() => this.#look(), next - now);
    });
  }

  /** Asks the spared ones of a round that is due, or puts it off once. */
  #ask(tag: number, round: UnderWay, now: number): void {
    const waitedMs = now - round.at;
    for (const peer of round.awaited) if (peer !== this.#options.self) this.#times.failed(peer, waitedMs);
    if (!round.isLate && this.#hedges < 1) {
      round.isLate = true;
      round.dueAt = Math.max(now + waitedMs, round.at + patientMs);
      return;
    }
    if (!round.isLate) this.#hedges--;
    this.#release(tag, round);
  }

  #release(tag: number, { spared, request }: UnderWay): void {
    this.#underWay.delete(tag);
    this.#options.onNeeded(spared, request);
  }
}

/** In the ring of all ids, seen from `self`. */
function comesBefore(peer: PeerId, other: PeerId, self: PeerId): boolean {
  return peer > self === other > self ? peer < other : peer > self;
}

function maySpare(request: Request): boolean {
  if (request.attempt > 1) return false;
  if (request.type === 'read') return request.lease === null && request.known !== null;
  return request.type === 'accept' && request.lease === null && request.record.previous.length === 0;
}
