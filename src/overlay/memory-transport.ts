import { InfinitError, type Random, systemRandom } from '../base/index.ts';
import { Exchange, joined, type Line, type OutgoingFrame, Switchboard } from '../exchange/index.ts';
import { ConnectedTransport } from './connected-transport.ts';
import type { Channel, MeshTransport, PeerId, Target } from './transport.ts';

export interface MemoryNetworkOptions {
  readonly random?: Random;
  /** Milliseconds that a write takes from one host to another; 0 (the next turn of the event loop) where absent. */
  readonly delayMs?: (from: PeerId, to: PeerId) => number;
  /** `full`: every two hosts are connected at once. `targets`: only whom one of them names. `full` where absent. */
  readonly mesh?: 'full' | 'targets';
  /** Pause before a broken connection is tried again; 20 ms where absent. */
  readonly redialMs?: number;
}

/** Many hosts in one process, and the ways to hurt the network between them. Frames between two hosts keep their order. */
export class MemoryNetwork {
  readonly #hosts = new Map<PeerId, MemoryTransport>();
  readonly #random: Random;
  readonly #mesh: 'full' | 'targets';
  readonly #cuts = new Set<string>();
  readonly #frozen = new Map<PeerId, (() => void)[]>();
  #delayMs: (from: PeerId, to: PeerId) => number;
  #loss = 0;
  readonly redialMs: number;

  constructor(options: MemoryNetworkOptions = {}) {
    this.#random = options.random ?? systemRandom;
    this.#delayMs = options.delayMs ?? (() => 0);
    this.#mesh = options.mesh ?? 'full';
    this.redialMs = options.redialMs ?? 20;
  }

