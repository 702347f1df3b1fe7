import { InfinitError, type Logger, messageOf } from '../base/index.ts';
import { FramedStream, frameType } from '../exchange/index.ts';
import { answerAdmission, sayFarewell } from './admission.ts';
import type { Gate } from './gate.ts';
import { decodeHello, type Hello } from './hello.ts';
import type { Half } from './session.ts';
import type { Channel, PeerId } from './transport.ts';
import { protocols, type WireConnection, type WireStream } from './wire.ts';

/** Connections of hosts that have not been admitted. */
const maxStrangers = 32;
/** And those of them that come from one IP address: an identity costs nothing, an address does. */
const maxStrangersOfHost = 16;
/** How long a stranger may take to show its credential. */
const strangerMs = 5000;
/** How long the two streams of a session may take to say hello, and a member that calls to open them. */
const helloMs = 8000;
/** Connections that one member may have opened: two of its session, two of one that is to take its place, and others that broke unnoticed. */
const maxOfMember = 16;

/** The first stream of a session whose second has not come. */
interface Pending {
  readonly channel: Channel;
  readonly half: Half;
  readonly timer: NodeJS.Timeout;
}

/** Receives the connections and streams that others open, up to the point where both streams of a session have said hello. */
export class Reception {
  readonly #gate: Gate;
  readonly #logger: Logger;
  readonly #onSession: (halves: Readonly<Record<Channel, Half>>, hello: Hello) => void;
  readonly #onFarewell: (peer: PeerId, revocation: string) => void;
  readonly #onBadHello: (error: unknown, connection: WireConnection) => void;
  readonly #pending = new Map<string, Pending>();
  readonly #strangers = new Set<WireConnection>();
  /** Connections that others opened, by who did. */
  readonly #opened = new Map<PeerId, Set<WireConnection>>();
  /** Those on which a session began, or may still. */
  readonly #used = new WeakSet<WireConnection>();

  constructor(
    gate: Gate,
    logger: Logger,
    onSession: (halves: Readonly<Record<Channel, Half>>, hello: Hello) => void,
    onBadHello: (error: unknown, connection: WireConnection) => void,
    onFarewell: (peer: PeerId, revocation: string) => void,
  ) {
    this.#gate = gate;
    this.#logger = logger;
    this.#onSession = onSession;
    this.#onBadHello = onBadHello;
    this.#onFarewell = onFarewell;
  }

  /** Whether an authenticated connection from an address may stay at all. */
  admits(peer: PeerId, direction: 'inbound' | 'outbound', address: string): boolean {
    const standing = this.#gate.standing(peer);
    if (standing === 'member') return direction === 'outbound' || !this.#hasMany(peer);
    if (standing === 'unknown' && direction === 'outbound') return true;
    // Who was expelled may come in to be told so, and is not listened to.
    const mayCome = standing === 'unknown' || this.#gate.farewell?.(peer) !== undefined;
    return mayCome && direction === 'inbound' && this.#hasRoomFor(hostOf(address));
  }

  #hasRoomFor(host: string): boolean {
    const ofHost = [...this.#strangers].filter(({ address }) => hostOf(address) === host);
    return this.#strangers.size < maxStrangers && ofHost.length < maxStrangersOfHost;
  }

  #hasMany(peer: PeerId): boolean {
    return (this.#opened.get(peer)?.size ?? 0) >= maxOfMember;
  }

  /** Gives a stranger a short while to be admitted, and a member to begin a session: what it keeps open for nothing is missing to others. */
  watch(connection: WireConnection): void {
    const isMember = this.#gate.standing(connection.peer) === 'member';
    if (!connection.dialled) {
      if (isMember && this.#hasMany(connection.peer)) return connection.abort('it has many connections already');
      this.#note(connection);
    }
    if (isMember) return this.#awaitSession(connection);
    this.#strangers.add(connection);
    const farewell = this.#gate.standing(connection.peer) === 'refused' ? this.#gate.farewell?.(connection.peer) : undefined;
    if (farewell !== undefined) void sayFarewell(connection, farewell);
    const timer = setTimeout(() => {
      this.#strangers.delete(connection);
      if (this.#gate.standing(connection.peer) === 'member') this.#awaitSession(connection);
      else connection.abort('no credential was shown in time');
    }, strangerMs);
    connection.onClose(() => {
      clearTimeout(timer);
      this.#strangers.delete(connection);
    });
  }

  #note(connection: WireConnection): void {
    const { peer } = connection;
    const opened = this.#opened.get(peer) ?? new Set();
    this.#opened.set(peer, opened.add(connection));
    connection.onClose(() => {
      opened.delete(connection);
      if (opened.size === 0) this.#opened.delete(peer);
    });
  }

  /** Who dials looks after its own connections. */
  #awaitSession(connection: WireConnection): void {
    if (connection.dialled || this.#used.has(connection)) return;
    const timer = setTimeout(() => {
      if (!this.#used.has(connection)) connection.abort('no session was begun in time');
    }, helloMs);
    connection.onClose(() => clearTimeout(timer));
  }

  /** Takes a stream that a peer opened. */
  receive(protocol: string, stream: WireStream, connection: WireConnection): void {
    const { peer, address } = connection;
    // It is being told why; were its stream broken now, it would hang up before it has read that.
    if (this.#gate.standing(peer) === 'refused') return;
    if (protocol === protocols.admission)
      answerAdmission(stream, connection, this.#gate, {
        admitted: () => this.#strangers.delete(connection),
        refused: (reason) => this.#logger.warn('a host was refused', { peer, address, reason }),
        farewell: (revocation) => this.#onFarewell(peer, revocation),
      });
    else if (this.#gate.standing(peer) === 'member') this.#awaitHello(protocol === protocols.control ? 'control' : 'bulk', stream, connection);
    else connection.abort('not a member');
  }

  #awaitHello(channel: Channel, stream: WireStream, connection: WireConnection): void {
    this.#used.add(connection);
    const framed = new FramedStream(stream);
    const timer = setTimeout(() => connection.abort('said no hello in time'), helloMs);
    framed.onBroken = (reason) => {
      clearTimeout(timer);
      connection.abort(reason);
    };
    framed.onFrame = (frame) => {
      framed.onFrame = () => {};
      try {
        if (frame.type !== frameType.hello) throw new InfinitError('bad-argument', 'a hello was expected');
        const hello = decodeHello(frame.body);
        if (hello.channel !== channel) throw new InfinitError('bad-argument', 'the hello is for the other channel');
        this.#pair({ connection, framed }, hello, timer);
      } catch (error) {
        this.#onBadHello(error, connection);
        framed.refuse(error as InfinitError, () => connection.abort(messageOf(error)));
      }
    };
  }

  #pair(half: Half, hello: Hello, timer: NodeJS.Timeout): void {
    const key = `${half.connection.peer}/${hello.session}`;
    const first = this.#pending.get(key);
    if (first === undefined || first.channel === hello.channel) {
      this.#pending.set(key, { channel: hello.channel, half, timer });
      half.connection.onClose(() => {
        if (this.#pending.get(key)?.half === half) this.#pending.delete(key);
      });
      return;
    }
    this.#pending.delete(key);
    clearTimeout(first.timer);
    clearTimeout(timer);
    this.#onSession(hello.channel === 'control' ? { control: half, bulk: first.half } : { control: first.half, bulk: half }, hello);
  }
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}
