import { atTurnEnd, transientMemory } from '../base/index.ts';
import type { Line } from './exchange.ts';
import { headerBytes, type OutgoingFrame, writeHeader } from './frame.ts';
import type { WireStream } from './wire-stream.ts';

/** Bodies up to this size are copied next to their header: cheaper than a chunk of their own. */
const inlineBytes = 4096;
/** What goes to the stream at once, so that it can say that it is full. */
const batchBytes = 512 * 1024;
/** So many places of frames that were sent, and half of all, are given back while others wait. */
const compactAt = 1024;

/** Frames of one turn of the event loop leave in one write, or in several where the stream is full. */
export class StreamLine implements Line {
  readonly #stream: WireStream;
  readonly #onDrained: () => void;
  /** What was taken is undefined, so that its body does not stay while the line is busy. */
  #frames: (OutgoingFrame | undefined)[] = [];
  #next = 0;
  #queuedBytes = 0;
  #scheduled = false;
  #full = false;

  /** @param onDrained Told when a full line has room again. */
  constructor(stream: WireStream, onDrained: () => void) {
    this.#stream = stream;
    this.#onDrained = onDrained;
    stream.onDrain(() => {
      if (!this.#full) return;
      this.#full = false;
      this.#flush();
      if (!this.#full) this.#onDrained();
    });
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  send(frame: OutgoingFrame): void {
    this.#frames.push(frame);
    this.#queuedBytes += headerBytes + frame.bytes;
    if (this.#scheduled || this.#full) return;
    this.#scheduled = true;
    atTurnEnd(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#full && this.#next < this.#frames.length) this.#full = !this.#stream.send(this.#takeBatch());
    if (this.#next < this.#frames.length && (this.#next < compactAt || this.#next * 2 < this.#frames.length)) return;
    this.#frames = this.#frames.slice(this.#next);
    this.#next = 0;
  }

  /** The next frames as chunks: headers and small bodies together in one, large bodies by reference. */
  #takeBatch(): Uint8Array[] {
    const first = this.#next;
    let bytes = 0;
    let copied = 0;
    while (this.#next < this.#frames.length && bytes < batchBytes) {
      const frame = this.#frames[this.#next++]!;
      this.#queuedBytes -= headerBytes + frame.bytes;
      if (frame.dropped) continue;
      bytes += headerBytes + frame.bytes;
      copied += headerBytes;
      for (const part of frame.body) if (part.length <= inlineBytes) copied += part.length;
    }
    const slab = transientMemory(copied);
    const chunks: Uint8Array[] = [];
    let start = 0;
    let end = 0;
    for (let index = first; index < this.#next; index++) {
      const frame = this.#frames[index]!;
      this.#frames[index] = undefined;
      if (frame.dropped) continue;
      frame.left = true;
      end = writeHeader(slab, end, frame);
      for (const part of frame.body) {
        if (part.length <= inlineBytes) {
          slab.set(part, end);
          end += part.length;
          continue;
        }
        if (end > start) chunks.push(slab.subarray(start, end));
        chunks.push(part);
        start = end;
      }
    }
    if (end > start) chunks.push(slab.subarray(start, end));
    return chunks;
  }
}
