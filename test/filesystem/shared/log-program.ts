import assert from 'node:assert/strict';

import { FileSystemError, type SharedFileSystem } from '../../../src/filesystem/index.ts';
import { InfinitError } from '../../../src/base/index.ts';
import type { Host } from './program.ts';

/** A program that appends lines to a file to which programs of other hosts append as well, and takes every error of that for one: each line is there once. */
export class LogProgram {
  readonly #host: Host;
  readonly #inode: number;
  readonly #number: number;
  #lines = 0;
  /** Those that were synced. */
  readonly #synced = new Set<string>();
  #opened: { readonly fileSystem: SharedFileSystem; readonly handle: number } | undefined;

  /** @param number no other program's. */
  constructor(host: Host, inode: number, number: number) {
    this.#host = host;
    this.#inode = inode;
    this.#number = number;
  }

  /** Appends a line and syncs it. The host that serves the volume makes its own appends in memory, and may lose them: there nothing is done. */
  async step(): Promise<string> {
    const { fileSystem, served } = this.#host;
    if (fileSystem.local !== undefined) return 'rests';
    const line = this.#line(this.#lines++);
    const handle = await this.#open(fileSystem);
    const isHere = (): boolean => this.#host.served !== served;
    try {
      await fileSystem.write(this.#inode, handle, 0, Buffer.from(line), false, true);
      await fileSystem.fsync(this.#inode, handle, false);
      if (!isHere()) this.#synced.add(line);
    } catch (error) {
      // It came to serve the volume meanwhile. Or it had the file lent, was not heard, and others went on.
      const isTold = error instanceof FileSystemError && error.errno === 'EIO';
      if (!isTold && !(isHere() && error instanceof InfinitError)) throw error;
    }
    return `append ${line.trim()}`;
  }

  async #open(fileSystem: SharedFileSystem): Promise<number> {
    if (this.#opened?.fileSystem !== fileSystem) this.#opened = { fileSystem, handle: await fileSystem.open(this.#inode, 1) };
    return this.#opened.handle;
  }

  #line(number: number): string {
    return `${this.#number} ${number}\n`;
  }

  /** @param log what is there. */
  judge(log: string): void {
    const own = log.split('\n').filter((line) => line.startsWith(`${this.#number} `));
    const numbers = own.map((line) => Number(line.split(' ')[1]));
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((one, other) => one - other),
      `lines of ${this.#number}, each once and in order`,
    );
    for (const line of this.#synced) assert.ok(own.includes(line.trim()), `${line.trim()} is there`);
  }
}
