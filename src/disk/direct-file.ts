import { close, constants, open, write } from 'node:fs';
import { promisify } from 'node:util';

import { copyBytes, wantHugePages } from '../base/index.ts';

// Node has it, its type declarations do not. Its memory begins at a page, which no other buffer of JavaScript does for sure.
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number; readonly maximum: number }) => { readonly buffer: ArrayBuffer };
};

/** What every disk takes as the unit of place and length of a write that goes past the page cache. */
export const directAlignment = 4096;
const wasmPageBytes = 64 * 1024;
/** A group of the log of the largest size, with what is aligned around it. */
const scratchPages = (8 * 1024 * 1024) / wasmPageBytes + 1;
/** Memory that nobody asked for in this time is given up. */
const idleMs = 5000;

const openFile = promisify(open) as (file: string, flags: number) => Promise<number>;
const closeFile = promisify(close);
const flags = constants.O_WRONLY | constants.O_DSYNC | constants.O_DIRECT;

/**
 * Appends to a file past the operating system's page cache: a large write costs one copy into memory that is used again and again, where the
 * page cache takes as much fresh memory as is written, for bytes that are seldom read soon. Not every file system can do it.
 */
export class DirectFile {
  readonly #path: string;
  #descriptor: Promise<number | undefined> | undefined;
  /** The last bytes written, those of the last unit: they are written again with what follows. */
  #tail: { readonly end: number; readonly bytes: Uint8Array } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Resolves with true once the bytes are on stable storage, followed by zeros up to the end of the unit; with false where this way is closed: any part of
   * them may be there then. `before` reads what lies before them in the file.
   */
  async append(
    buffers: readonly Uint8Array[],
    position: number,
    length: number,
    before: (into: Uint8Array, position: number) => Promise<number>,
  ): Promise<boolean> {
    const start = position - (position % directAlignment);
    const end = Math.ceil((position + length) / directAlignment) * directAlignment;
    if (end - start > scratchPages * wasmPageBytes) return false;
    const descriptor = await (this.#descriptor ??= openFile(this.#path, flags).catch(() => undefined));
    const memory = descriptor === undefined ? undefined : scratch.take();
    if (descriptor === undefined || memory === undefined) return false;
    try {
      const head = memory.subarray(0, position - start);
      if (this.#tail?.end === position) head.set(this.#tail.bytes);
      else if (head.length > 0 && (await before(head, start)) !== head.length) return false;
      let at = head.length;
      for (const buffer of buffers) {
        copyBytes(buffer, memory, at);
        at += buffer.length;
      }
      memory.fill(0, at, end - start);
      if ((await writeOnce(descriptor, memory, end - start, start)) !== end - start) return false;
      this.#tail = { end: position + length, bytes: memory.slice(at - ((position + length) % directAlignment), at) };
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      await this.close();
      this.#descriptor = Promise.resolve(undefined);
      return false;
    } finally {
      scratch.give(memory);
    }
  }

  /** The file was cut. */
  forget(): void {
    this.#tail = undefined;
  }

  async close(): Promise<void> {
    const descriptor = await this.#descriptor;
    this.#descriptor = undefined;
    if (descriptor !== undefined) await closeFile(descriptor);
  }
}

function writeOnce(file: number, bytes: Uint8Array, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(file, bytes, 0, length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

/** Aligned memory: of one write at a time it is kept for the next. */
class Scratch {
  #free: Uint8Array | undefined;
  #used = false;
  #timer: NodeJS.Timeout | undefined;

  /** Undefined where the process may not have so much address space. */
  take(): Uint8Array | undefined {
    this.#used = true;
    const free = this.#free;
    this.#free = undefined;
    if (free !== undefined) return free;
    try {
      const memory = new Uint8Array(new WebAssembly.Memory({ initial: scratchPages, maximum: scratchPages }).buffer);
      wantHugePages(memory);
      return memory;
    } catch {
      return undefined;
    }
  }

  give(memory: Uint8Array): void {
    this.#free = memory;
    this.#timer ??= setInterval(() => this.#look(), idleMs).unref();
  }

  #look(): void {
    if (this.#used) {
      this.#used = false;
      return;
    }
    this.#free = undefined;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

const scratch = new Scratch();
