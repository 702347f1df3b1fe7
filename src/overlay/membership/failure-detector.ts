import type { Clock } from '../../base/index.ts';
import type { PeerId, Talk, Transport } from '../transport.ts';
import { type BeatSort, type Look, Watch } from './watch.ts';

/** `alive`: heard of just now. `suspect`: silent for a while. `down`: no connection, or silent for too long. */
export type Liveness = 'alive' | 'suspect' | 'down';

export interface PeerHealth {
  readonly liveness: Liveness;
  /** Wall clock, milliseconds: since when, for people; of one that is down after a silence, since it was heard last. */
  readonly sinceMs: number;
}

/** Clocks of people are set; how long something has lasted is counted by one that is not. */
interface Noted extends PeerHealth {
  readonly monotonicMs: number;
}

export interface FailureDetectorOptions {
  /** Between two heartbeats; 250 where absent. */
  readonly intervalMs?: number;
  /** Silence that makes a peer suspect; 750 where absent. */
  readonly suspectMs?: number;
  /** Silence that breaks the connection; 1250 where absent. */
  readonly downMs?: number;
}

/** The heartbeat's kind. Its body is the sender's roster digest, and what sort of heartbeat it is. */
export const heartbeatKind = 1;
/** Notification: ids of peers that the sender watches and misses, one a line. */
export const missingKind = 5;

const digestBytes = 16;
const sorts: readonly BeatSort[] = ['regular', 'question', 'answer'];
/** As many peers are missed in one message at most; its reader asks each of them. */
const maxMissing = 512;
const silence: Talk = { sent: 0, received: 0 };
/** Looks between two ticks that are due; what a further one would see the next tick sees. */
const maxLooks = 16;
/** Timers may be a little early. */
const timerSlackMs = 2;

interface Wire extends Transport {
  drop(peer: PeerId, reason: string): void;
  talk(peer: PeerId): Talk | undefined;
}

/**
 * Tells which peers live. A killed process shows at once, by its broken connection; a frozen one or a cut wire by missing heartbeats
 * on the control channel: whose are missed is for {@link Watch} to say. What a peer sends also says what it knows of the roster.
 */
export class FailureDetector implements Disposable {
  readonly #transport: Wire;
  readonly #clock: Clock;
  readonly #watch: Watch;
  readonly #health = new Map<PeerId, Noted>();
  readonly #listeners = new Set<(peer: PeerId, health: PeerHealth) => void>();
  readonly #stops: (() => void)[];
  readonly #timer: NodeJS.Timeout;
  readonly #digest: () => string;
  readonly #looks = new Set<NodeJS.Timeout>();
  readonly #talkOf = (peer: PeerId): Talk | undefined => this.#transport.talk(peer);

