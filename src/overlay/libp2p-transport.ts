import { type Clock, codeOf, InfinitError, type Logger, messageOf, type Random, silentLogger, systemClock, systemRandom } from '../base/index.ts';
import { FramedStream } from '../exchange/index.ts';
import { parseAddress } from './addresses.ts';
import { askForAdmission } from './admission.ts';
import { ConnectedTransport } from './connected-transport.ts';
import { Discoveries } from './discoveries.ts';
import type { Gate } from './gate.ts';
import type { Hello, ProcessId } from './hello.ts';
import type { KeyPair } from './identity/index.ts';
import { peerIdOf } from './identity/index.ts';
import { Reception } from './reception.ts';
import { Redialer } from './redialer.ts';
import { type Half, Session } from './session.ts';
import type { Channel, MeshTransport, PeerId, Target } from './transport.ts';
import { describeFailure, stopping, type Trouble, troubleOf } from './trouble.ts';
import { wrongClock } from './wrong-clock.ts';
import { protocols, type WireConnection, type WireEvents, type WireNode } from './wire.ts';

export interface Libp2pTransportOptions {
  /** The host's key; its peer id follows from it. */
  readonly key: KeyPair;
  /** This run of the daemon. */
  readonly process: ProcessId;
  /** `HOST:PORT`; undefined: do not listen, only dial. */
  readonly listen?: string | undefined;
  readonly gate: Gate;
  /** `native` where absent. */
  readonly tls?: 'native' | 'stock';
  readonly kademlia?: boolean;
  readonly mdns?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly logger?: Logger;
  readonly onTrouble?: (trouble: Trouble) => void;
  /** A member says that this host was expelled: a revocation to be verified. */
  readonly onFarewell?: (peer: PeerId, revocation: string) => void;
  /** Why a peer's process cannot be its latest; undefined: it may be. */
  readonly isPast?: (peer: PeerId, process: ProcessId) => Trouble | undefined;
}

/** From dial to hello, for one address. */
const connectTimeoutMs = 5000;
/** A request that every host answers with nothing: a sign of life. */
const probeKind = 0;
const probeMs = 1500;
/** Two hosts that dial each other at once do so within this time; then the session of the lower id is kept. */
const raceMs = 5000;

const listenErrors: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there',
  EADDRNOTAVAIL: 'this is no address of this machine',
  EACCES: 'this port needs more rights',
};

/** It costs memory that a host alone need not spend. */
export function loadLibp2p(): Promise<typeof import('./libp2p/node.ts')> {
  return import('./libp2p/node.ts');
}

/** Sessions with peers over libp2p connections: TCP, TLS, yamux, two connections a peer. */
export class Libp2pTransport extends ConnectedTransport<Session> implements MeshTransport {
  readonly #options: Libp2pTransportOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  /** Peers to whom this host is saying hello, as the dialler. */
  readonly #greeting = new Set<PeerId>();
  readonly #reception: Reception;
  readonly #redialer: Redialer;
  readonly #discoveries: Discoveries;
  /** Addresses of the targets. */
  #known: ReadonlyMap<PeerId, readonly string[]> = new Map();
  /** Their IP addresses, also as a listener for both versions of IP sees them. */
  #hosts: ReadonlySet<string> = new Set();
  #node: WireNode | undefined;

