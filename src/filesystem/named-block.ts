import { InfinitError } from '../base/index.ts';
import { type Address, ownerOf } from '../block/index.ts';
import type { Update } from '../store/index.ts';
import type { VolumeContext } from './context.ts';

/** The version of a block that only this mount writes. After a commit that did not end well it is unknown, and read again before the next. */
export class BlockVersion {
  readonly address: Address;
  readonly #context: VolumeContext;
  #version: number;
  #known: boolean;

  /** @param version 0: there is no such block; undefined: not known. */
  constructor(context: VolumeContext, address: Address, version: number | undefined) {
    this.#context = context;
    this.address = address;
    this.#version = version ?? 0;
    this.#known = version !== undefined;
  }

  get known(): boolean {
    return this.#known;
  }

  /** Reads the version where it is unknown. @throws InfinitError `conflict` where another mount has written the block since this one had it, or a later mount at any time. */
  async learn(): Promise<void> {
    if (this.#known) return;
    const block = await this.#context.store.fetch(this.address);
    const version = block?.version ?? 0;
    if (block !== undefined && this.#isForeign(version, ownerOf(block.payload).session)) {
      this.#context.setup.onOvertaken?.();
      throw new InfinitError('conflict', `block ${this.address} of volume ${this.#context.volumeId} was changed by another mount`);
    }
    this.#version = version;
    this.#known = true;
  }

  #isForeign(version: number, session: number): boolean {
    return session > this.#context.session || (session !== this.#context.session && this.#version !== 0 && version > this.#version);
  }

  /** The next write of the block; null removes it. */
  update(payload: Uint8Array | null): Update {
    return { address: this.address, expect: this.#version === 0 ? 'absent' : this.#version, payload };
  }

  /** The write is durable under this version. */
  written(version: number): void {
    this.#version = version;
    this.#known = true;
  }

  removed(): void {
    this.#version = 0;
    this.#known = true;
  }

  /** Whether the write took effect is not known. */
  doubt(): void {
    this.#known = false;
  }

  /** Nothing was ever written. */
  get absent(): boolean {
    return this.#known && this.#version === 0;
  }
}
