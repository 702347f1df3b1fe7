import { randomBytes } from 'node:crypto';
import path from 'node:path';

import { type Logger, messageOf } from '../base/index.ts';
import { type Files, isNoRoom } from './files.ts';

const mebibyte = 1024 * 1024;
/** The most that is put aside. */
const maxBallastBytes = 16 * mebibyte;
/** Less would not hold what is written together: a store with so small a reserve has none. */
const minBallastBytes = mebibyte;
/** Written at once while it is made, and given at once until the store can be opened. */
const stepBytes = mebibyte;
/** Given up at once, at the least. */
const minGivenBytes = 256 * 1024;
/** Given up beyond what was asked for: what the file system itself needs to note where that lies. */
const extraBytes = 64 * 1024;
const pageBytes = 4096;
/** A file system that had no room although it said so, as one with a quota does, is not asked again for so long. */
const restMs = 10_000;

/**
 * A file that takes a part of the reserve, so that nobody else can: who fills the file system to the last byte leaves us that much, which is cut off the file when a write
 * finds no room. Its bytes are written, not just claimed, and random: so they are there on file systems that know no fallocate, that compress, or that write elsewhere
 * what is written again.
 */
export class Ballast {
  readonly #files: Files;
  readonly #file: string;
  readonly #logger: Logger;
  /** What it has when it is whole; 0: there is none. */
  readonly wholeBytes: number;
  #bytes = 0;
  #isGiven = false;
  /** One after the other; none of them rejects. */
  #turn: Promise<unknown> = Promise.resolve();
  /** Somebody needs what is being made. */
  #asked = 0;
  #restUntil = 0;

  private constructor(files: Files, directory: string, reserveBytes: number, logger: Logger) {
    this.#files = files;
    this.#file = ballastFile(directory);
    this.#logger = logger;
    const bytes = Math.floor(Math.min(maxBallastBytes, reserveBytes / 2) / pageBytes) * pageBytes;
    this.wholeBytes = bytes < minBallastBytes ? 0 : bytes;
  }

  /** Finds what there is of it; {@link make} makes the rest. */
  static async open(files: Files, directory: string, reserveBytes: number, logger: Logger): Promise<Ballast> {
    const ballast = new Ballast(files, directory, reserveBytes, logger);
    await ballast.look();
    return ballast;
  }

  /** What there is of it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True from when a part of it was given until it is whole again: there was not a byte left. */
  get isGiven(): boolean {
    return this.#isGiven;
  }

  /** Frees at least so many bytes of it, or what is left. @returns false where nothing was. */
  give(bytes: number): Promise<boolean> {
    if (this.#bytes === 0) return Promise.resolve(false);
    this.#asked++;
    return this.#inTurn(async (file) => {
      // A person may have cut or removed it: what is gone is free already, and a file that grows by being cut holds nothing.
      const there = Math.min(await this.#files.size(file), this.#bytes);
      const given = Math.ceil(Math.max(minGivenBytes, bytes + extraBytes) / pageBytes) * pageBytes;
      const left = Math.max(0, there - given);
      await this.#files.truncate(file, left);
      const wasThere = this.#bytes;
      this.#bytes = left;
      if (!this.#isGiven) this.#logger.warn('the file system is full: what was put aside is used', { of: this.wholeBytes });
      this.#isGiven = true;
      return left < wasThere;
    }).finally(() => this.#asked--);
  }

  /** Makes what is missing of it; all or nothing, so that it takes no room that does not suffice. To be called where the file system has the whole reserve. */
  async make(): Promise<void> {
    if (this.#bytes === this.wholeBytes && !this.#isGiven) return;
    if (this.#asked > 0 || performance.now() < this.#restUntil) return;
    await this.#inTurn(async (file) => {
      this.#bytes = Math.min(this.#bytes, await this.#files.size(file));
      const before = this.#bytes;
      try {
        await this.#fill(file);
      } catch (error) {
        if (!isNoRoom(error)) throw error;
        this.#restUntil = performance.now() + restMs;
      }
      if (this.#bytes === this.wholeBytes) {
        if (this.#isGiven) this.#logger.info('there is room again: what is put aside is whole');
        this.#isGiven = false;
        return true;
      }
      await this.#files.truncate(file, before);
      this.#bytes = before;
      return false;
    });
  }

  /** Finds out what there is of it: a person may have cut or removed it. */
  async look(): Promise<void> {
    await this.#inTurn(async (file) => {
      const size = await this.#files.size(file);
      if (size > this.wholeBytes) await this.#files.truncate(file, this.wholeBytes);
      this.#bytes = Math.min(size, this.wholeBytes);
      return true;
    });
  }

  /** Ends what is being made. */
  async close(): Promise<void> {
    this.#asked++;
    await this.#turn;
  }

  async #fill(file: number): Promise<void> {
    const piece = randomBytes(stepBytes / 4);
    while (this.#bytes < this.wholeBytes && this.#asked === 0) {
      const length = Math.min(stepBytes, this.wholeBytes - this.#bytes);
      const buffers: Uint8Array[] = [];
      for (let left = length; left > 0; left -= piece.length) buffers.push(left < piece.length ? piece.subarray(0, left) : piece);
      await this.#files.write(file, buffers, this.#bytes);
      this.#bytes += length;
    }
  }

  /** The store does without it where the file cannot be had. */
  #inTurn(work: (file: number) => Promise<boolean>): Promise<boolean> {
    if (this.wholeBytes === 0) return Promise.resolve(false);
    const turn = this.#turn.then(async () => {
      try {
        const file = await this.#files.open(this.#file, 'write');
        try {
          return await work(file);
        } finally {
          await this.#files.close(file);
        }
      } catch (error) {
        this.#bytes = 0;
        if (!isNoRoom(error)) this.#isGiven = false;
        this.#restUntil = performance.now() + restMs;
        this.#logger.warn('room cannot be put aside for when the file system is full', { error: messageOf(error) });
        return false;
      }
    });
    this.#turn = turn;
    return turn;
  }
}

/** Gives some of it, so that a store can be opened where there is no room. @returns false where nothing is left. */
export async function giveBallast(files: Files, directory: string): Promise<boolean> {
  try {
    if (!(await files.list(directory)).includes(name)) return false;
    const file = await files.open(ballastFile(directory), 'write');
    try {
      const size = await files.size(file);
      if (size > 0) await files.truncate(file, Math.max(0, size - stepBytes));
      return size > 0;
    } finally {
      await files.close(file);
    }
  } catch {
    return false;
  }
}

const name = 'ballast';

function ballastFile(directory: string): string {
  return path.join(directory, name);
}
