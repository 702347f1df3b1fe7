import assert from 'node:assert/strict';

import { FileSystemError } from '../../../src/filesystem/index.ts';
import { root, user } from '../harness.ts';
import type { Host } from './program.ts';

/** Syncs that fail one after another while another host is about to serve the volume. */
const maxFailures = 20_000;

/** RENAME_NOREPLACE, RENAME_EXCHANGE. */
const [noReplace, exchange] = [1, 2];

/**
 * A program that makes, moves and removes names of its own, and takes every error for one: it is right about each name, whatever becomes of the hosts that serve the volume. Each name stands for an inode
 * that it knows.
 */
export class NameProgram {
  readonly #host: Host;
  readonly #names = new Map<string, number>();
  readonly #prefix: string;
  #next = 0;

  /** @param number no other program's. */
  constructor(host: Host, number: number) {
    this.#host = host;
    this.#prefix = `names ${number}`;
  }

  /** One operation. On the host that serves the volume nothing is durable when it is answered: then nothing is done. */
  async step(chance: () => number): Promise<string> {
    const { fileSystem } = this.#host;
    const { served } = this.#host;
    if (fileSystem.local !== undefined) return 'rests';
    const mine = [...this.#names.keys()];
    const [one, other] = [mine[Math.floor(chance() * mine.length)], mine[Math.floor(chance() * mine.length)]];
    const fresh = `${this.#prefix}-${this.#next++}`;
    const dice = chance();
    const done = one === undefined || other === undefined || dice < 0.4 ? await this.#make(fresh, dice) : await this.#change(one, other, fresh, dice);
    // It came to serve the volume meanwhile, and may lose it again: what is there counts once it is synced.
    let failures = 0;
    for (let synced = this.#host.served === served; !synced;) {
      const before = this.#host.served;
      try {
        await fileSystem.syncfs();
        synced = this.#host.served === before;
      } catch (error) {
        // Also after the run, where a mutant was found out and all ways to the store are closed.
        if (!(error instanceof FileSystemError) || ++failures > maxFailures) throw error;
        // Time passes.
        await new Promise((resolve) => setImmediate(resolve));
        for (const name of mine.concat(fresh)) await this.#learn(name);
      }
    }
    return done;
  }

  async #make(fresh: string, dice: number): Promise<string> {
    const { fileSystem } = this.#host;
    let made: { inode: number };
    if (dice < 0.2) made = await this.#host.ask(() => fileSystem.mkdir(root, fresh, 0o755, 0, user));
    else if (dice < 0.3) made = await this.#host.ask(() => fileSystem.mknod(root, fresh, 0o010644, 0, 0, user));
    else made = await this.#host.ask(() => fileSystem.symlink(root, fresh, 'there', user));
    this.#names.set(fresh, made.inode);
    return `make ${fresh}`;
  }

  async #change(one: string, other: string, fresh: string, dice: number): Promise<string> {
    const { fileSystem } = this.#host;
    const inode = this.#names.get(one)!;
    if (dice < 0.65) {
      const isDirectory = (await fileSystem.getattr(inode)).mode >>> 12 === 4;
      await this.#host.ask(() => (isDirectory ? fileSystem.rmdir(root, one) : fileSystem.unlink(root, one)));
      this.#names.delete(one);
      return `remove ${one}`;
    }
    if (dice < 0.85 || one === other) {
      await this.#host.ask(() => fileSystem.rename(root, one, root, fresh, dice < 0.75 ? noReplace : 0));
      this.#names.delete(one);
      this.#names.set(fresh, inode);
      return `rename ${one} ${fresh}`;
    }
    await this.#host.ask(() => fileSystem.rename(root, one, root, other, exchange));
    this.#names.set(one, this.#names.get(other)!);
    this.#names.set(other, inode);
    return `exchange ${one} ${other}`;
  }

  async #learn(name: string): Promise<void> {
    const found = await this.#host.fileSystem.lookup(root, name);
    if (found === undefined) this.#names.delete(name);
    else this.#names.set(name, found.inode);
  }

  /** Each name is there, and none that was removed. @param host where it was, which may have been started again since */
  async judge({ fileSystem }: Host): Promise<void> {
    for (const [name, inode] of this.#names) assert.equal((await fileSystem.lookup(root, name))?.inode, inode, name);
    for (let number = 0; number < this.#next; number++) {
      const name = `${this.#prefix}-${number}`;
      if (!this.#names.has(name)) assert.equal(await fileSystem.lookup(root, name), undefined, name);
    }
  }
}
