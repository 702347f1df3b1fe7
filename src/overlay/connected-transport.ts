import { InfinitError } from '../base/index.ts';
import { type Exchange, Switchboard } from '../exchange/index.ts';
import {
  type Body,
  defaultDeadlineMs,
  type Handler,
  type HandlerOptions,
  type Kind,
  type PeerId,
  type RequestOptions,
  type SendOptions,
  type Talk,
  type Traffic,
  type Transport,
} from './transport.ts';

/** What all transports have in common: how requests reach peers that are connected. How they come to be connected is their own. */
export abstract class ConnectedTransport<Connection extends { readonly exchange: Exchange }> implements Transport {
  readonly self: PeerId;
  protected readonly board = new Switchboard();
  protected readonly peers = new Map<PeerId, Connection>();
  protected closed = false;

  constructor(self: PeerId) {
    this.self = self;
  }

  async request(peer: PeerId, kind: Kind, body: Body, options: RequestOptions = {}): Promise<Uint8Array> {
    if (this.closed) throw new InfinitError('closed', 'the transport is closed');
    if (peer === this.self) return this.board.serveSelf(peer, kind, body, options.deadlineMs ?? defaultDeadlineMs, options.signal);
    const connection = this.peers.get(peer);
    if (connection === undefined) throw new InfinitError('unavailable', `no connection with ${peer}`);
    return connection.exchange.request(kind, body, options);
  }

  notify(peer: PeerId, kind: Kind, body: Body, options: SendOptions = {}): boolean {
    return this.peers.get(peer)?.exchange.notify(kind, body, options.channel ?? 'control') ?? false;
  }

  handle(kind: Kind, handler: Handler, options?: HandlerOptions): () => void {
    return this.board.handle(kind, handler, options);
  }

  onPeerUp(listener: (peer: PeerId) => void): () => void {
    return this.board.onPeerUp(listener);
  }

  onPeerDown(listener: (peer: PeerId) => void): () => void {
    return this.board.onPeerDown(listener);
  }

  onServe(listener: (kind: Kind) => void): () => void {
    return this.board.onServe(listener);
  }

  connected(): readonly PeerId[] {
    return [...this.peers.keys()];
  }

  isConnected(peer: PeerId): boolean {
    return this.peers.has(peer);
  }

  traffic(): Traffic {
    return { ...this.board.traffic };
  }

  talk(peer: PeerId): Talk | undefined {
    return this.peers.get(peer)?.exchange.talk;
  }

  abstract [Symbol.asyncDispose](): Promise<void>;
}
