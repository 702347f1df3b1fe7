import type { PeerId, Talk } from '../transport.ts';
import { ringNeighbours } from './ring.ts';

/**
 * `regular`: sent at each interval, and the same is wanted back. `question`: an answer is wanted, once. `answer`: nothing is wanted.
 * Hosts of earlier versions send regular ones to everybody, and do not say of which sort they are.
 */
export type BeatSort = 'regular' | 'question' | 'answer';

export interface WatchOptions {
  readonly intervalMs: number;
  readonly suspectMs: number;
  readonly downMs: number;
}

/** What a look at the clock leads to. */
export interface Look {
  readonly beats: readonly (readonly [PeerId, BeatSort])[];
  /** They have said something since the last look. */
  readonly heard: readonly PeerId[];
  readonly suspects: readonly PeerId[];
  /** Silent for so many ms: their connections are to be broken. */
  readonly silent: readonly (readonly [PeerId, number])[];
  /** All others are to be told that these are suspect. */
  readonly accused: readonly PeerId[];
  /** Answers to questions are due after so many ms; undefined: there is nothing to look for before the next interval. */
  readonly lookAgainMs: number | undefined;
}

interface Watched {
  /** When it was heard last; exact only of heartbeats. */
  heardAt: number;
  /** Since when an answer is awaited of a peer that is not a neighbour in the ring. */
  unansweredSince: number | undefined;
  /** It watches this host, and wants to hear of it until then. */
  wantsUntil: number;
  sent: number;
  received: number;
  isAccused: boolean;
}

/** A tick that comes so much too late says that this process slept, not its peers. */
const oversleptIntervals = 2;
/** A peer that wants regular heartbeats gets them for so many intervals after it last said so. */
const wantIntervals = 4;
/** A neighbour that was heard within so many intervals is well. */
const freshIntervals = 2;

/**
 * Who is to be watched, and what silence means. Each host watches some neighbours in a ring ({@link ringNeighbours}) by regular heartbeats, and of the others those that it has sent
 * something and that have said nothing since. When a neighbour falls silent all are told, and ask it: who does not answer then is down for all of them at about the time when its neighbours
 * would have it. Where half of the neighbours are silent at once it is this host that may be cut off, and it asks everybody. docs/decisions/who-watches-whom.md.
 *
 * Decisions only: clock, messages and connections are the caller's.
 */
export class Watch {
  readonly #self: PeerId;
  readonly #options: WatchOptions;
  readonly #peers = new Map<PeerId, Watched>();
  #ring: ReadonlySet<PeerId> = new Set();
  #ringIsOld = false;
  #lastTick: number;

  constructor(self: PeerId, options: WatchOptions, now: number) {
    this.#self = self;
    this.#options = options;
    this.#lastTick = now;
  }

  /** @param talk As it stands when the connection opens. */
  connected(peer: PeerId, { sent, received }: Talk, now: number): void {
    this.#peers.set(peer, { heardAt: now, unansweredSince: undefined, wantsUntil: 0, sent, received, isAccused: false });
    this.#ringIsOld = true;
  }

