import type { Socket } from 'node:net';

import { http, InfinitError } from '../base/index.ts';
import { type Body, Exchange, FramedStream, type Kind, type RequestOptions, StreamLine, Switchboard } from '../exchange/index.ts';
import { upgradeProtocol } from './block-protocol.ts';
import { explainSocketFailure } from './socket-failure.ts';
import { SocketStream } from './socket-stream.ts';

/** A daemon that does not answer a connection for so long is not there, in ms. */
const connectDeadlineMs = 5000;

interface Talk {
  readonly exchange: Exchange;
  readonly socket: Socket;
}

/**
 * One connection with the daemon, over which many requests are under way at once. It is made by the first request, and made again by the
 * first request after it broke: nothing needs to be done when the daemon restarts.
 */
export class Connection {
  readonly #socketPath: string;
  #opening: Promise<Talk> | undefined;
  #talk: Talk | undefined;
  #end: (() => void) | undefined;
  #closed = false;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * Asks the daemon.
   * @throws InfinitError the daemon's own; `unavailable`: it was not asked; `unknown-outcome`: the connection broke or time passed before it
   * answered; `cancelled`: by the signal, and it may have been served.
   */
  async request(kind: Kind, body: Body, options: RequestOptions & { readonly deadlineMs: number }): Promise<Uint8Array> {
    if (this.#talk !== undefined) return this.#ask(this.#talk, kind, body, options);
    const began = performance.now();
    const talk = await this.#inTime(this.#connected(), options);
    return this.#ask(talk, kind, body, { ...options, deadlineMs: Math.max(1, options.deadlineMs - (performance.now() - began)) });
  }

  async #ask(talk: Talk, kind: Kind, body: Body, options: RequestOptions): Promise<Uint8Array> {
    // Only what is under way keeps the program alive.
    if (talk.exchange.inFlight === 0) talk.socket.ref();
    try {
      return await talk.exchange.request(kind, body, options);
    } finally {
      if (talk.exchange.inFlight === 0 && !talk.socket.destroyed) talk.socket.unref();
    }
  }

  /** The connection, where it is made within the time of the call that waits for it; it goes on being made for the others. */
  #inTime(connected: Promise<Talk>, { deadlineMs, signal }: { readonly deadlineMs: number; readonly signal?: AbortSignal }): Promise<Talk> {
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new InfinitError('unavailable', `${this.#socketPath} took no connection within ${Math.round(deadlineMs)} ms`));
      const cancel = (): void => reject(new InfinitError('cancelled', 'the call was cancelled before it was sent'));
      const timer = setTimeout(late, deadlineMs);
      signal?.addEventListener('abort', cancel, { once: true });
      if (signal?.aborted === true) cancel();
      connected.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', cancel);
      });
    });
  }

  /** It was ended by {@link close}, for good. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Ends the connection; what is under way fails, as by a broken one. */
  close(): void {
    this.#closed = true;
    this.#end?.();
  }

  #connected(): Promise<Talk> {
    if (this.#closed) return Promise.reject(new InfinitError('closed', 'this client was closed'));
    this.#opening ??= this.#connect().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  #connect(): Promise<Talk> {
    return new Promise((resolve, reject) => {
      const headers = { connection: 'Upgrade', upgrade: upgradeProtocol };
      // Not one that served a call before, and may be closed meanwhile.
      const call = http().request({ socketPath: this.#socketPath, path: '/v1/frames', headers, agent: false });
      this.#end = () => call.destroy(new InfinitError('closed', 'this client was closed'));
      call.setTimeout(connectDeadlineMs, () => call.destroy(new InfinitError('unavailable', `${this.#socketPath} does not answer`)));
      call.on('error', (cause: NodeJS.ErrnoException) => reject(explainSocketFailure(cause, this.#socketPath)));
      call.on('response', (response) => {
        response.resume();
        if (response.statusCode === 503) reject(new InfinitError('overloaded', `the daemon on ${this.#socketPath} serves no more programs now`));
        else
          reject(new InfinitError('unsupported', `the daemon on ${this.#socketPath} does not speak ${upgradeProtocol}: is it of another version?`));
      });
      call.on('upgrade', (_response, socket, head) => {
        socket.setTimeout(0);
        // What came along with the answer to the upgrade is the first of the stream.
        if (head.length > 0) socket.unshift(head);
        resolve(this.#converse(socket));
      });
      call.end();
    });
  }

  #converse(socket: Socket): Talk {
    const stream = new SocketStream(socket);
    const framed = new FramedStream(stream);
    const line = new StreamLine(stream, () => exchange.drained('control'));
    const exchange = new Exchange('daemon', new Switchboard(), { control: line, bulk: line }, () => stream.abort());
    framed.onFrame = (frame) => exchange.receive('control', frame);
    framed.onBroken = (reason) => {
      this.#talk = this.#opening = this.#end = undefined;
      exchange.close(reason);
    };
    this.#talk = { exchange, socket };
    this.#end = () => stream.abort();
    if (this.#closed) this.#end();
    return this.#talk;
  }
}
