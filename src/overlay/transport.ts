/** A libp2p peer id in its usual text form (`12D3KooW…`): the hash of a host's public key, and its only name between hosts. */
export type PeerId = string;

/** Control: small messages that must not wait. Bulk: blocks. Each has a connection of its own, so that neither delays the other. */
export type Channel = 'control' | 'bulk';

/** What a message is about, 0–65535. Kinds below {@link firstStoreKind} belong to the overlay; docs/wire-protocol.md lists all. */
export type Kind = number;

/** The first kind that the layers above the overlay may use. */
export const firstStoreKind = 64;

/** A message body: parts are sent one after the other without being joined. Bytes must not change until the call settles. */
export type Body = Uint8Array | readonly Uint8Array[];

export interface SendOptions {
  /** `control` where absent. */
  readonly channel?: Channel;
}

export interface RequestOptions extends SendOptions {
  /** Milliseconds until the request gives up; {@link defaultDeadlineMs} where absent. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
  /** Bulk only: bytes that the reply is likely to have; they count as in flight, so that many fetches do not flood a peer's connection. */
  readonly replyBytes?: number;
}

/** What a handler may know of the request that it serves. */
export interface IncomingCall {
  /** Milliseconds that the caller was ready to wait when it sent the request; 0 for a notification. */
  readonly deadlineMs: number;
  readonly channel: Channel;
  /** Fires when the caller gave up or its connection broke. Made only when asked for. */
  readonly signal: AbortSignal;
}

/**
 * Serves the requests (and notifications, whose reply is ignored) of one kind. `body` may be part of a larger receive buffer: copy small
 * things that you keep. A thrown InfinitError reaches the caller with its code; anything else as `bug`.
 */
export type Handler = (peer: PeerId, body: Uint8Array, call: IncomingCall) => Body | undefined | Promise<Body | undefined>;

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
  handle(kind: Kind, handler: Handler): () => void;
  /** Tells of a peer that can be asked from now on. Returns the way to stop listening. */
  onPeerUp(listener: (peer: PeerId) => void): () => void;
  /** Tells of a peer whose connection is gone; what was under way to it fails with `unknown-outcome`. Returns the way to stop listening. */
  onPeerDown(listener: (peer: PeerId) => void): () => void;
  /** Peers that can be asked now, without this host itself. */
  connected(): readonly PeerId[];
  isConnected(peer: PeerId): boolean;
  /** Bytes and messages since this transport opened. */
  traffic(): Traffic;
}

export interface Traffic {
  readonly sentMessages: number;
  readonly sentBytes: number;
  readonly receivedMessages: number;
  readonly receivedBytes: number;
}

/** Someone to stay connected with. */
export interface Target {
  readonly peer: PeerId;
  /** `HOST:PORT`, best first. */
  readonly addresses: readonly string[];
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
  /** Breaks the connection with a peer, as if it had failed; the redial goes on. */
  drop(peer: PeerId, reason: string): void;
}

/** The largest body of a message: one immutable block of the largest size and what surrounds it. */
export const maxBodyBytes = 5 * 1024 * 1024;
/** Bulk bytes under way to one peer (a larger single message goes alone). More only adds delay: 2 MiB fill the connection. */
export const maxBulkInFlightBytes = 2 * 1024 * 1024;
/** Bulk requests to one peer that wait for their turn. */
export const maxBulkWaiting = 4096;
/** Bytes of such requests. */
export const maxBulkWaitingBytes = 64 * 1024 * 1024;
/** Requests to one peer whose reply has not come. */
export const maxRequestsInFlight = 16_384;
/** Requests of one peer that are served at once; further ones wait. */
export const maxServed: Readonly<Record<Channel, number>> = { control: 1024, bulk: 32 };
/** Requests of one peer that wait to be served; further ones are answered `overloaded`. */
export const maxBacklog: Readonly<Record<Channel, number>> = { control: maxRequestsInFlight, bulk: maxBulkWaiting };
/** Bytes of requests that wait to be served. */
export const maxBacklogBytes = 16 * 1024 * 1024;
/** While more bytes than this wait to leave on a channel, no further request of that peer is begun on it. */
export const highWaterBytes = 8 * 1024 * 1024;
/** A peer that lets more bytes than this pile up (it asks but does not read) is disconnected. */
export const maxLineBytes = 256 * 1024 * 1024;
/** Where a request names no deadline. */
export const defaultDeadlineMs = 5000;
