import type { Connection, Stream } from '@libp2p/interface';

import { transientMemory } from '../../base/index.ts';
import { TlsStream } from './tls-stream.ts';

/** What is used of yamux's stream and muxer (pinned versions), and of what both stand on. */
interface Flow {
  readonly status: string;
  readonly readStatus: string;
  readonly writeStatus: string;
  readonly readBuffer: { readonly byteLength: number };
  readonly writeBuffer: { readonly byteLength: number };
  writableNeedsDrain: boolean;
}

interface YamuxStream extends Flow {
  readonly streamId: number;
  readonly state: number;
  sendWindowCapacity: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
}

interface YamuxMuxer {
  readonly maConn: unknown;
  readonly decoder: { readonly buffer: { readonly byteLength: number } };
  readonly streams: readonly { onMuxerNeedsDrain(): void }[];
}

/** Yamux's state of a stream whose frames carry no flags. */
export const established = 3;
/** Version and type of a data frame, and no flags. */
const plainData = 0;
const headerBytes = 12;
/** Larger ones are left to the muxer: no more than what the other side is told of at once that it may send. */
const maxBytes = 2 * 1024 * 1024;
/** Up to so many bytes one copy more is cheaper than a header of its own, for which Node gathers both anew. */
const maxJoinedBytes = 16 * 1024 - headerBytes;

/**
 * Plain data frames of the one long-lived stream of a connection, read from and written to the TLS socket itself. Nothing else is said on the wire. Through the
 * muxer and its stream a small message passes five lists of buffers, two events and two queues each way, which is nearly a third of what it costs, and so does each 16 KiB of a large one.
 * Whatever is not the plain case (flags, windows used up, something queued, a header in two chunks) goes the long way, and so does all that follows until nothing of it is left there.
 */
export class ShortCut {
  readonly #stream: YamuxStream;
  readonly #muxer: YamuxMuxer;
  readonly #tls: TlsStream & Flow;
  /** Bytes of a frame that comes the short way which are not here yet. */
  #left = 0;

  private constructor(stream: YamuxStream, muxer: YamuxMuxer, tls: TlsStream & Flow) {
    this.#stream = stream;
    this.#muxer = muxer;
    this.#tls = tls;
  }

  /** undefined: the connection is not one of {@link TlsStream}, or its muxer another. */
  static of(connection: Connection, stream: Stream): ShortCut | undefined {
    const { muxer } = connection as Connection & { readonly muxer?: Partial<YamuxMuxer> };
    const inner = stream as Stream & Partial<YamuxStream>;
    if (!(muxer?.maConn instanceof TlsStream) || muxer.decoder === undefined || typeof inner.sendWindowCapacity !== 'number') return undefined;
    return new ShortCut(inner as YamuxStream, muxer as YamuxMuxer, muxer.maConn as unknown as TlsStream & Flow);
  }

  /** Has the stream's data told to `listener`, where it comes the short way. Lent: the bytes are others' after the call. */
  listen(listener: (chunk: Uint8Array, lent: boolean) => void): void {
    this.#tls.tap = (chunk, lent) => this.#take(chunk, (part) => listener(part, lent));
  }

  /** As `WireStream.send`; undefined: the chunks must go the long way, and nothing was sent. */
  send(chunks: readonly Uint8Array[]): boolean | undefined {
    let bytes = 0;
    for (const chunk of chunks) bytes += chunk.length;
    const stream = this.#stream;
    if (bytes > maxBytes || stream.state !== established || bytes > stream.sendWindowCapacity || !mayWrite(stream) || !mayWrite(this.#tls))
      return undefined;
    stream.sendWindowCapacity -= bytes;
    const { canSendMore } = this.#tls.sendData(bytes > maxJoinedBytes ? [this.#header(bytes), ...chunks] : [this.#joined(bytes, chunks)]);
    if (!canSendMore) {
      this.#tls.writableNeedsDrain = true;
      for (const each of this.#muxer.streams) each.onMuxerNeedsDrain();
    }
    return canSendMore;
  }

  #header(bytes: number, into: Buffer = Buffer.allocUnsafe(headerBytes)): Buffer {
    into.writeUInt32BE(plainData, 0);
    into.writeUInt32BE(this.#stream.streamId, 4);
    into.writeUInt32BE(bytes, 8);
    return into;
  }

  #joined(bytes: number, chunks: readonly Uint8Array[]): Buffer {
    const joined = this.#header(bytes, transientMemory(headerBytes + bytes));
    let at = headerBytes;
    for (const chunk of chunks) {
      joined.set(chunk, at);
      at += chunk.length;
    }
    return joined;
  }

  /** Hands on plain frames from the chunk's beginning on, as far as they have come; returns the rest. */
  #take(chunk: Buffer, listener: (chunk: Uint8Array) => void): Buffer | undefined {
    const stream = this.#stream;
    let at = 0;
    for (;;) {
      const end = Math.min(chunk.length, at + this.#left);
      if (end > at) {
        this.#left -= end - at;
        const part = chunk.subarray(at, end);
        at = end;
        listener(part);
        // Whoever listens may have ended it all.
        if (this.#left === 0 && stream.status === 'open') stream.sendWindowUpdate();
      }
      if (chunk.length - at < headerBytes || chunk.readUInt32BE(at) !== plainData || chunk.readUInt32BE(at + 4) !== stream.streamId) break;
      const length = chunk.readUInt32BE(at + 8);
      if (!this.#mayRead(length)) break;
      stream.recvWindowCapacity -= length;
      this.#left = length;
      at += headerBytes;
    }
    return at === 0 ? chunk : at < chunk.length ? chunk.subarray(at) : undefined;
  }

  #mayRead(bytes: number): boolean {
    const { state, recvWindowCapacity } = this.#stream;
    const nothingBefore = this.#muxer.decoder.buffer.byteLength === 0;
    return nothingBefore && state === established && bytes <= recvWindowCapacity && isReading(this.#stream) && isReading(this.#tls);
  }
}

function mayWrite({ status, writeStatus, writeBuffer, writableNeedsDrain }: Flow): boolean {
  return status === 'open' && writeStatus === 'writable' && !writableNeedsDrain && writeBuffer.byteLength === 0;
}

function isReading({ status, readStatus, readBuffer }: Flow): boolean {
  return status === 'open' && readStatus === 'readable' && readBuffer.byteLength === 0;
}
