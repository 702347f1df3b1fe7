import { InfinitError } from '../../../src/base/index.ts';
import type { Address } from '../../../src/block/index.ts';
import type { BlockStore, CallOptions, CommitResult, Stage } from '../../../src/store/index.ts';

/** A host's way to the store for as long as its process lives, or its lease. */
export class ClosingWay implements BlockStore {
  readonly #store: BlockStore;
  readonly #pause: () => Promise<void>;
  readonly #chance: () => number;
  #isCut = false;

  constructor(store: BlockStore, pause: () => Promise<void>, chance: () => number) {
    this.#store = store;
    this.#pause = pause;
    this.#chance = chance;
  }

  cut(): void {
    this.#isCut = true;
  }

  async get(address: Address, options?: CallOptions): Promise<Uint8Array> {
    await this.#through();
    return this.#store.get(address, options);
  }

  async fetch(address: Address): ReturnType<BlockStore['fetch']> {
    await this.#through();
    return this.#store.fetch(address);
  }

  async commit(stages: readonly Stage[]): Promise<CommitResult> {
    const versions: (readonly number[])[] = [];
    for (const [index, stage] of stages.entries()) {
      this.#live();
      await this.#pause();
      // What had left when the way was cut may arrive all the same, and late.
      if (this.#isCut && this.#chance() < 0.5) this.#live();
      const result = await this.#store.commit([stage]);
      this.#live();
      await this.#pause();
      this.#live();
      if (!result.done) return { ...result, stage: index };
      versions.push(...result.versions);
    }
    return { done: true, versions };
  }

  async #through(): Promise<void> {
    this.#live();
    await this.#pause();
    this.#live();
  }

  #live(): void {
    if (this.#isCut) throw new InfinitError('closed', 'the way to the store is closed');
  }
}