  constructor(
    transport: Wire,
    clock: Clock,
    digest: () => string,
    onDigest: (peer: PeerId, digest: string) => void,
    options: FailureDetectorOptions = {},
  ) {
    this.#transport = transport;
    this.#clock = clock;
    this.#digest = digest;
    const { intervalMs = 250, suspectMs = 750, downMs = 1250 } = options;
    this.#watch = new Watch(transport.self, { intervalMs, suspectMs, downMs }, clock.monotonicMs());
    for (const peer of transport.connected()) this.#watch.connected(peer, this.#talkOf(peer) ?? silence, clock.monotonicMs());
    this.#stops = [
      transport.handle(heartbeatKind, (peer, body) => {
        const sort = sorts[body[digestBytes] ?? 0] ?? 'answer';
        if (this.#watch.heard(peer, sort, clock.monotonicMs())) this.#beat(peer, 'answer');
        this.#alive(peer);
        // Of those whose heartbeats come regularly it is known for how long they have known other things than this host.
        if (sort === 'regular' || this.#watch.isNeighbour(peer))
          onDigest(peer, Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1', 0, digestBytes));
        return undefined;
      }),
      transport.handle(missingKind, (_peer, body) => {
        const missing = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1').split('\n', maxMissing);
        const { beats, lookAgainMs } = this.#watch.accused(missing, clock.monotonicMs());
        for (const [peer, sort] of beats) this.#beat(peer, sort);
        this.#lookAgain(lookAgainMs);
        return undefined;
      }),
      transport.onPeerUp((peer) => {
        this.#watch.connected(peer, this.#talkOf(peer) ?? silence, clock.monotonicMs());
        this.#alive(peer);
      }),
      transport.onPeerDown((peer) => {
        const now = clock.monotonicMs();
        const silentMs = this.#watch.lost(peer, now);
        // One that was silent before its connection broke was lost when it fell silent; of one that was killed the connection tells at once.
        this.#become(peer, 'down', silentMs >= downMs ? silentMs : 0);
      }),
    ];
    // Where this thread was held up, what came meanwhile is read first.
    this.#timer = setInterval(() => setImmediate(() => this.#tick()), intervalMs);
    this.#timer.unref();
  }

  /** What is known of a peer; down since the beginning where it never was connected. */
  healthOf(peer: PeerId): PeerHealth {
    return this.#noted(peer);
  }

  /** For how long the peer has been as it is, in ms, whatever was done to the wall clock. */
  standingFor(peer: PeerId): number {
    return this.#clock.monotonicMs() - this.#noted(peer).monotonicMs;
  }

  /** Tells of each change. Returns the way to stop listening. */
  onChange(listener: (peer: PeerId, health: PeerHealth) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** No longer of interest. */
  forget(peer: PeerId): void {
    this.#health.delete(peer);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    for (const timer of this.#looks) clearTimeout(timer);
    for (const stop of this.#stops) stop();
  }

  #noted(peer: PeerId): Noted {
    return this.#health.get(peer) ?? this.#note(peer, 'down');
  }

  /** @param forMs For how long the peer has been so already. */
  #note(peer: PeerId, liveness: Liveness, forMs = 0): Noted {
    const health = { liveness, sinceMs: this.#clock.wallMs() - forMs, monotonicMs: this.#clock.monotonicMs() - forMs };
    this.#health.set(peer, health);
    return health;
  }

  #alive(peer: PeerId): void {
    if (this.#health.get(peer)?.liveness !== 'alive') this.#become(peer, 'alive');
  }

  #tick(): void {
    const { beats, accused, lookAgainMs, ...seen } = this.#watch.tick(this.#clock.monotonicMs(), this.#talkOf);
    this.#take(seen);
    for (const [peer, sort] of beats) this.#beat(peer, sort);
    for (let at = 0; at < accused.length; at += maxMissing) this.#tellMissing(accused.slice(at, at + maxMissing));
    this.#lookAgain(lookAgainMs);
  }

  #lookAgain(afterMs: number | undefined): void {
    if (afterMs === undefined || this.#looks.size >= maxLooks) return;
    const timer = setTimeout(() => {
      this.#looks.delete(timer);
      setImmediate(() => this.#take(this.#watch.look(this.#clock.monotonicMs(), this.#talkOf)));
    }, afterMs + timerSlackMs).unref();
    this.#looks.add(timer);
  }

  #take({ heard, suspects, silent }: Pick<Look, 'heard' | 'suspects' | 'silent'>): void {
    for (const peer of heard) this.#alive(peer);
    for (const peer of suspects) this.#become(peer, 'suspect');
    for (const [peer, silentMs] of silent) this.#transport.drop(peer, `no heartbeat for ${Math.round(silentMs)} ms`);
  }

  #beat(peer: PeerId, sort: BeatSort): void {
    const body = Buffer.allocUnsafe(digestBytes + 1);
    body.fill(0);
    body.write(this.#digest(), 0, digestBytes, 'latin1');
    body[digestBytes] = sorts.indexOf(sort);
    if (this.#transport.notify(peer, heartbeatKind, body)) this.#watch.beat(peer);
  }

  #tellMissing(missing: readonly PeerId[]): void {
    const body = Buffer.from(missing.join('\n'), 'latin1');
    for (const peer of this.#transport.connected()) if (!missing.includes(peer)) this.#transport.notify(peer, missingKind, body);
  }

  #become(peer: PeerId, liveness: Liveness, forMs = 0): void {
    if (this.#health.get(peer)?.liveness === liveness) return;
    const health = this.#note(peer, liveness, forMs);
    for (const listener of this.#listeners) listener(peer, health);
  }
}
