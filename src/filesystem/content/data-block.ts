import { assert, type BlockBuffers, minPooledBytes } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import { bareBody } from '../../block/index.ts';
import type { SealedBlock } from '../../store/index.ts';
import type { VolumeContext } from '../context.ts';

/** Content is cut on this grid, and into blocks of at most this many bytes. */
export const dataBlockBytes = 1024 * 1024;

/**
 * A sealed block of a file's content, until an inode that refers to it is durable. Its bytes are in memory only until the store has them: what a
 * stream of writes holds in memory is what the store has not acknowledged yet.
 */
export class DataBlock implements SealedBlock {
  readonly address: Address;
  /** Told how many more, or fewer, bytes are in memory for want of the store's acknowledgement. */
  #hold: ((bytes: number) => void) | undefined;
  /** Bytes of its body. */
  readonly size: number;
  /** Pieces that refer to it; at 0 nothing will. */
  references = 1;
  /** The store has acknowledged it. */
  durable = false;
  /** A put is under way; it never rejects. */
  putting: Promise<void> | undefined;
  #sealed: Uint8Array | undefined;
  #body: Uint8Array | undefined;
  /** Where its memory goes, once the store reads it no more. */
  #home: BlockBuffers | undefined;
  /** Its memory, which the store may be reading still. */
  #left: Uint8Array | undefined;

  /** @param sealed absent where the store has it already. */
  constructor(address: Address, sealed: Uint8Array | undefined, body: Uint8Array | undefined, size: number, hold: (bytes: number) => void) {
    this.address = address;
    this.#sealed = sealed;
    this.size = size;
    this.#body = body;
    this.#hold = hold;
    hold(size);
  }

  get sealed(): Uint8Array {
    assert(this.#sealed !== undefined, 'a block is put until it is durable');
    return this.#sealed;
  }

  /** The open bytes; undefined: they are to be had from the store. */
  body(context: VolumeContext): Uint8Array | undefined {
    if (this.#sealed === undefined) return undefined;
    return (this.#body ??= context.sealer.open(this.address, this.#sealed).body);
  }

  /** The store has it, and nobody here looks at its memory any more. */
  kept(): void {
    this.durable = true;
    this.#left = this.#sealed;
    this.#drop();
    this.#give();
  }

  /** The store reads its memory no more, which goes to `buffers` when nobody here does either. */
  released(buffers: BlockBuffers): void {
    this.#home = buffers;
    this.#give();
  }

  #give(): void {
    if (this.#home === undefined || this.#left === undefined) return;
    this.#home.give(this.#left);
    this.#left = undefined;
  }

  /** Nothing refers to it, or ever will. */
  forget(): void {
    this.#release();
    // Whoever puts it reads it still.
    if (this.putting === undefined) this.#drop();
    else void this.putting.then(() => this.#drop());
  }

  #drop(): void {
    this.#release();
    this.#sealed = undefined;
    this.#body = undefined;
  }

  #release(): void {
    this.#hold?.(-this.size);
    this.#hold = undefined;
  }
}

/** Seals a body: one copy, one hash. `body` may be borrowed; `hold` as in {@link DataBlock}. */
export function sealData(context: VolumeContext, inode: number, body: Uint8Array, hold: (bytes: number) => void): DataBlock {
  assert(body.length > 0 && body.length <= dataBlockBytes, 'a data block holds 1 byte to 1 MiB');
  const memory = body.length < minPooledBytes ? undefined : context.buffers.take();
  const { address, sealed } = context.sealer.seal(context.owner(inode), body, memory);
  if (memory !== undefined && sealed.buffer !== memory.buffer) context.buffers.give(memory);
  // Where the body stands open in the sealed bytes it needs no second copy in memory.
  return new DataBlock(address, sealed, bareBody(sealed), body.length, hold);
}
