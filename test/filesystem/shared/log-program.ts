import assert from 'node:assert/strict';

import { FileSystemError, type SharedFileSystem } from '../../../src/filesystem/index.ts';
import { InfinitError } from '../../../src/base/index.ts';
import type { Host } from './program.ts';

/** Nobody knows whether it was made. */
class Unproven extends Error {}

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
    const { served } = this.#host;
    if (this.#host.fileSystem.local !== undefined) return 'rests';
    const line = this.#line(this.#lines++);
    const isHere = (): boolean => this.#host.served !== served;
    try {
      await this.#append(Buffer.from(line));
      await this.#through((fileSystem, handle) => fileSystem.fsync(this.#inode, handle, false));
      if (!isHere()) this.#synced.add(line);
    } catch (error) {
      // It came to serve the volume meanwhile. Or it had the file lent, was not heard, and others went on.
      const isTold = error instanceof FileSystemError && error.errno === 'EIO';
      if (!isTold && !(error instanceof Unproven) && !(isHere() && error instanceof InfinitError)) throw error;
    }
    return `append ${line.trim()}`;
  }

  /** The next daemon is asked for what the last one had not answered. */
  async #append(line: Uint8Array): Promise<void> {
    const request = this.#host.request();
    let again = false;
    await this.#through((fileSystem, handle) => {
      fileSystem.asking({ ...request, again });
      const done = again ? fileSystem.appended(this.#inode, handle, line, false) : fileSystem.write(this.#inode, handle, 0, line, false, true);
      fileSystem.asking(undefined);
      again = true;
      return (async () => {
        if ((await done) !== undefined) return;
        // What was done while the volume was open here is not named, and for a time afterwards nothing is said of what may have been.
        assert.ok(this.#host.served > 0, 'it is known whether it was made');
        throw new Unproven();
      })();
    });
  }

  /** Until a daemon has done it that lives. */
  async #through(work: (fileSystem: SharedFileSystem, handle: number) => unknown): Promise<void> {
    for (;;) {
      const killed = this.#host.next.promise;
      const { fileSystem } = this.#host;
      const done = (async () => {
        const handle = await this.#open(fileSystem);
        if (this.#host.fileSystem === fileSystem) await work(fileSystem, handle);
      })();
      done.catch(() => {});
      if ((await Promise.race([done, killed])) !== 'next' && this.#host.fileSystem === fileSystem) return;
    }
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
