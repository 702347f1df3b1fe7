/** Bytes of one buffer: a block of the usual size with everything around it. */
const bufferBytes = 1024 * 1024 + 4096;
/** Smaller ones are not worth keeping. */
const minBytes = 256 * 1024;
/** Buffers kept for reuse. */
const maxKept = 16;
/** A pool that nobody used for so long lets its buffers go, in ms. */
const idleMs = 5000;

/**
 * Buffers for large messages, used again and again: a new one for each makes the garbage collector walk the whole heap every few messages,
 * which costs more than all else that a message needs.
 */
export class BufferPool {
  readonly #kept: Buffer[] = [];
  #idle: NodeJS.Timeout | undefined;

  /** A buffer of exactly this length, with anything in it. */
  take(length: number): Buffer {
    if (length < minBytes || length > bufferBytes) return Buffer.allocUnsafeSlow(length);
    const kept = this.#kept.pop();
    return (kept ?? Buffer.allocUnsafeSlow(bufferBytes)).subarray(0, length);
  }

  /** Takes back what {@link take} gave: nobody may look at it any longer. */
  give(buffer: Buffer): void {
    if (buffer.buffer.byteLength !== bufferBytes || this.#kept.length >= maxKept) return;
    this.#kept.push(Buffer.from(buffer.buffer));
    if (this.#idle === undefined) this.#idle = setTimeout(() => this.#empty(), idleMs).unref();
    else this.#idle.refresh();
  }

  #empty(): void {
    this.#kept.length = 0;
    this.#idle = undefined;
  }
}

/** One for all connections of the process. */
export const messageBuffers = new BufferPool();
