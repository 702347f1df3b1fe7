import { InfinitError } from '../base/index.ts';
import { decodeError, Exchange, type FramedStream, frameType, outgoing, StreamLine, type Switchboard } from '../exchange/index.ts';
import { decodeHello, encodeHello, type Hello, type ProcessId } from './hello.ts';
import type { Channel, PeerId } from './transport.ts';
import type { WireConnection } from './wire.ts';

/** One channel of a session: its own connection and the one stream on it. */
export interface Half {
  readonly connection: WireConnection;
  readonly framed: FramedStream;
}

const channels: readonly Channel[] = ['control', 'bulk'];

/** Two connections with a peer, one a channel, that live and die together. */
export class Session {
  readonly peer: PeerId;
  /** Chosen by the dialler. */
  readonly id: string;
  readonly dialler: PeerId;
  readonly exchange: Exchange;
  readonly openedAt = performance.now();
  readonly #halves: Readonly<Record<Channel, Half>>;
  readonly #onBroken: (session: Session, reason: string) => void;
  #remote: Hello | undefined;
  #broken = false;
  #onEnd: (reason: string) => void = () => {};

  constructor(
    id: string,
    dialler: PeerId,
    halves: Readonly<Record<Channel, Half>>,
    board: Switchboard,
    onBroken: (session: Session, reason: string) => void,
  ) {
    this.id = id;
    this.dialler = dialler;
    this.peer = halves.control.connection.peer;
    this.#halves = halves;
    this.#onBroken = onBroken;
    const line = (channel: Channel): StreamLine => new StreamLine(halves[channel].framed.stream, () => this.exchange.drained(channel));
    this.exchange = new Exchange(this.peer, board, { control: line('control'), bulk: line('bulk') }, (reason) => this.end(reason));
    for (const channel of channels) halves[channel].framed.onBroken = (reason) => this.end(reason);
    if (channels.some((channel) => halves[channel].framed.broken)) this.end('the connection was closed');
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** What the peer said of itself. */
  get remote(): Hello | undefined {
    return this.#remote;
  }

  sayHello(process: ProcessId, wallMs: number): void {
    for (const channel of channels) {
      const hello = encodeHello({ channel, session: this.id, process, wallMs });
      this.#halves[channel].framed.send(outgoing(frameType.hello, 0, 0, 0, [hello]));
    }
  }

  /** From now on frames go to the exchange. */
  start(remote: Hello): void {
    this.#remote = remote;
    for (const channel of channels) this.#halves[channel].framed.onFrame = (frame) => this.exchange.receive(channel, frame);
  }

  /**
   * Waits for the peer's hello on both streams. A frame right behind a hello is served at once: to the peer the session is up already.
   * @throws InfinitError what the peer refused with, `wrong-version`, `unavailable`.
   */
  async awaitHello(signal: AbortSignal): Promise<void> {
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(new InfinitError('unavailable', `host ${this.peer} said no hello in time`));
    this.#onEnd = (reason) => reject(new InfinitError('unavailable', `the connection with ${this.peer} broke: ${reason}`));
    signal.addEventListener('abort', onAbort, { once: true });
    if (this.#broken) this.#onEnd('it was closed');
    else if (signal.aborted) onAbort();
    try {
      const [remote] = await Promise.race([Promise.all(channels.map((channel) => this.#helloOn(channel))), ended]);
      this.#remote = remote;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #helloOn(channel: Channel): Promise<Hello> {
    const { framed } = this.#halves[channel];
    return new Promise((resolve, reject) => {
      framed.onFrame = (frame) => {
        try {
          if (frame.type === frameType.error) throw refusalOf(frame.body);
          if (frame.type !== frameType.hello) throw new InfinitError('bad-argument', `host ${this.peer} said no hello`);
          const hello = decodeHello(frame.body);
          framed.onFrame = (next) => this.exchange.receive(channel, next);
          resolve(hello);
        } catch (error) {
          reject(error);
        }
      };
    });
  }

  /** Breaks both connections and fails what is under way. */
  end(reason: string): void {
    if (this.#broken) return;
    this.#broken = true;
    this.exchange.close(reason);
    for (const channel of channels) this.#halves[channel].connection.abort(reason);
    this.#onEnd(reason);
    this.#onBroken(this, reason);
  }
}

/** What the peer refused with. Its versions are told as it sees them: "the peer" is this host then. */
function refusalOf(body: Uint8Array): InfinitError {
  const error = decodeError(body);
  return error.code === 'wrong-version' ? new InfinitError('wrong-version', `it refuses this host, and says: ${error.message}`) : error;
}
