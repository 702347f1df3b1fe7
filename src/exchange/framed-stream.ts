import { InfinitError, messageOf } from '../base/index.ts';
import {
  decodeError,
  encodeError,
  FrameDecoder,
  frameType,
  headerBytes,
  type IncomingFrame,
  outgoing,
  type OutgoingFrame,
  writeHeader,
} from './frame.ts';
import { maxBodyBytes } from './limits.ts';
import type { WireStream } from './wire-stream.ts';

/** How long a peer that was refused has to read why. */
const lastWordMs = 200;

/** A stream cut into frames, whose receiver may change as the conversation goes on. */
export class FramedStream {
  readonly stream: WireStream;
  /** Takes the next frames. */
  onFrame: (frame: IncomingFrame) => void = () => {};
  /** Told once, when the stream ended or the peer sent what is no frame. */
  onBroken: (reason: string) => void = () => {};
  #broken = false;

  constructor(stream: WireStream, maxBody = maxBodyBytes) {
    this.stream = stream;
    const decoder = new FrameDecoder((frame) => this.onFrame(frame), maxBody);
    stream.onData((chunk, lent) => {
      if (this.#broken) return;
      try {
        decoder.push(chunk, lent);
      } catch (error) {
        this.#break(messageOf(error));
        stream.abort(messageOf(error));
      }
    });
    stream.onClose(() => this.#break('the connection was closed'));
  }

  get broken(): boolean {
    return this.#broken;
  }

  #break(reason: string): void {
    if (this.#broken) return;
    this.#broken = true;
    this.onBroken(reason);
  }

  /** Sends one frame at once: for the few that precede a session. */
  send(frame: OutgoingFrame): void {
    const header = Buffer.alloc(headerBytes);
    writeHeader(header, 0, frame);
    this.stream.send([Buffer.concat([header, ...frame.body])]);
  }

  /** Tells the peer why it is refused; `then` is called when it had time to read it. */
  refuse(error: InfinitError, then: () => void): void {
    this.onFrame = () => {};
    this.send(outgoing(frameType.error, 0, 0, 0, [encodeError(error.code, error.message)]));
    setTimeout(then, lastWordMs);
  }

  /** The next frame, which must have the given type. An error frame rejects with its error. The bytes are copied. */
  next(type: number, signal: AbortSignal): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const onAbort = (): void => reject(new InfinitError('unavailable', 'the peer did not answer in time'));
    signal.addEventListener('abort', onAbort, { once: true });
    this.onBroken = (reason) => reject(new InfinitError('unavailable', `the peer did not answer: ${reason}`));
    this.onFrame = (frame) => {
      this.onFrame = () => {};
      if (frame.type === type) resolve(Uint8Array.from(frame.body));
      else
        reject(
          frame.type === frameType.error
            ? decodeError(frame.body)
            : new InfinitError('bad-argument', `the peer sent a frame of type ${frame.type} out of turn`),
        );
    };
    if (this.#broken) this.onBroken('the connection was closed');
    if (signal.aborted) onAbort();
    return promise.finally(() => signal.removeEventListener('abort', onAbort));
  }
}
