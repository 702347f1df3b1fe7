import type { Clock } from '../../base/index.ts';
import type { PeerId, Transport } from '../transport.ts';

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

/** The heartbeat's kind. Its body is the sender's roster digest. */
export const heartbeatKind = 1;

/** A tick that comes so much too late says that this process slept, not its peers. */
const oversleptIntervals = 2;

/**
 * Tells which peers live. A killed process shows at once, by its broken connection; a frozen one or a cut wire by missing heartbeats,
 * which every host sends on the control channel to each peer, unasked. What a peer sends also says what it knows of the roster.
 */
export class FailureDetector implements Disposable {
  readonly #transport: Transport & { drop(peer: PeerId, reason: string): void };
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #suspectMs: number;
  readonly #downMs: number;
  readonly #heardAt = new Map<PeerId, number>();
  readonly #health = new Map<PeerId, Noted>();
  readonly #listeners = new Set<(peer: PeerId, health: PeerHealth) => void>();
  readonly #stops: (() => void)[];
  readonly #timer: NodeJS.Timeout;
  readonly #digest: () => string;
  readonly #onDigest: (peer: PeerId, digest: string) => void;
  #lastTick: number;

  constructor(
    transport: Transport & { drop(peer: PeerId, reason: string): void },
    clock: Clock,
    digest: () => string,
    onDigest: (peer: PeerId, digest: string) => void,
    options: FailureDetectorOptions = {},
  ) {
    this.#transport = transport;
    this.#clock = clock;
    this.#digest = digest;
    this.#onDigest = onDigest;
    this.#intervalMs = options.intervalMs ?? 250;
    this.#suspectMs = options.suspectMs ?? 750;
    this.#downMs = options.downMs ?? 1250;
    this.#lastTick = clock.monotonicMs();
    this.#stops = [
      transport.handle(heartbeatKind, (peer, body) => {
        this.#heard(peer);
        this.#onDigest(peer, Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1', 0, 16));
        return undefined;
      }),
      transport.onPeerUp((peer) => this.#heard(peer)),
      transport.onPeerDown((peer) => {
        const now = this.#clock.monotonicMs();
        const silentMs = now - (this.#heardAt.get(peer) ?? now);
        this.#heardAt.delete(peer);
        // One that was silent before its connection broke was lost when it fell silent; of one that was killed the connection tells at once.
        this.#become(peer, 'down', silentMs >= this.#downMs ? silentMs : 0);
      }),
    ];
    this.#timer = setInterval(() => this.#tick(), this.#intervalMs);
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
    this.#heardAt.delete(peer);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
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

  #heard(peer: PeerId): void {
    this.#heardAt.set(peer, this.#clock.monotonicMs());
    if (this.#health.get(peer)?.liveness !== 'alive') this.#become(peer, 'alive');
  }

  #tick(): void {
    const now = this.#clock.monotonicMs();
    const overslept = now - this.#lastTick > (1 + oversleptIntervals) * this.#intervalMs;
    this.#lastTick = now;
    const body = Buffer.from(this.#digest(), 'latin1');
    for (const peer of this.#transport.connected()) {
      this.#transport.notify(peer, heartbeatKind, body);
      const silentMs = now - (this.#heardAt.get(peer) ?? now);
      if (overslept) this.#heardAt.set(peer, now);
      else if (silentMs >= this.#downMs) this.#transport.drop(peer, `no heartbeat for ${Math.round(silentMs)} ms`);
      else if (silentMs >= this.#suspectMs) this.#become(peer, 'suspect');
    }
  }

  #become(peer: PeerId, liveness: Liveness, forMs = 0): void {
    if (this.#health.get(peer)?.liveness === liveness) return;
    const health = this.#note(peer, liveness, forMs);
    for (const listener of this.#listeners) listener(peer, health);
  }
}
