import { type BlockBuffers, minPooledBytes } from '../../base/index.ts';
import type { Address, Sealer } from '../../block/index.ts';
import type { BlockStore } from '../../store/index.ts';

/** Bytes of open data blocks kept unless told otherwise. */
export const defaultCachedBytes = 64 * 1024 * 1024;

/** Loads under way beyond which nothing is read ahead. */
const maxPrefetches = 16;

/** Where blocks come from. */
export interface BlockCacheContext {
  readonly store: Pick<BlockStore, 'get'>;
  readonly sealer: Sealer;
  readonly buffers: BlockBuffers;
  readonly options: { readonly maxCachedBytes?: number };
}

/**
 * Open data blocks, least recently used first out; a block under way is fetched once however many ask. What leaves the cache is overwritten
 * soon: who keeps bytes of it beyond this turn of the event loop copies them.
 */
export class BlockCache {
  readonly #context: BlockCacheContext;
  readonly #maxBytes: number;
  readonly #bodies = new Map<Address, Uint8Array>();
  readonly #loading = new Map<Address, Promise<Uint8Array>>();
  #bytes = 0;

  constructor(context: BlockCacheContext) {
    this.#context = context;
    this.#maxBytes = context.options.maxCachedBytes ?? defaultCachedBytes;
  }

  get(address: Address): Uint8Array | undefined {
    const body = this.#bodies.get(address);
    if (body === undefined) return undefined;
    this.#bodies.delete(address);
    this.#bodies.set(address, body);
    return body;
  }

  /** @throws InfinitError `not-found`, `damaged`, `unavailable`, `deadline-exceeded`. */
  load(address: Address): Promise<Uint8Array> {
    const cached = this.get(address);
    if (cached !== undefined) return Promise.resolve(cached);
    let loading = this.#loading.get(address);
    if (loading === undefined) {
      loading = this.#load(address).finally(() => this.#loading.delete(address));
      this.#loading.set(address, loading);
    }
    return loading;
  }

  /**
   * A few bytes of a block's body, without the rest where the store can do that; they do not stay in the cache.
   * @throws InfinitError as {@link load}.
   */
  async loadPart(address: Address, offset: number, length: number): Promise<Uint8Array> {
    const { sealer, store } = this.#context;
    const start = sealer.bareOffset;
    if (start === undefined || this.#bodies.has(address) || this.#loading.has(address))
      return new Uint8Array((await this.load(address)).subarray(offset, offset + length));
    return store.get(address, { part: { offset: start + offset, length } });
  }

  /** Starts a load that nobody waits for, unless the cache is busy enough: what fails is asked for again by the read itself. */
  prefetch(address: Address): void {
    if (this.#bodies.has(address) || this.#loading.has(address) || this.#loading.size >= maxPrefetches) return;
    this.load(address).catch(() => {});
  }

  clear(): void {
    this.#bodies.clear();
    this.#bytes = 0;
  }

  async #load(address: Address): Promise<Uint8Array> {
    const body = await this.#fetch(address);
    this.#bodies.set(address, body);
    this.#bytes += body.length;
    for (const [oldest, evicted] of this.#bodies) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#bodies.delete(oldest);
      this.#bytes -= evicted.length;
      this.#context.buffers.give(evicted);
    }
    return body;
  }

  async #fetch(address: Address): Promise<Uint8Array> {
    const { buffers, store, sealer } = this.#context;
    const memory = buffers.take();
    // After a failure somebody may still write to it: then it is not given back.
    const sealed = await store.get(address, { memory });
    const { body } = sealer.openChecked(address, sealed);
    if (body.buffer !== memory.buffer) buffers.give(memory);
    else if (body.length < minPooledBytes) {
      buffers.give(memory);
      return Buffer.from(body);
    }
    return body;
  }
}
