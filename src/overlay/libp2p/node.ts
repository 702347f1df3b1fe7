import { yamux } from '@chainsafe/libp2p-yamux';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import type { Connection, Libp2p, MultiaddrConnection, PeerId as Libp2pPeerId, PeerInfo, Stream } from '@libp2p/interface';
import type { KadDHT } from '@libp2p/kad-dht';
import type { MulticastDNSComponents } from '@libp2p/mdns';
import { peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type ServiceFactoryMap } from 'libp2p';

import { InfinitError } from '../../base/index.ts';
import { type Endpoint, formatAddress, parseAddress, reachableAddresses } from '../addresses.ts';
import { HostNames } from '../host-names.ts';
import type { KeyPair } from '../identity/index.ts';
import type { PeerId } from '../transport.ts';
import { protocols, type WireConnection, type WireEvents, type WireNode, type WireStream } from '../wire.ts';
import { boundMuxer } from './bound-muxer.ts';
import { Callers } from './callers.ts';
import { MetStrangers } from './met-strangers.ts';
import { nativeTls } from './native-tls.ts';
import { established, ShortCut } from './short-cut.ts';
import { stockTls } from './stock-tls.ts';

export interface Libp2pNodeOptions {
  readonly key: KeyPair;
  /** `HOST:PORT`; port 0 takes a free one. Undefined: only dial. */
  readonly listen: string | undefined;
  /** `native`: TLS on Node's own socket; `stock`: libp2p's. Both say the same on the wire. */
  readonly tls: 'native' | 'stock';
  /** Keep a Kademlia table of peers' addresses. */
  readonly kademlia: boolean;
  /** Find hosts by multicast on the local network. */
  readonly mdns: boolean;
}

/** Two connections with each of 300 hosts, and twice that while they are being replaced. */
const maxConnections = 1200;
/** Connections that have not shown who they are: twice what {@link Callers} leave to those that no member is known by. */
const maxPendingConnections = 512;
/** Handshakes a second from one address: behind one address there may be a whole test cluster. */
const maxInboundPerSecond = 200;
const handshakeTimeoutMs = 5000;
/** What is said to a caller that has not shown who it is, in calls of send: a handshake takes some ten at most. */
const maxSaid = 64;
/** How long the name of the address to listen on may take to be resolved. */
const listenNameMs = 10_000;
/** A chunk of the muxer: small enough that control frames of the muxer get through, large enough to cost little. */
const maxMuxerChunkBytes = 64 * 1024;

/** Starts libp2p: TCP, TLS, yamux, and as options Kademlia and mDNS. The one place that knows its interface. */
export async function openLibp2pNode(options: Libp2pNodeOptions, events: WireEvents): Promise<WireNode> {
  const endpoint = options.listen === undefined ? undefined : parseAddress(options.listen);
  const names = new HostNames();
  const callers = new Callers((host) => events.isAddressOfMember(host));
  let found = (_host: PeerInfo): void => {};
  const encrypter = options.tls === 'native' ? nativeTls((message) => events.onHandshakeError(message)) : stockTls();
  const libp2p = await createLibp2p({
    privateKey: privateKeyFromRaw(Buffer.concat([options.key.seed, options.key.publicKey])),
    nodeInfo: { name: 'infinit', version: '1', userAgent: 'infinit/1' },
    addresses: {
      listen:
        endpoint === undefined ? [] : [toMultiaddr(await names.resolve(endpoint.host, AbortSignal.timeout(listenNameMs)), endpoint.port).toString()],
    },
    transports: [
      tcp({
        // Liveness is the failure detector's; an idle bulk connection is a healthy one.
        inboundSocketInactivityTimeout: 0,
        outboundSocketInactivityTimeout: 0,
        dialOpts: { noDelay: true, keepAlive: true },
        listenOpts: { noDelay: true, keepAlive: true },
      }),
    ],
    connectionEncrypters: [encrypter],
    streamMuxers: [yamux({ maxMessageSize: maxMuxerChunkBytes })],
    connectionManager: {
      maxConnections,
      maxIncomingPendingConnections: maxPendingConnections,
      inboundConnectionThreshold: maxInboundPerSecond,
      inboundUpgradeTimeout: handshakeTimeoutMs,
      // Whom to redial is for the roster to say.
      reconnectRetries: 0,
    },
    connectionMonitor: { enabled: false },
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyInboundConnection: (connection: MultiaddrConnection) => !answers(callers, connection),
      denyInboundEncryptedConnection: (peer: Libp2pPeerId, { remoteAddr }: MultiaddrConnection) =>
        !events.admits(peer.toString(), 'inbound', addressOf(remoteAddr)),
      denyOutboundEncryptedConnection: (peer: Libp2pPeerId, { remoteAddr }: MultiaddrConnection) =>
        !events.admits(peer.toString(), 'outbound', addressOf(remoteAddr)),
    },
    services: await servicesFor(options, (host) => found(host)),
  });
  const strangers = new MetStrangers(libp2p, (peer) => events.isMember(peer));
  found = ({ id, multiaddrs }) => {
    if (id.equals(libp2p.peerId)) return;
    strangers.met(id);
    events.onDiscovery(id.toString(), multiaddrs.flatMap(toAddress));
  };
  return new Libp2pNode(libp2p, endpoint?.host, names, events).attach(callers, strangers);
}

