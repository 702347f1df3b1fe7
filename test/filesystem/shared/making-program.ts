import assert from 'node:assert/strict';

import { root, user } from '../harness.ts';
import type { Host } from './program.ts';

/** O_CREAT, O_EXCL, O_RDWR. */
const makes = 0o302;
/** Files that it has open at the most. */
const maxOpen = 4;

interface Made {
  /** Empty until it has one. */
  name: string;
  readonly inode: number;
  readonly handle: number;
  /** How often the host had come to serve the volume: where it does nothing is durable before it is synced. */
  readonly served: number;
  text: string;
}

/** A program that makes files, as `tar` does, and takes every error for one, however many hosts that serve the volume are lost meanwhile. What it has closed is there. */
export class MakingProgram {
  readonly #host: Host;
  readonly #prefix: string;
  #open: Made[] = [];
  readonly #closed: Made[] = [];
  #next = 0;

  /** @param number no other program's. */
  constructor(host: Host, number: number) {
    this.#host = host;
    this.#prefix = `made ${number}`;
  }

  /** One operation; on the host that serves the volume none. */
  async step(chance: () => number): Promise<string> {
    const { fileSystem } = this.#host;
    if (fileSystem.local !== undefined) return 'rests';
    this.#open = this.#open.filter((file) => this.#counts(file));
    const dice = chance();
    const file = this.#open[Math.floor(chance() * this.#open.length)];
    if (file === undefined || (dice < 0.4 && this.#open.length < maxOpen)) return this.#make(chance() < 0.2);
    try {
      if (dice < 0.6) await this.#write(file);
      else if (dice < 0.65) await fileSystem.fsync(file.inode, file.handle, false);
      else if (dice < 0.75) await this.#look(file);
      else await this.#close(file);
    } catch (error) {
      if (this.#counts(file)) throw error;
    }
    return `goes on with ${file.name}`;
  }

  #counts({ served }: Made): boolean {
    return served === this.#host.served;
  }

  async #make(isUnnamed: boolean): Promise<string> {
    const { fileSystem, served } = this.#host;
    const name = isUnnamed ? '' : `${this.#prefix}-${this.#next++}`;
    const { attributes, handle } = isUnnamed
      ? await fileSystem.tmpfile(root, 0o600, 0, 2, user)
      : await this.#host.ask(() => fileSystem.create(root, name, 0o640, 0, makes, user));
    this.#open.push({ name, inode: attributes.inode, handle, served, text: '' });
    return `makes ${name} as ${attributes.inode}`;
  }

  async #write(file: Made): Promise<void> {
    const text = `${file.name} has ${file.text.length} bytes. `;
    assert.equal(await this.#host.fileSystem.write(file.inode, file.handle, file.text.length, Buffer.from(text), false), text.length);
    file.text += text;
  }

  async #look(file: Made): Promise<void> {
    const { fileSystem } = this.#host;
    const found = file.name === '' ? await fileSystem.getattr(file.inode) : await fileSystem.lookup(root, file.name);
    if (this.#counts(file))
      assert.deepEqual([found?.inode, found?.size, found?.mode], [file.inode, file.text.length, file.name === '' ? 0o100600 : 0o100640]);
  }

  async #close(file: Made): Promise<void> {
    const { fileSystem } = this.#host;
    this.#open = this.#open.filter((other) => other !== file);
    // A file that nobody can name any more has to be whole until then.
    if (file.name === '') {
      file.name = `${this.#prefix}-${this.#next++}`;
      assert.equal((await this.#host.ask(() => fileSystem.link(file.inode, root, file.name))).links, 1);
    }
    await fileSystem.flush(file.inode, file.handle, '1');
    await fileSystem.release(file.inode, file.handle);
    if (this.#counts(file)) this.#closed.push(file);
  }

  /** What it closed is there. @param host where it was, which may have been started again since */
  async judge({ fileSystem }: Host): Promise<void> {
    for (const { name, inode, text } of this.#closed) {
      assert.equal((await fileSystem.lookup(root, name))?.inode, inode, name);
      const handle = await fileSystem.open(inode, 0);
      assert.equal(Buffer.concat(await fileSystem.read(inode, handle, 0, text.length + 1)).toString(), text, name);
      await fileSystem.release(inode, handle);
    }
  }
}
