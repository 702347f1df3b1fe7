import { type ErrorCode, errorCodes, InfinitError, transientMemory } from '../base/index.ts';
import { maxBodyBytes } from './limits.ts';
import { messageBuffers } from './buffer-pool.ts';

/**
 * A frame on the wire, little-endian (docs/wire-protocol.md):
 *
 * ```
 *  0  u32  bytes that follow this field
 *  4  u8   type                      8  u32  request id
 *  5  u8   header length H (≥ 16)   12  u32  request: milliseconds the caller waits; otherwise 0
 *  6  u16  kind                     16  fields of later minor versions, skipped
 *  H  body
 * ```
 */
export const frameType = { hello: 0, request: 1, reply: 2, error: 3, cancel: 4, notify: 5 } as const;
export type FrameType = (typeof frameType)[keyof typeof frameType];

/** The header that this version writes. */
export const headerBytes = 16;
const maxHeaderBytes = 255;
const lengthBytes = 4;

/** A frame on its way out. */
export interface OutgoingFrame {
  readonly type: FrameType;
  readonly kind: number;
  readonly id: number;
  readonly deadlineMs: number;
  readonly body: readonly Uint8Array[];
  /** Bytes of the body. */
  readonly bytes: number;
  /** Set by the line when the frame was handed to the connection: from then on its effect is not known until an answer comes. */
  left: boolean;
  /** Set by the sender to take back a frame that has not left. */
  dropped: boolean;
}

/** A frame that arrived. `type` may be one of a later minor version. */
export interface IncomingFrame {
  readonly type: number;
  readonly kind: number;
  readonly id: number;
  readonly deadlineMs: number;
  readonly body: Uint8Array;
  /** A buffer of {@link messageBuffers} that holds the frame alone; undefined where it lies in another one. */
  readonly own?: Buffer | undefined;
}

export function outgoing(type: FrameType, kind: number, id: number, deadlineMs: number, body: readonly Uint8Array[]): OutgoingFrame {
  let bytes = 0;
  for (const part of body) bytes += part.length;
  return { type, kind, id, deadlineMs, body, bytes, left: false, dropped: false };
}

/** Writes a frame's header (everything but the body) and returns the offset behind it. */
export function writeHeader(into: Buffer, offset: number, frame: OutgoingFrame): number {
  into.writeUInt32LE(headerBytes - lengthBytes + frame.bytes, offset);
  into[offset + 4] = frame.type;
  into[offset + 5] = headerBytes;
  into.writeUInt16LE(frame.kind, offset + 6);
  into.writeUInt32LE(frame.id, offset + 8);
  into.writeUInt32LE(frame.deadlineMs, offset + 12);
  return offset + headerBytes;
}

/**
 * Cuts a byte stream into frames. A frame that lies within one chunk is handed on by reference, others are gathered into a buffer of
 * their exact size, copied once. A length that no honest peer sends is an error at once: nothing is allocated for it.
 */
export class FrameDecoder {
  readonly #maxBytes: number;
  readonly #onFrame: (frame: IncomingFrame) => void;
  /** The frame being gathered, from its first byte; its first four bytes tell the size. */
  #partial: Buffer | undefined;
  #filled = 0;
  readonly #lengthField = Buffer.alloc(lengthBytes);

  /** @param maxBody The largest body that is let in. */
  constructor(onFrame: (frame: IncomingFrame) => void, maxBody = maxBodyBytes) {
    this.#onFrame = onFrame;
    this.#maxBytes = maxHeaderBytes + maxBody;
  }

  /**
   * Takes the next bytes. Lent: they are others' afterwards, so frames that lie within them are copied.
   * @throws InfinitError `bad-argument` for what is no frame; the stream cannot go on then.
   */
  push(chunk: Uint8Array, lent = false): void {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    let isLent = lent;
    while (at < bytes.length) {
      if (this.#filled === 0 && bytes.length - at >= lengthBytes) {
        const size = this.#sizeOf(bytes, at);
        if (bytes.length - at >= size) {
          if (isLent) {
            const own = transientMemory(bytes.length - at);
            bytes.copy(own, 0, at);
            bytes = own;
            at = 0;
            isLent = false;
          }
          this.#emit(bytes, at, size);
          at += size;
          continue;
        }
      }
      at += this.#gather(bytes, at);
    }
  }

  #gather(bytes: Buffer, at: number): number {
    if (this.#filled < lengthBytes) {
      const taken = bytes.copy(this.#lengthField, this.#filled, at, at + lengthBytes - this.#filled);
      this.#filled += taken;
      if (this.#filled === lengthBytes) {
        this.#partial = messageBuffers.take(this.#sizeOf(this.#lengthField, 0));
        this.#lengthField.copy(this.#partial);
      }
      return taken;
    }
    const partial = this.#partial!;
    const taken = bytes.copy(partial, this.#filled, at);
    this.#filled += taken;
    if (this.#filled === partial.length) {
      this.#partial = undefined;
      this.#filled = 0;
      this.#emit(partial, 0, partial.length, partial);
    }
    return taken;
  }

  #sizeOf(bytes: Buffer, at: number): number {
    const size = lengthBytes + bytes.readUInt32LE(at);
    if (size < headerBytes || size > this.#maxBytes) throw new InfinitError('bad-argument', `a peer sent a frame of ${size} bytes`);
    return size;
  }

  #emit(bytes: Buffer, at: number, size: number, own?: Buffer): void {
    const header = bytes[at + 5]!;
    if (header < headerBytes || header > size) throw new InfinitError('bad-argument', `a peer sent a frame with a header of ${header} bytes`);
    this.#onFrame({
      type: bytes[at + 4]!,
      kind: bytes.readUInt16LE(at + 6),
      id: bytes.readUInt32LE(at + 8),
      deadlineMs: bytes.readUInt32LE(at + 12),
      body: bytes.subarray(at + header, at + size),
      own,
    });
  }
}

/** Characters of an error message that cross the wire. */
const maxMessageLength = 1024;

/** The body of an error frame: the code, a NUL, the message. */
export function encodeError(code: ErrorCode, message: string): Uint8Array {
  return Buffer.from(`${code}\0${message.slice(0, maxMessageLength)}`);
}

/** Reads {@link encodeError}. A code of a later version says nothing that this one could rely on: `unknown-outcome`. */
export function decodeError(body: Uint8Array): InfinitError {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8', 0, 4 * maxMessageLength);
  const end = text.indexOf('\0');
  const code = text.slice(0, Math.max(end, 0));
  if (Object.hasOwn(errorCodes, code)) return new InfinitError(code as ErrorCode, text.slice(end + 1));
  return new InfinitError('unknown-outcome', `the peer failed with a code that this version does not know: ${text.slice(0, 100)}`);
}