  /** A new host. Its address is `memory:PEER`. */
  open(peer: PeerId): MemoryTransport {
    if (this.#hosts.has(peer)) throw new InfinitError('already-exists', `the network has a host ${peer}`);
    const host = new MemoryTransport(peer, this);
    this.#hosts.set(peer, host);
    for (const other of this.#hosts.keys()) this.connect(peer, other);
    return host;
  }

  /** Connects two hosts where both are there, nothing cuts them off and one of them wants it. */
  connect(a: PeerId, b: PeerId): void {
    const [left, right] = [this.#hosts.get(a), this.#hosts.get(b)];
    if (a === b || left === undefined || right === undefined || left.isConnected(b)) return;
    if (this.#mesh === 'targets' && !left.wants(b) && !right.wants(a)) return;
    if (this.#isCut(a, b) || this.#isCut(b, a) || this.#frozen.has(a) || this.#frozen.has(b)) return;
    left.attach(right);
    right.attach(left);
    left.announce(b);
    right.announce(a);
  }

  has(peer: PeerId): boolean {
    return this.#hosts.has(peer);
  }

  /** @param probability Of each frame to vanish: its request ends with `unknown-outcome`. */
  setLoss(probability: number): void {
    this.#loss = probability;
  }

  setDelay(delayMs: (from: PeerId, to: PeerId) => number): void {
    this.#delayMs = delayMs;
  }

  /** From now on nothing gets from one host to the other: one way, silently. Connections seem to live until somebody drops them. */
  cut(from: PeerId, to: PeerId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  /** Cuts every host of one side from every host of the other, both ways. */
  partition(side: readonly PeerId[], otherSide: readonly PeerId[]): void {
    for (const a of side)
      for (const b of otherSide) {
        this.cut(a, b);
        this.cut(b, a);
      }
  }

  /** Ends all cuts; broken connections come back by themselves. */
  heal(): void {
    this.#cuts.clear();
  }

  /** kill -9: every peer sees its connection reset. */
  crash(peer: PeerId): void {
    const host = this.#hosts.get(peer);
    this.#hosts.delete(peer);
    this.#frozen.delete(peer);
    host?.end('the host crashed');
  }

  /** SIGSTOP: what is sent to and by the host stays where it is until {@link thaw}. */
  freeze(peer: PeerId): void {
    if (!this.#frozen.has(peer)) this.#frozen.set(peer, []);
  }

  thaw(peer: PeerId): void {
    const held = this.#frozen.get(peer) ?? [];
    this.#frozen.delete(peer);
    for (const deliver of held) deliver();
  }

  /** Moves one write's frames; used by lines. */
  carry(from: PeerId, to: PeerId, frames: readonly OutgoingFrame[], arrive: (frame: OutgoingFrame) => void, lane: { arrivesAt: number }): void {
    if (this.#isCut(from, to)) return;
    const lucky = this.#loss === 0 ? frames : frames.filter(() => this.#random.unit() >= this.#loss);
    const deliver = (): void => {
      const held = this.#frozen.get(to) ?? this.#frozen.get(from);
      if (held !== undefined) held.push(deliver);
      else if (!this.#isCut(from, to)) for (const frame of lucky) arrive(frame);
    };
    const now = performance.now();
    lane.arrivesAt = Math.max(lane.arrivesAt, now + this.#delayMs(from, to));
    const wait = lane.arrivesAt - now;
    if (wait < 0.5) deliver();
    else setTimeout(deliver, wait);
  }

  #isCut(from: PeerId, to: PeerId): boolean {
    return this.#cuts.size > 0 && this.#cuts.has(`${from}>${to}`);
  }
}

/** One host's end of a {@link MemoryNetwork}. */
export class MemoryTransport extends ConnectedTransport<Connection> implements MeshTransport {
  readonly #network: MemoryNetwork;
  readonly #redialling = new Set<PeerId>();
  #targets = new Set<PeerId>();

  /** Use {@link MemoryNetwork.open}. */
  constructor(self: PeerId, network: MemoryNetwork) {
    super(self);
    this.#network = network;
  }

  addresses(): readonly string[] {
    return [`memory:${this.self}`];
  }

  async start(): Promise<void> {}

  setTargets(targets: readonly Target[]): void {
    this.#targets = new Set(targets.map(({ peer }) => peer));
    for (const peer of this.#targets) this.#network.connect(this.self, peer);
    for (const peer of this.#targets) if (!this.isConnected(peer)) this.#redial(peer);
  }

  setSeeds(addresses: readonly string[]): void {
    for (const address of addresses) {
      const peer = address.replace(/^memory:/, '');
      this.#targets.add(peer);
      this.#network.connect(this.self, peer);
      if (!this.isConnected(peer)) this.#redial(peer);
    }
  }

  drop(peer: PeerId, reason: string): void {
    this.peers.get(peer)?.end(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#network.crash(this.self);
  }

  /** Whether this host named the other as a target. */
  wants(peer: PeerId): boolean {
    return this.#targets.has(peer);
  }

  /** The network's side of a new connection. */
  attach(remote: MemoryTransport): void {
    const connection = new Connection(this.self, remote.self, this.#network, this.board, (reason) => {
      this.#lose(remote.self, connection, reason);
      remote.#lose(this.self, connection.twin, reason);
    });
    const twin = remote.peers.get(this.self);
    if (twin !== undefined) {
      connection.twin = twin;
      twin.twin = connection;
    }
    this.peers.set(remote.self, connection);
  }

  announce(peer: PeerId): void {
    this.board.peerUp(peer);
  }

  /** The network's side of a crash. */
  end(reason: string): void {
    this.closed = true;
    for (const connection of this.peers.values()) connection.end(reason);
  }

  #lose(peer: PeerId, connection: Connection | undefined, reason: string): void {
    if (connection === undefined || this.peers.get(peer) !== connection) return;
    this.peers.delete(peer);
    connection.exchange.close(reason);
    if (!this.closed) this.board.peerDown(peer);
    this.#redial(peer);
  }

  #redial(peer: PeerId): void {
    if (this.#redialling.has(peer)) return;
    this.#redialling.add(peer);
    const timer = setTimeout(() => {
      this.#redialling.delete(peer);
      // A host that is gone for good connects by itself when it opens again.
      if (this.closed || this.isConnected(peer) || !this.#network.has(peer)) return;
      this.#network.connect(this.self, peer);
      if (!this.isConnected(peer) && (this.#targets.size === 0 || this.#targets.has(peer))) this.#redial(peer);
    }, this.#network.redialMs);
    timer.unref();
  }
}

class Connection {
  readonly exchange: Exchange;
  /** The other host's end. */
  twin: Connection | undefined;
  readonly end: (reason: string) => void;

  constructor(self: PeerId, peer: PeerId, network: MemoryNetwork, board: Switchboard, end: (reason: string) => void) {
    const arrive = (channel: Channel, frame: OutgoingFrame): void => {
      // The bytes are copied, as a socket would: neither side can change what the other holds.
      const body = frame.body.length === 1 ? Buffer.from(joined(frame.body)) : joined(frame.body);
      this.twin?.exchange.receive(channel, { type: frame.type, kind: frame.kind, id: frame.id, deadlineMs: frame.deadlineMs, body });
    };
    const line = (channel: Channel): Line =>
      new MemoryLine((frames, lane) => network.carry(self, peer, frames, (frame) => arrive(channel, frame), lane));
    this.exchange = new Exchange(peer, board, { control: line('control'), bulk: line('bulk') }, end);
    this.end = end;
  }
}

/** Frames of one turn of the event loop go together. */
class MemoryLine implements Line {
  readonly queuedBytes = 0;
  readonly #carry: (frames: readonly OutgoingFrame[], lane: { arrivesAt: number }) => void;
  readonly #lane = { arrivesAt: 0 };
  #frames: OutgoingFrame[] = [];

  constructor(carry: (frames: readonly OutgoingFrame[], lane: { arrivesAt: number }) => void) {
    this.#carry = carry;
  }

  send(frame: OutgoingFrame): void {
    if (this.#frames.push(frame) === 1) setImmediate(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#frames.filter((frame) => !frame.dropped);
    this.#frames = [];
    for (const frame of frames) frame.left = true;
    this.#carry(frames, this.#lane);
  }
}
