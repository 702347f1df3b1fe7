import assert from 'node:assert/strict';

import { InfinitError } from '../../../src/base/index.ts';
import { type Attributes, FileSystemError, type SharedFileSystem } from '../../../src/filesystem/index.ts';
import { root, user } from '../harness.ts';
import type { Host } from './program.ts';

/** RENAME_EXCHANGE. */
const exchange = 2;

/** A program that exchanges two names of its own, over and over, and takes every error of that for one. Its kernel asks the next daemon for what the last one had not answered: once more would undo it. */
export class SwapProgram {
  readonly #host: Host;
  readonly #names: readonly [string, string];
  /** What they stand for; undefined: there is nothing yet. */
  #inodes: [number, number] | undefined;
  /** How often a daemon was asked for what the one before had not answered, and it was known. */
  again = 0;

  /** @param number no other program's. */
  constructor(host: Host, number: number) {
    this.#host = host;
    this.#names = [`swap ${number} one`, `swap ${number} other`];
  }

  /** Where the volume is open here what is done to names may be lost with the host: there nothing is done. */
  async step(): Promise<string> {
    const { served } = this.#host;
    if (this.#host.fileSystem.local !== undefined) return 'rests';
    if (this.#inodes === undefined) return this.#make();
    const request = this.#host.request();
    let again = false;
    try {
      await this.#through((fileSystem) => {
        if (again) this.again++;
        fileSystem.asking({ ...request, again });
        const done = fileSystem.rename(root, this.#names[0], root, this.#names[1], exchange, { number: request.number, again });
        fileSystem.asking(undefined);
        again = true;
        return done;
      });
    } catch (error) {
      if (!(error instanceof InfinitError) && !(error instanceof FileSystemError && error.errno === 'EIO')) throw error;
      // What was done while the volume was open here is not named, and for a time afterwards nothing is said of what may have been.
      assert.ok(this.#host.served > 0, `it is known whether it was done: ${error.message}`);
      this.#inodes = undefined;
      return 'exchange: nobody knows';
    }
    this.#inodes = this.#host.served === served ? [this.#inodes[1], this.#inodes[0]] : undefined;
    if (this.#inodes !== undefined) await this.#look();
    return `exchange ${this.#names[0]}`;
  }

  async #make(): Promise<string> {
    const { served } = this.#host;
    const found: number[] = [];
    for (const name of this.#names)
      await this.#through(async (fileSystem) => {
        const mknod = async (): Promise<Attributes> => this.#host.ask(() => fileSystem.mknod(root, name, 0o010644, 0, 0, user));
        const known = (await fileSystem.lookup(root, name)) ?? (await mknod().catch(() => undefined));
        if (known !== undefined) found.push(known.inode);
      });
    // More, or less, where a daemon was killed meanwhile; and what was done while the volume was open here may be lost.
    const [one, other, ...more] = found;
    if (one === undefined || other === undefined || more.length > 0 || this.#host.served !== served) return 'makes names';
    this.#inodes = [one, other];
    return `make ${this.#names[0]}`;
  }

  async #look(): Promise<void> {
    let found: (number | undefined)[] = [];
    await this.#through(async (fileSystem) => {
      const seen = await Promise.all(this.#names.map(async (name) => (await fileSystem.lookup(root, name))?.inode));
      found = seen;
    });
    assert.deepEqual(found, this.#inodes, `what ${this.#names[0]} and the other stand for`);
  }

  /** Until a daemon has done it that lives. */
  async #through(work: (fileSystem: SharedFileSystem) => unknown): Promise<void> {
    for (;;) {
      const killed = this.#host.next.promise;
      const { fileSystem } = this.#host;
      const done = (async () => work(fileSystem))();
      done.catch(() => {});
      if ((await Promise.race([done, killed])) !== 'next' && this.#host.fileSystem === fileSystem) return;
    }
  }

  /** At the end, where the host lives. */
  async judge(): Promise<void> {
    if (this.#inodes !== undefined) await this.#look();
  }
}
