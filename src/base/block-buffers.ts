/** Room for a block of the largest size with whatever is read or sealed around it. */
const bufferBytes = 1024 * 1024 + 4096;
/** Blocks below this get memory of their own size. */
export const minPooledBytes: number = 256 * 1024;
/** Memory kept for reuse: as much as a stream of writes has on its way to the store. */
const maxKeptBytes = 64 * 1024 * 1024;
/** Memory that nobody asked for in this time is given up. */
const idleMs = 5000;

/**
 * Memory for large blocks, used again and again: a fresh megabyte for each costs page faults and, since the garbage collector counts it, a
 * full collection every few dozen blocks. Shared memory, because it crosses to the thread of the disk without a copy.
 */
export class BlockBuffers {
  readonly #ours = new WeakSet<SharedArrayBuffer>();
  #free: SharedArrayBuffer[] = [];
  #returned: SharedArrayBuffer[] = [];
  #timer: NodeJS.Timeout | undefined;
  #used = false;

  /** Memory for a large block, of which the caller takes what it needs. */
  take(): Uint8Array {
    this.#used = true;
    let buffer = this.#free.pop();
    if (buffer === undefined) this.#ours.add((buffer = new SharedArrayBuffer(bufferBytes)));
    return new Uint8Array(buffer);
  }

  /** Nobody but the caller's callers, in this turn of the event loop, looks at these bytes any more. Memory that is not from here is none of our business. */
  give({ buffer }: Uint8Array): void {
    if (!(buffer instanceof SharedArrayBuffer) || !this.#ours.has(buffer)) return;
    // Who was handed slices of it in this turn sends them in this turn.
    if (this.#returned.push(buffer) === 1) setImmediate(() => this.#keep());
    this.#timer ??= setInterval(() => this.#look(), idleMs).unref();
  }

  #keep(): void {
    this.#free.push(...this.#returned);
    this.#returned = [];
    this.#free.length = Math.min(this.#free.length, Math.floor(maxKeptBytes / bufferBytes));
  }

  #look(): void {
    if (this.#used) {
      this.#used = false;
      return;
    }
    this.#free = [];
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
