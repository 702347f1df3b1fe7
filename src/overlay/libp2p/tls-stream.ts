import type { TLSSocket } from 'node:tls';

import type { MultiaddrConnection } from '@libp2p/interface';
import { AbstractMessageStream, type MessageStreamInit, type SendResult } from '@libp2p/utils';

import { readLent } from './lent-reads.ts';

/** The TCP connection below. */
export interface Underlying extends MultiaddrConnection {
  onTransportClosed(error?: Error): void;
}

/** What libp2p's muxer sees of the TLS socket. */
export class TlsStream extends AbstractMessageStream {
  readonly #socket: TLSSocket;
  #corked = false;
  /** Takes what arrives before the muxer does, and returns what is for the muxer. Lent: the bytes are others' after the call. */
  tap: ((chunk: Buffer, lent: boolean) => Buffer | undefined) | undefined;

  constructor(connection: Underlying, socket: TLSSocket) {
    const init: MessageStreamInit = { log: connection.log, direction: connection.direction, inactivityTimeout: connection.inactivityTimeout };
    super(init);
    this.#socket = socket;
    const early = socket.read() as Buffer | null;
    if (early !== null) this.onData(early);
    if (!readLent(socket, (bytes) => this.#take(bytes, true))) socket.on('data', (chunk: Buffer) => this.#take(chunk, false));
    socket.on('drain', () => this.safeDispatchEvent('drain'));
    socket.on('error', (error) => {
      connection.abort(error);
      this.abort(error);
    });
    socket.on('close', () => {
      connection.onTransportClosed();
      this.onTransportClosed();
    });
    connection.addEventListener('close', () => void socket.destroy());
  }

  #take(chunk: Buffer, lent: boolean): void {
    const rest = this.tap === undefined ? chunk : this.tap(chunk, lent);
    if (rest !== undefined) this.onData(lent ? Buffer.from(rest) : rest);
  }

  /** A single piece leaves at once, several are gathered with what else this tick brings. */
  sendData(data: Iterable<Uint8Array>): SendResult {
    if (!this.#corked && Array.isArray(data) && data.length === 1) {
      const [only] = data as [Uint8Array];
      return { sentBytes: only.byteLength, canSendMore: this.#socket.write(only) };
    }
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    let sentBytes = 0;
    let canSendMore = true;
    for (const chunk of data) {
      sentBytes += chunk.byteLength;
      canSendMore = this.#socket.write(chunk);
    }
    return { sentBytes, canSendMore };
  }

  async close(): Promise<void> {
    this.#socket.destroySoon();
    this.onTransportClosed();
  }

  sendReset(): void {
    this.#socket.destroy();
  }

  sendPause(): void {
    this.#socket.pause();
  }

  sendResume(): void {
    this.#socket.resume();
  }
}
