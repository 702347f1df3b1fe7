import { InfinitError } from '../../base/index.ts';
import { type Address, ownerOf } from '../../block/index.ts';
import type { Update } from '../../store/index.ts';
import type { VolumeContext } from '../context.ts';
import { unlessLost } from '../failure.ts';

/** The version of a block that only this mount writes. After a commit that did not end well it is unknown, and read again before the next. */
export class BlockVersion {
  readonly address: Address;
  readonly #context: VolumeContext;
  #version: number;
  #known: boolean;
  /** Its number is this session's, and this session has not tried to write it yet. */
  #fresh = false;
  /** A person gave it up: it can be made anew. */
  #lost = false;

  /** @param version 0: there is no such block; undefined: not known. */
  constructor(context: VolumeContext, address: Address, version: number | undefined) {
    this.#context = context;
    this.address = address;
    this.#version = version ?? 0;
    this.#known = version !== undefined;
  }

  /** A block that this session is the first to write, and the only one to write as the first. */
  static fresh(context: VolumeContext, address: Address): BlockVersion {
    const block = new BlockVersion(context, address, 0);
    block.#fresh = true;
    return block;
  }

  get known(): boolean {
    return this.#known;
  }

  /**
   * Reads the version where it is unknown. What an earlier session wrote since this one read the block came late: nobody was told that it is done, so it may be
   * written over, see {@link commitOver}. @throws InfinitError `conflict` where a later session has the volume.
   */
  async learn(): Promise<void> {
    if (this.#known) return;
    const block = await unlessLost(this.#context.store.fetch(this.address));
    if (block === 'lost') {
      this.#lost = this.#known = true;
      return;
    }
    if (block !== undefined && ownerOf(block.payload).session > this.#context.session) {
      this.#context.setup.onOvertaken?.();
      throw new InfinitError('conflict', `block ${this.address} of volume ${this.#context.volumeId} was changed by another mount`);
    }
    // It may have been written meanwhile: what was read is of before.
    if (this.#known) return;
    this.#version = block?.version ?? 0;
    this.#known = true;
  }

  /** The next write of the block; null removes it. */
  update(payload: Uint8Array | null): Update {
    const fresh = this.#fresh && payload !== null;
    this.#fresh = false;
    const expect = this.#lost ? 'lost' : this.#version === 0 ? 'absent' : this.#version;
    return { address: this.address, expect, payload, ...(fresh ? { fresh } : {}) };
  }

  /** What was there is lost with all its hosts, and was not made anew. */
  get isLost(): boolean {
    return this.#known && this.#lost;
  }

  /** The write is durable under this version. */
  written(version: number): void {
    this.#version = version;
    this.#known = true;
    this.#lost = false;
  }

  removed(): void {
    this.#version = 0;
    this.#known = true;
    this.#lost = false;
  }

  /** Whether the write took effect is not known. */
  doubt(): void {
    this.#known = false;
    this.#fresh = false;
    this.#lost = false;
  }

  /** Nothing was ever written. */
  get absent(): boolean {
    return this.#known && this.#version === 0 && !this.#lost;
  }
}
