import type { Duplex } from 'node:stream';

import type { WireStream } from '../exchange/index.ts';

/** A socket as frames travel over it. */
export class SocketStream implements WireStream {
  readonly #socket: Duplex;
  #ended = false;
  readonly #onClose: (() => void)[] = [];

  constructor(socket: Duplex) {
    this.#socket = socket;
    // An error is followed by the close event, which is what counts.
    socket.on('error', () => {});
    const end = (): void => {
      if (this.#ended) return;
      this.#ended = true;
      socket.destroy();
      for (const listener of this.#onClose) listener();
    };
    socket.on('end', end);
    socket.on('close', end);
  }

  send(chunks: readonly Uint8Array[]): boolean {
    if (this.#ended) return false;
    let more = true;
    this.#socket.cork();
    for (const chunk of chunks) more = this.#socket.write(chunk);
    this.#socket.uncork();
    return more;
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.#socket.on('data', listener);
  }

  onDrain(listener: () => void): void {
    this.#socket.on('drain', listener);
  }

  onClose(listener: () => void): void {
    if (this.#ended) listener();
    else this.#onClose.push(listener);
  }

  abort(): void {
    this.#socket.destroy();
  }
}