/** Whether whoever opened the connection is waited for. */
function answers(callers: Callers, connection: MultiaddrConnection): boolean {
  const from = endpointOf(connection.remoteAddr);
  if (from === undefined) return true;
  connection.addEventListener('close', () => callers.ended(from), { once: true });
  boundGreeting(connection, () => callers.isCalling(from));
  return callers.began(from);
}

/** Whoever asks for one protocol after the other that there is not would be answered for as long as it likes, and nobody else meanwhile: no timer comes between these answers. */
function boundGreeting(connection: MultiaddrConnection, isCalling: () => boolean): void {
  const send = connection.send.bind(connection);
  let said = 0;
  connection.send = (data) => {
    if (!isCalling()) connection.send = send;
    else if (++said > maxSaid) {
      const error = new InfinitError('denied', 'asks for one protocol after the other');
      connection.abort(error);
      throw error;
    }
    return send(data);
  };
}

/** Loaded only where they are wanted: each costs memory. */
async function servicesFor({ kademlia, mdns }: Libp2pNodeOptions, onFound: (host: PeerInfo) => void): Promise<ServiceFactoryMap> {
  const [lookUp, local] = await Promise.all([kademlia ? import('./kademlia.ts') : undefined, mdns ? import('./multicast.ts') : undefined]);
  return {
    ...lookUp?.kademliaServices(),
    ...(local === undefined ? {} : { multicast: (components: unknown) => local.multicast(components as MulticastDNSComponents, onFound) }),
  };
}

class Libp2pNode implements WireNode {
  readonly #libp2p: Libp2p;
  readonly #listenHost: string | undefined;
  readonly #names: HostNames;
  readonly #events: WireEvents;
  readonly #connections = new WeakMap<Connection, WireConnection>();
  /** The last dial to each address and peer. */
  readonly #dials = new Map<string, Promise<Connection>>();

  constructor(libp2p: Libp2p, listenHost: string | undefined, names: HostNames, events: WireEvents) {
    this.#libp2p = libp2p;
    this.#listenHost = listenHost;
    this.#names = names;
    this.#events = events;
  }

