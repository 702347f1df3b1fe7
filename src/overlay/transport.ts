import type { Body, Handler, HandlerOptions, Kind, PeerId, RequestOptions, SendOptions, Traffic } from '../exchange/index.ts';

export { defaultDeadlineMs, maxBodyBytes } from '../exchange/index.ts';
export type { Body, Channel, Handler, HandlerOptions, IncomingCall, Kind, PeerId, RequestOptions, SendOptions, Traffic } from '../exchange/index.ts';

/** The first kind that the layers above the overlay may use. */
export const firstStoreKind = 64;

/**
 * Requests and notifications between hosts that trust each other's identity. Implementations: {@link Libp2pTransport} and
 * {@link MemoryTransport}; test/suites/transport-suite.ts judges both.
 */
export interface Transport {
  /** This host. A request to it is served here, without a wire. */
  readonly self: PeerId;
  /**
   * Asks a peer and waits for its reply. Messages of one tick to one peer leave in one write; those on one channel arrive in order.
   * The reply may be part of a larger buffer.
   * @throws InfinitError the code that the peer's handler threw, or:
   * `unavailable`: the request did not leave this host; nothing happened anywhere.
   * `unknown-outcome`: it left, then the deadline passed or the connection broke; it may or may not be served, now or later.
   * `cancelled`: by `signal`; it may have been served. `overloaded`: a bounded queue here or there is full; it was not served.
   * `unsupported`: the peer does not know the kind. `too-large`: over {@link maxBodyBytes}.
   */
  request(peer: PeerId, kind: Kind, body: Body, options?: RequestOptions): Promise<Uint8Array>;
  /** Tells a peer without waiting for anything. False where it surely did not leave: no connection or a full queue. */
  notify(peer: PeerId, kind: Kind, body: Body, options?: SendOptions): boolean;
  /** Serves a kind from now on. One handler a kind. Returns the way to stop. */
  handle(kind: Kind, handler: Handler, options?: HandlerOptions): () => void;
  /** Tells of a peer that can be asked from now on. Returns the way to stop listening. */
  onPeerUp(listener: (peer: PeerId) => void): () => void;
  /** Tells of a peer whose connection is gone; what was under way to it fails with `unknown-outcome`. Returns the way to stop listening. */
  onPeerDown(listener: (peer: PeerId) => void): () => void;
  /** Tells of what comes from peers, just before it is served. Returns the way to stop listening. */
  onServe(listener: (kind: Kind) => void): () => void;
  /** Peers that can be asked now, without this host itself. */
  connected(): readonly PeerId[];
  isConnected(peer: PeerId): boolean;
  /** Bytes and messages since this transport opened. */
  traffic(): Traffic;
}

/** Someone to stay connected with. */
export interface Target {
  readonly peer: PeerId;
  /** `HOST:PORT`, best first. */
  readonly addresses: readonly string[];
}

/** Messages between this host and a peer since their connection opened. */
export interface Talk {
  readonly sent: number;
  readonly received: number;
}

/** A transport that keeps itself connected: what the overlay drives and the layers above do not see. */
export interface MeshTransport extends Transport, AsyncDisposable {
  /** Begins to listen and dial; before, there is nobody to talk to. @throws InfinitError `bad-argument` for an address that cannot be listened on. */
  start(): Promise<void>;
  /** Where others reach this host, `HOST:PORT`; empty where it does not listen. */
  addresses(): readonly string[];
  /** Whom to stay connected with, redialled for ever with back-off. Replaces the list; whoever is no longer on it is not dropped. */
  setTargets(targets: readonly Target[]): void;
  /** Addresses of hosts whose id is not known yet: dialled until each has answered, and again while no peer at all is connected. */
  setSeeds(addresses: readonly string[]): void;
  /** What was said with a peer; undefined where it is not connected. */
  talk(peer: PeerId): Talk | undefined;
  /** Breaks the connection with a peer, as if it had failed; the redial goes on. */
  drop(peer: PeerId, reason: string): void;
}