  constructor(options: Libp2pTransportOptions) {
    super(peerIdOf(options.key.publicKey));
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#logger = options.logger ?? silentLogger;
    this.board.mayAsk = (peer) => options.gate.standing(peer) === 'member';
    this.board.onBug = (error) => this.#logger.error('a message handler failed', { error });
    this.board.handle(probeKind, () => undefined);
    this.#reception = new Reception(
      options.gate,
      this.#logger,
      (halves, hello) => void this.#accept(halves, hello),
      (error, { peer, address }) => this.#trouble({ kind: troubleOf(error), about: peer, message: describeFailure(address, error) }),
      (peer, revocation) => options.onFarewell?.(peer, revocation),
    );
    this.#discoveries = new Discoveries(
      (peer) => this.peers.has(peer),
      (address, peer) => this.#connect(address, peer),
      this.#logger,
    );
    this.#redialer = new Redialer(
      {
        self: this.self,
        isConnected: (peer) => this.peers.has(peer),
        connectedCount: () => this.peers.size,
        connect: (address, peer) => this.#connect(address, peer),
        lookUp: (peer) => this.#wire().lookUp(peer, AbortSignal.timeout(connectTimeoutMs)),
        onFailure: (address, peer, error) => this.#onDialFailure(address, peer, error),
      },
      this.#random,
    );
  }

  /** Loads libp2p. */
  async start(): Promise<void> {
    if (this.#node !== undefined || this.closed) return;
    const { openLibp2pNode } = await loadLibp2p();
    const { key, listen, tls = 'native', kademlia = false, mdns = false } = this.#options;
    try {
      this.#node = await openLibp2pNode({ key, listen, tls, kademlia, mdns }, this.#events());
    } catch (cause) {
      const reason = /EADDRINUSE|EADDRNOTAVAIL|EACCES/.exec(messageOf(cause))?.[0];
      const said = reason === undefined ? messageOf(cause) : `${listenErrors[reason]!} (${reason})`;
      throw new InfinitError('bad-argument', `cannot listen on ${listen ?? 'nothing'}: ${said}`, { cause });
    }
    if (this.closed) await this.#node.close();
  }

  addresses(): readonly string[] {
    return this.#node?.addresses() ?? [];
  }

  setTargets(targets: readonly Target[]): void {
    if (this.closed) return;
    const before = this.#known;
    this.#known = new Map(targets.map(({ peer, addresses }) => [peer, addresses]));
    const hosts = targets.flatMap(({ addresses }) => addresses.flatMap(hostOf));
    this.#hosts = new Set([...hosts, ...hosts.map((host) => `::ffff:${host}`)]);
    this.#redialer.setTargets(targets);
    for (const { peer, addresses } of targets) if (this.peers.has(peer) && before.get(peer)?.join() !== addresses.join()) this.#introduce(peer);
  }

  setSeeds(addresses: readonly string[]): void {
    if (!this.closed) this.#redialer.setSeeds(addresses);
  }

  drop(peer: PeerId, reason: string): void {
    this.peers.get(peer)?.end(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.#redialer.close();
    for (const session of this.peers.values()) session.end('this host is stopping');
    await this.#node?.close();
  }

  #wire(): WireNode {
    if (this.#node === undefined) throw new InfinitError('closed', 'the transport is not started');
    return this.#node;
  }

  #events(): WireEvents {
    const { gate } = this.#options;
    return {
      admits: (peer, direction, address) => !this.closed && this.#reception.admits(peer, direction, address),
      isAddressOfMember: (host) => this.#hosts.has(host),
      isMember: (peer) => gate.standing(peer) === 'member',
      onConnection: (connection) => this.#reception.watch(connection),
      onStream: (protocol, stream, connection) => this.#reception.receive(protocol, stream, connection),
      onDiscovery: (peer, addresses) => this.#discoveries.found(peer, addresses),
      onHandshakeError: (message) => this.#logger.debug('a handshake failed', { message }),
    };
  }

  async #accept(halves: Readonly<Record<Channel, Half>>, hello: Hello): Promise<void> {
    const { peer } = halves.control.connection;
    const twin = await this.#twinOf(peer, hello);
    const refusal = this.closed ? new InfinitError('closed', 'the host is stopping') : (twin ?? this.#pastOf(peer, hello) ?? this.#lostRace(peer));
    if (refusal !== undefined) {
      for (const { framed, connection } of [halves.control, halves.bulk]) framed.refuse(refusal, () => connection.abort(refusal.message));
      return;
    }
    const session = new Session(hello.session, peer, halves, this.board, (broken, reason) => this.#onBroken(broken, reason));
    session.start(hello);
    session.sayHello(this.#options.process, this.#clock.wallMs());
    if (!session.broken) this.#install(session);
  }

  /** A new process of a peer comes while the connection with its old one seems to live: where the old one still answers, there are two. */
  async #twinOf(peer: PeerId, hello: Hello): Promise<InfinitError | undefined> {
    const existing = this.peers.get(peer);
    if (existing === undefined || existing.remote?.process.nonce === hello.process.nonce) return undefined;
    try {
      await existing.exchange.request(probeKind, [], { deadlineMs: probeMs });
    } catch (error) {
      if (codeOf(error) !== 'unsupported') return undefined;
    }
    const message = `two processes run with the identity of host ${peer}: a copied state directory; stop one of them and give it an identity of its own`;
    this.#trouble({ kind: 'duplicate-identity', about: peer, message });
    return new InfinitError('already-exists', message);
  }

  /** A process that is not the latest of its host is not listened to: its ballots may have been used before. */
  #pastOf(peer: PeerId, hello: Hello | undefined): InfinitError | undefined {
    const trouble = hello && this.#options.isPast?.(peer, hello.process);
    if (trouble === undefined) return undefined;
    this.#trouble(trouble);
    return new InfinitError('damaged', trouble.message);
  }

  /** Of two sessions that two hosts opened with each other at once, the one of the lower id is kept. */
  #lostRace(peer: PeerId): InfinitError | undefined {
    const existing = this.peers.get(peer);
    const raced = existing?.dialler === this.self && performance.now() - existing.openedAt < raceMs;
    return this.self < peer && (raced || this.#greeting.has(peer))
      ? new InfinitError('conflict', `host ${this.self} has just connected by itself`)
      : undefined;
  }

  async #connect(address: string, expected: PeerId | undefined): Promise<PeerId> {
    const signal = AbortSignal.timeout(connectTimeoutMs);
    const node = this.#wire();
    if (this.closed) throw new InfinitError('closed', 'the transport is closed');
    if (node.addresses().includes(address)) throw new InfinitError('bad-argument', 'this is the address of this host itself');
    // Asked before the dial: of several members that are asked at once the first to answer ends the joining. A peer that is expected
    // announced itself or is a member already: that address was not given.
    const askedToJoin = expected === undefined && this.#options.gate.isJoining === true;
    const control = await node.dial(address, expected, signal);
    const { peer } = control;
    const connections = [control];
    try {
      if (this.peers.has(peer)) throw new InfinitError('conflict', `host ${peer} is connected already`);
      await askForAdmission(control, this.#options.gate, signal, askedToJoin);
      const bulk = await node.dial(address, peer, signal);
      connections.push(bulk);
      await this.#greet(control, bulk, signal);
      return peer;
    } catch (error) {
      for (const connection of connections) connection.abort(messageOf(error));
      // It is whom we looked for, and connected: the purpose of the dial is met.
      if (this.peers.has(peer)) return peer;
      throw error;
    }
  }

  async #greet(control: WireConnection, bulk: WireConnection, signal: AbortSignal): Promise<void> {
    const { peer } = control;
    const open = async (connection: WireConnection, protocol: string): Promise<Half> => {
      const stream = await connection.openStream(protocol, signal);
      return { connection, framed: new FramedStream(stream) };
    };
    const [controlHalf, bulkHalf] = await Promise.all([open(control, protocols.control), open(bulk, protocols.bulk)]);
    if (this.peers.has(peer) || this.#greeting.has(peer)) throw new InfinitError('conflict', `host ${peer} is being connected already`);
    this.#greeting.add(peer);
    try {
      const id = Buffer.from(this.#random.bytes(8)).toString('hex');
      const session = new Session(id, this.self, { control: controlHalf, bulk: bulkHalf }, this.board, (ended, reason) =>
        this.#onBroken(ended, reason),
      );
      const hello = session.awaitHello(signal);
      session.sayHello(this.#options.process, this.#clock.wallMs());
      await hello;
      // It is told when it dials itself; what is thrown here is this host's own failure to connect.
      if (this.#pastOf(peer, session.remote) !== undefined) session.end('its process is not the latest of its host');
      if (session.broken || this.closed) throw new InfinitError('unavailable', `the connection with ${peer} broke`);
      this.#install(session);
    } finally {
      this.#greeting.delete(peer);
    }
  }

  #install(session: Session): void {
    const { peer, remote } = session;
    this.peers.get(peer)?.end('a newer connection took its place');
    this.peers.set(peer, session);
    const now = this.#clock.wallMs();
    const wrong = wrongClock(peer, (remote?.wallMs ?? now) - now);
    if (wrong !== undefined) this.#trouble(wrong);
    this.#logger.debug('peer connected', { peer });
    this.board.peerUp(peer);
    this.#introduce(peer);
  }

  #introduce(peer: PeerId): void {
    const addresses = this.#known.get(peer);
    if (this.#options.kademlia !== true || addresses === undefined) return;
    this.#wire()
      .introduce(peer, addresses)
      .catch((error: unknown) => this.#logger.debug('a peer was not taken into the look-up table', { peer, reason: messageOf(error) }));
  }

  #onBroken(session: Session, reason: string): void {
    const { peer } = session;
    if (this.peers.get(peer) !== session) return;
    this.peers.delete(peer);
    this.#logger.debug('peer disconnected', { peer, reason });
    this.board.peerDown(peer);
    if (!this.closed) this.#redialer.lost(peer);
  }

  #onDialFailure(address: string, peer: PeerId | undefined, error: unknown): void {
    if (this.closed) return;
    this.#logger.debug('could not connect', { address, peer, reason: messageOf(error) });
    const kind = troubleOf(error);
    // All Docker hosts have the bridge's address, and each announces it with its others: nobody named it.
    if (kind === 'self' && peer !== undefined) return;
    // It is said of this host itself: another process with its identity was there first, or a later one.
    const about = stopping.has(kind) ? this.self : (peer ?? address);
    this.#trouble({ kind, about, message: describeFailure(address, error), ...(peer === undefined ? {} : { by: peer }) });
  }

  #trouble(trouble: Trouble): void {
    this.#options.onTrouble?.(trouble);
  }
}

/** The host of an address that a member tells of itself, which may be anything. */
function hostOf(address: string): string[] {
  try {
    return [parseAddress(address).host];
  } catch {
    return [];
  }
}