  /** Returns for how long the peer was silent, in ms, as far as it was listened to. */
  lost(peer: PeerId, now: number): number {
    const watched = this.#peers.get(peer);
    const silentMs = watched === undefined ? 0 : silenceOf(watched, this.#ring.has(peer), now);
    this.#peers.delete(peer);
    this.#ringIsOld = true;
    return silentMs;
  }

  /** A heartbeat came. True: it is to be answered at once. */
  heard(peer: PeerId, sort: BeatSort, now: number): boolean {
    const watched = this.#peers.get(peer);
    if (watched === undefined) return false;
    watched.heardAt = now;
    watched.unansweredSince = undefined;
    watched.isAccused = false;
    if (sort !== 'regular') return sort === 'question';
    // Who begins to watch this host knows at once that it lives.
    const isNew = watched.wantsUntil <= now && !this.#neighbours(now).has(peer);
    watched.wantsUntil = now + wantIntervals * this.#options.intervalMs;
    return isNew;
  }

  /** A heartbeat left: it is nothing for which an answer is awaited. */
  beat(peer: PeerId): void {
    const watched = this.#peers.get(peer);
    if (watched !== undefined) watched.sent++;
  }

  /** Whether heartbeats go to the peer and come from it regularly. */
  isNeighbour(peer: PeerId): boolean {
    return this.#ring.has(peer);
  }

  /** Peers whose neighbours miss them: those that this host has no neighbours' evidence of are asked. */
  accused(peers: readonly PeerId[], now: number): Pick<Look, 'beats' | 'lookAgainMs'> {
    const beats = peers.flatMap((peer) => (this.#ask(peer, now) ? [[peer, 'question'] as const] : []));
    return { beats, lookAgainMs: beats.length > 0 ? this.#graceMs : undefined };
  }

  /** An interval is over. */
  tick(now: number, talkOf: (peer: PeerId) => Talk | undefined): Look {
    const { intervalMs, suspectMs } = this.#options;
    const last = this.#lastTick;
    this.#lastTick = now;
    const overslept = now - last > (1 + oversleptIntervals) * intervalMs;
    const neighbours = this.#neighbours(now);
    const look = { beats: [] as [PeerId, BeatSort][], heard: [] as PeerId[], accused: [] as PeerId[] };
    let quiet = 0;
    for (const [peer, watched] of this.#peers) {
      const isNeighbour = neighbours.has(peer);
      const { sent } = watched;
      if (this.#listen(peer, watched, talkOf(peer), last)) look.heard.push(peer);
      const awaited = watched.unansweredSince !== undefined;
      if (watched.sent !== sent && !isNeighbour) watched.unansweredSince ??= last;
      if (overslept) {
        watched.heardAt = now;
        if (watched.unansweredSince !== undefined) watched.unansweredSince = now;
      }
      if (isNeighbour) look.beats.push([peer, 'regular']);
      else if (awaited) look.beats.push([peer, 'question']);
      else if (watched.wantsUntil > now) look.beats.push([peer, 'answer']);
      if (!isNeighbour || now - watched.heardAt < suspectMs) continue;
      quiet++;
      if (!watched.isAccused) look.accused.push(peer);
      watched.isAccused = true;
    }
    const judged = this.#judged(now);
    let asked = false;
    // Of few hosts all are neighbours, and of many a single one is no half.
    if (quiet > 1 && quiet * 2 >= neighbours.size)
      for (const peer of this.#peers.keys()) {
        if (!this.#ask(peer, now)) continue;
        look.beats.push([peer, 'question']);
        asked = true;
      }
    return { ...look, ...judged, lookAgainMs: asked ? this.#graceMs : undefined };
  }

  /** Between two ticks: answers to questions are due. */
  look(now: number, talkOf: (peer: PeerId) => Talk | undefined): Pick<Look, 'heard' | 'suspects' | 'silent'> {
    const heard: PeerId[] = [];
    for (const [peer, watched] of this.#peers) {
      const { sent } = watched;
      if (this.#listen(peer, watched, talkOf(peer), this.#lastTick)) heard.push(peer);
      // The next tick is to see it.
      watched.sent = sent;
    }
    return { heard, ...this.#judged(now) };
  }

  /** Who was asked because others miss it must answer within this time. */
  get #graceMs(): number {
    return this.#options.downMs - this.#options.suspectMs;
  }

  /** Hosts come and go: a new neighbour has not been listened to until now, and what is known of an old one stays. */
  #neighbours(now: number): ReadonlySet<PeerId> {
    if (!this.#ringIsOld) return this.#ring;
    this.#ringIsOld = false;
    const before = this.#ring;
    this.#ring = ringNeighbours(this.#self, [...this.#peers.keys()]);
    for (const [peer, watched] of this.#peers) {
      const [was, is] = [before.has(peer), this.#ring.has(peer)];
      if (is && !was) watched.heardAt = now;
      if (was && !is && !this.#isFresh(watched, now)) watched.unansweredSince ??= watched.heardAt;
    }
    return this.#ring;
  }

  /** True where the peer is to be asked: it is connected, no neighbour that was heard just now, and was not asked like this already. */
  #ask(peer: PeerId, now: number): boolean {
    const watched = this.#peers.get(peer);
    if (watched === undefined || (this.#neighbours(now).has(peer) && this.#isFresh(watched, now))) return false;
    const since = now - this.#options.suspectMs;
    if (watched.unansweredSince !== undefined && watched.unansweredSince <= since) return false;
    watched.unansweredSince = since;
    return true;
  }

  /** It is not yet due to be heard again. */
  #isFresh({ heardAt }: Watched, now: number): boolean {
    return now - heardAt < freshIntervals * this.#options.intervalMs;
  }

  /** Whatever comes from a peer shows that it lives. True where something came. */
  #listen(peer: PeerId, watched: Watched, talk: Talk | undefined, last: number): boolean {
    if (talk === undefined) return false;
    const heard = talk.received !== watched.received;
    watched.received = talk.received;
    watched.sent = talk.sent;
    if (!heard) return false;
    watched.heardAt = Math.max(watched.heardAt, last);
    watched.unansweredSince = undefined;
    return true;
  }

  #judged(now: number): Pick<Look, 'suspects' | 'silent'> {
    const { suspectMs, downMs } = this.#options;
    const neighbours = this.#neighbours(now);
    const suspects: PeerId[] = [];
    const silent: [PeerId, number][] = [];
    for (const [peer, watched] of this.#peers) {
      const silentMs = silenceOf(watched, neighbours.has(peer), now);
      if (silentMs >= downMs) silent.push([peer, silentMs]);
      else if (silentMs >= suspectMs) suspects.push(peer);
    }
    return { suspects, silent };
  }
}

function silenceOf({ heardAt, unansweredSince }: Watched, isNeighbour: boolean, now: number): number {
  return now - Math.min(isNeighbour ? heardAt : now, unansweredSince ?? now);
}