  async attach(callers: Callers, strangers: MetStrangers): Promise<this> {
    const events = this.#events;
    this.#libp2p.addEventListener('connection:open', ({ detail }) => {
      boundMuxer(detail, () => events.isMember(detail.remotePeer.toString()));
      strangers.met(detail.remotePeer);
      const from = endpointOf(detail.remoteAddr);
      if (from !== undefined) callers.ended(from);
      events.onConnection(this.#wrap(detail));
    });
    for (const protocol of [protocols.admission, protocols.control, protocols.bulk]) {
      await this.#libp2p.handle(
        protocol,
        (stream, connection) => events.onStream(protocol, new Libp2pStream(stream, connection), this.#wrap(connection)),
        {
          maxInboundStreams: 1,
          maxOutboundStreams: 1,
        },
      );
    }
    // The services of libp2p are for members too: whoever has not been admitted may only ask for admission.
    for (const protocol of this.#libp2p.getProtocols()) {
      if (protocol.startsWith('/infinit/') && protocol !== protocols.kademlia) continue;
      this.#libp2p.use(protocol, (stream, connection, next) => {
        if (events.isMember(connection.remotePeer.toString())) return next(stream, connection);
        throw new InfinitError('denied', 'not a member');
      });
    }
    return this;
  }

  async dial(address: string, peer: PeerId | undefined, signal: AbortSignal): Promise<WireConnection> {
    const { host, port } = parseAddress(address);
    const plain = toMultiaddr(await this.#names.resolve(host, signal), port);
    const target = peer === undefined ? plain : plain.encapsulate(`/p2p/${peer}`);
    // libp2p gives two dials at once to one address or peer the same connection, whatever they ask for: so they take turns.
    const keys = [plain.toString(), ...(peer === undefined ? [] : [peer])];
    const before = Promise.allSettled(keys.flatMap((key) => this.#dials.get(key) ?? []));
    const dial = before.then(() => this.#libp2p.dial(target, { force: true, signal }));
    for (const key of keys) this.#dials.set(key, dial);
    try {
      return this.#wrap(await dial);
    } finally {
      for (const key of keys) if (this.#dials.get(key) === dial) this.#dials.delete(key);
    }
  }

  addresses(): readonly string[] {
    if (this.#listenHost === undefined) return [];
    const bound = this.#libp2p.getMultiaddrs().flatMap(toAddress)[0];
    return bound === undefined ? [] : reachableAddresses({ host: this.#listenHost, port: parseAddress(bound).port });
  }

  async lookUp(peer: PeerId, signal: AbortSignal): Promise<readonly string[]> {
    const kademlia = (this.#libp2p.services as { readonly kademlia?: KadDHT }).kademlia;
    if (kademlia === undefined) return [];
    const { multiaddrs } = await this.#libp2p.peerRouting.findPeer(peerIdFromString(peer), { signal });
    return multiaddrs.flatMap(toAddress);
  }

  async introduce(peer: PeerId, addresses: readonly string[]): Promise<void> {
    const { kademlia } = this.#libp2p.services as {
      readonly kademlia?: KadDHT & { onPeerConnect(peer: PeerInfo & { protocols: string[] }): Promise<void> };
    };
    if (kademlia === undefined || addresses.length === 0) return;
    const id = peerIdFromString(peer);
    const multiaddrs = addresses.map((address) => toMultiaddr(parseAddress(address).host, parseAddress(address).port));
    // The roster says what libp2p would have to ask the peer for.
    await this.#libp2p.peerStore.patch(id, { multiaddrs, protocols: [protocols.kademlia] });
    await kademlia.onPeerConnect({ id, multiaddrs, protocols: [protocols.kademlia] });
  }

  async close(): Promise<void> {
    for (const connection of this.#libp2p.getConnections()) this.#wrap(connection).abort('the host is stopping');
    await this.#libp2p.stop();
  }

  #wrap(connection: Connection): WireConnection {
    let wrapped = this.#connections.get(connection);
    if (wrapped === undefined) {
      wrapped = new Libp2pConnection(connection);
      this.#connections.set(connection, wrapped);
    }
    return wrapped;
  }
}

class Libp2pConnection implements WireConnection {
  readonly peer: PeerId;
  readonly address: string;
  readonly dialled: boolean;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.peer = connection.remotePeer.toString();
    this.address = addressOf(connection.remoteAddr);
    this.dialled = connection.direction === 'outbound';
  }

  async openStream(protocol: string, signal: AbortSignal): Promise<WireStream> {
    return new Libp2pStream(await this.#connection.newStream(protocol, { signal }), this.#connection);
  }

  abort(reason: string): void {
    try {
      this.#connection.abort(new Error(reason));
    } catch {
      // The muxer cannot say goodbye on a connection that the other side has closed already.
    }
  }

  onClose(listener: () => void): void {
    if (this.#connection.status === 'open') this.#connection.addEventListener('close', listener, { once: true });
    else listener();
  }
}

class Libp2pStream implements WireStream {
  readonly #stream: Stream;
  readonly #shortCut: ShortCut | undefined;

  constructor(stream: Stream, connection: Connection) {
    this.#stream = stream;
    widen(stream);
    this.#shortCut = ShortCut.of(connection, stream);
  }

  send(chunks: readonly Uint8Array[]): boolean {
    let more = true;
    try {
      const sent = this.#shortCut?.send(chunks);
      if (sent !== undefined) return sent;
      for (const chunk of chunks) more = this.#stream.send(chunk);
    } catch {
      return false; // It broke in this very tick; its close event says so.
    }
    return more;
  }

  onData(listener: (chunk: Uint8Array, lent?: boolean) => void): void {
    this.#shortCut?.listen(listener);
    this.#stream.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) listener(data);
      else for (const chunk of data) listener(chunk);
    });
  }

  onDrain(listener: () => void): void {
    this.#stream.addEventListener('drain', listener);
  }

  onClose(listener: () => void): void {
    let told = false;
    const once = (): void => {
      if (told) return;
      told = true;
      listener();
    };
    if (this.#stream.status !== 'open') return once();
    this.#stream.addEventListener('close', once);
    this.#stream.addEventListener('remoteCloseWrite', once);
  }

  abort(reason: string): void {
    try {
      this.#stream.abort(new Error(reason));
    } catch {
      // its connection is gone already
    }
  }
}

/** Lets the peer send this much before it must wait for a window update. Yamux begins with 256 KiB and grows by round trips it measures in whole ms. */
const streamWindowBytes = 4 * 1024 * 1024;

/**
 * And tells it only once half of that is used up, as other implementations of yamux do: this one would say so after every message, which made
 * each small request four writes on the network in place of two.
 */
function widen(stream: Stream): void {
  const inner = stream as Stream & { state?: number; recvWindow?: number; recvWindowCapacity?: number; sendWindowUpdate?(): void };
  if (typeof inner.recvWindow !== 'number' || typeof inner.recvWindowCapacity !== 'number' || inner.sendWindowUpdate === undefined) return;
  const update = inner.sendWindowUpdate.bind(inner);
  inner.sendWindowUpdate = () => {
    if (inner.state !== established || inner.recvWindowCapacity! <= inner.recvWindow! / 2) update();
  };
  inner.recvWindow = streamWindowBytes;
  inner.sendWindowUpdate();
}

function toMultiaddr(host: string, port: number): Multiaddr {
  return multiaddr(`/${host.includes(':') ? 'ip6' : /^[\d.]+$/.test(host) ? 'ip4' : 'dns'}/${host}/tcp/${port}`);
}

function endpointOf(address: Multiaddr): Endpoint | undefined {
  return toAddress(address).map(parseAddress)[0];
}

/** For people too, where it is no address of TCP. */
function addressOf(address: Multiaddr): string {
  return toAddress(address)[0] ?? address.toString();
}

function toAddress(address: Multiaddr): string[] {
  const match = /^\/(?:ip4|ip6|dns|dns4|dns6)\/(?<host>[^/]+)\/tcp\/(?<port>\d+)/.exec(address.toString());
  return match === null ? [] : [formatAddress({ host: match.groups!['host']!, port: Number(match.groups!['port']) })];
}
