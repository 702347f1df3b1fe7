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

/** Bytes of a write, by their place in it. */
interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

interface Fate {
  readonly pieces: readonly Piece[];
  readonly error: Error;
}

const sectorBytes = 512;

/** Node's files with the faults of real disks. Resolved writes are on the medium, so a crash tears the one on its way. */
export class FaultyFiles implements Files {
  /** Durable writes of the log until the power goes; `Infinity`: never. */
  writesUntilCrash = Number.POSITIVE_INFINITY;
  /** The same for whatever changes something on the medium, in the order it is asked for. */
  changesUntilCrash = Number.POSITIVE_INFINITY;
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
  /** Before it returns, and throwing then, where the log's own thread is to write. */
  write(file: number, buffers: Uint8Array[], position: number, hints?: WriteHints): Promise<void> | undefined {
    if (this.dead) throw eio();
    this.writes++;
    const fate = this.#fateOf(buffers);
    if (fate === undefined) return nodeFiles.write(file, buffers, position, hints);
    const put = ({ at, bytes }: Piece): Promise<void> | undefined => nodeFiles.write(file, [bytes], position + at, hints);
    if (hints?.inThread === true) {
      for (const piece of fate.pieces) void put(piece);
      throw fate.error;
    }
    return failAfter(fate, put);
  }
  truncate(file: number, size: number): Promise<void> {
    return this.#change(() => {
      this.#fail(this.errors.truncate);
      return nodeFiles.truncate(file, size);
    });
  }
  unlink(file: string): Promise<void> {
    return this.#change(() => nodeFiles.unlink(file));
  }
  replace(file: string, text: string): Promise<void> {
    return this.#change(() => nodeFiles.replace(file, text));
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

  /** What of a write reaches the medium, and why it fails; undefined: it does not. */
  #fateOf(buffers: readonly Uint8Array[]): Fate | undefined {
    if (--this.writesUntilCrash <= 0 || --this.changesUntilCrash <= 0) {
      this.dead = true;
      return { pieces: torn(this.tear, Buffer.concat(buffers)), error: eio() };
    }
    const error = this.errors.write.shift();
    if (error === undefined) return undefined;
    const bytes = Buffer.concat(buffers);
    return { pieces: [{ at: 0, bytes: bytes.subarray(0, Math.floor(bytes.length * this.failedWriteShare)) }], error: failure(error) };
  }

  #fail(errors: string[]): void {
    const error = errors.shift();
    if (error !== undefined) throw failure(error);
  }

  /** What is all or nothing on the medium: it is there where a write would be, at least in part. */
  async #change<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead || --this.changesUntilCrash > 0) return this.#alive(work);
    this.dead = true;
    if (this.tear.kind !== 'lost') await work();
    throw eio();
  }

  async #alive<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead) throw eio();
    return work();
  }
}

async function failAfter({ pieces, error }: Fate, put: (piece: Piece) => Promise<void> | undefined): Promise<void> {
  for (const piece of pieces) await put(piece);
  throw error;
}

function torn(tear: Tear, bytes: Buffer): readonly Piece[] {
  switch (tear.kind) {
    case 'lost':
      return [];
    case 'whole':
      return [{ at: 0, bytes }];
    case 'prefix':
      return [{ at: 0, bytes: bytes.subarray(0, Math.floor(bytes.length * tear.share)) }];
    case 'sectors': {
      const pieces: Piece[] = [];
      for (let at = 0; at < bytes.length; at += sectorBytes)
        if (tear.pick(at / sectorBytes)) pieces.push({ at, bytes: bytes.subarray(at, at + sectorBytes) });
      return pieces;
    }
  }
}

function eio(): Error {
  return failure('EIO');
}

function failure(code: string): Error {
  return Object.assign(new Error(`${code}: by order of the test`), { code });
}
