import { type Files, nodeFiles, type WriteHints } from '../../src/disk/index.ts';

/** What happens to a durable write in which the power goes. */
export type Tear =
  /** Nothing of it reached the medium. */
  | { readonly kind: 'lost' }
  /** The first bytes did, `share` of them. */
  | { readonly kind: 'prefix'; readonly share: number }
  /** Some sectors did, in any order. */
  | { readonly kind: 'sectors'; readonly pick: (sector: number) => boolean }
  /** All of it did, but nobody was told. */
  | { readonly kind: 'whole' };

const sectorBytes = 512;

/** Node's files with the faults of real disks. Resolved writes are on the medium, so a crash tears the one on its way. */
export class FaultyFiles implements Files {
  /** Durable writes of the log until the power goes; `Infinity`: never. */
  writesUntilCrash = Number.POSITIVE_INFINITY;
  tear: Tear = { kind: 'lost' };
  /** The power is gone: nothing works any more. */
  dead = false;
  /** Errors that the next operations of a kind answer with, in turn. */
  readonly errors: { write: string[]; read: string[]; truncate: string[]; open: string[] } = { write: [], read: [], truncate: [], open: [] };
  /** What is left of a failing write on the medium. */
  failedWriteShare = 0;
  /** Free space that the file system claims to have. */
  free: number | undefined;
  writes = 0;

  makeDirectory(directory: string): Promise<void> {
    return this.#alive(() => nodeFiles.makeDirectory(directory));
  }
  list(directory: string): Promise<string[]> {
    return this.#alive(() => nodeFiles.list(directory));
  }
  async open(file: string, mode: 'read' | 'write'): Promise<number> {
    return this.#alive(() => {
      this.#fail(this.errors.open);
      return nodeFiles.open(file, mode);
    });
  }
  async close(file: number): Promise<void> {
    // Descriptors are the process's own: they close on a dead disk too.
    await nodeFiles.close(file);
  }
  size(file: number): Promise<number> {
    return this.#alive(() => nodeFiles.size(file));
  }
  read(file: number, into: Uint8Array, position: number): Promise<number> {
    return this.#alive(() => {
      this.#fail(this.errors.read);
      return nodeFiles.read(file, into, position);
    });
  }
  readNow(file: number, into: Uint8Array, position: number): number {
    if (this.dead) throw eio();
    this.#fail(this.errors.read);
    return nodeFiles.readNow(file, into, position);
  }
  async write(file: number, buffers: Uint8Array[], position: number, hints?: WriteHints): Promise<void> {
    if (this.dead) throw eio();
    this.writes++;
    if (--this.writesUntilCrash <= 0) {
      this.dead = true;
      await this.#tearOff(file, Buffer.concat(buffers), position);
      throw eio();
    }
    const error = this.errors.write.shift();
    if (error !== undefined) {
      const bytes = Buffer.concat(buffers);
      await nodeFiles.write(file, [bytes.subarray(0, Math.floor(bytes.length * this.failedWriteShare))], position);
      throw failure(error);
    }
    await nodeFiles.write(file, buffers, position, hints);
  }
  truncate(file: number, size: number): Promise<void> {
    return this.#alive(() => {
      this.#fail(this.errors.truncate);
      return nodeFiles.truncate(file, size);
    });
  }
  unlink(file: string): Promise<void> {
    return this.#alive(() => nodeFiles.unlink(file));
  }
  replace(file: string, text: string): Promise<void> {
    return this.#alive(() => nodeFiles.replace(file, text));
  }
  readText(file: string): Promise<string | undefined> {
    return this.#alive(() => nodeFiles.readText(file));
  }
  syncDirectory(directory: string): Promise<void> {
    return this.#alive(() => nodeFiles.syncDirectory(directory));
  }
  async space(directory: string): Promise<{ free: number; total: number }> {
    const space = await this.#alive(() => nodeFiles.space(directory));
    return { ...space, free: this.free ?? space.free };
  }

  async #tearOff(file: number, bytes: Buffer, position: number): Promise<void> {
    switch (this.tear.kind) {
      case 'lost':
        return;
      case 'whole':
        return nodeFiles.write(file, [bytes], position);
      case 'prefix':
        return nodeFiles.write(file, [bytes.subarray(0, Math.floor(bytes.length * this.tear.share))], position);
      case 'sectors':
        for (let at = 0; at < bytes.length; at += sectorBytes)
          if (this.tear.pick(at / sectorBytes)) await nodeFiles.write(file, [bytes.subarray(at, at + sectorBytes)], position + at);
    }
  }

  #fail(errors: string[]): void {
    const error = errors.shift();
    if (error !== undefined) throw failure(error);
  }

  async #alive<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead) throw eio();
    return work();
  }
}

function eio(): Error {
  return failure('EIO');
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: by order of the test`), { code });
}
