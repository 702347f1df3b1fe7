import type { PeerId, WireStream } from '../exchange/index.ts';

export type { WireStream } from '../exchange/index.ts';

/** An authenticated connection with one peer, whoever provides it. */
export interface WireConnection {
  readonly peer: PeerId;
  /** The other end, `HOST:PORT`. */
  readonly address: string;
  /** This host opened it; false: the peer came by itself. */
  readonly dialled: boolean;
  /** Opens a stream for a protocol. Rejects where the peer does not speak it. */
  openStream(protocol: string, signal: AbortSignal): Promise<WireStream>;
  /** Breaks it at once. */
  abort(reason: string): void;
  onClose(listener: () => void): void;
}

/** A host's attachment to the network. */
export interface WireNode {
  /** Connects and authenticates. @param peer Where it is known who must answer. */
  dial(address: string, peer: PeerId | undefined, signal: AbortSignal): Promise<WireConnection>;
  /** Where this host listens, `HOST:PORT`, one for each of its network interfaces. */
  addresses(): readonly string[];
  /** Addresses that the look-up services know for a peer; empty where there is no such service. */
  lookUp(peer: PeerId, signal: AbortSignal): Promise<readonly string[]>;
  /** Tells the look-up services of a connected member and its addresses. */
  introduce(peer: PeerId, addresses: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** What a node asks and tells while it runs. */
export interface WireEvents {
  /** Whether an authenticated connection with an address, `HOST:PORT`, may stay. Asked before any byte of it is looked at. */
  admits(peer: PeerId, direction: 'inbound' | 'outbound', address: string): boolean;
  /** Whether a member is known to be at this IP address. */
  isAddressOfMember(host: string): boolean;
  /** Whether the peer may use more than the admission protocol. */
  isMember(peer: PeerId): boolean;
  onConnection(connection: WireConnection): void;
  onStream(protocol: string, stream: WireStream, connection: WireConnection): void;
  /** A host that a discovery service found. */
  onDiscovery(peer: PeerId, addresses: readonly string[]): void;
  /** A handshake that failed; for the log. */
  onHandshakeError(message: string): void;
}

/** The streams that hosts open. */
export const protocols = {
  admission: '/infinit/admission/1',
  control: '/infinit/control/1',
  bulk: '/infinit/bulk/1',
  kademlia: '/infinit/kad/1',
} as const;
