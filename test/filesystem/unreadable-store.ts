import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import type { Address } from '../../src/block/index.ts';
import type { CallOptions, CommitResult, Stage, StoredBlock } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

/** A store that does not reach some blocks: they can be neither read nor, if they are mutable, written. */
export class UnreadableStore extends MemoryBlockStore {
  /** What becomes of a call that needs this block; undefined: it goes through. */
  lacks: (address: Address) => ErrorCode | undefined = () => undefined;

  /** Mutable ones can be read, and not written. */
  readable = false;

  override async get(address: Address, options?: CallOptions): Promise<Uint8Array> {
    this.#check(address);
    return super.get(address, options);
  }

  override async fetch(address: Address): Promise<StoredBlock | undefined> {
    if (!this.readable) this.#check(address);
    return super.fetch(address);
  }

  override async commit(stages: readonly Stage[]): Promise<CommitResult> {
    const versions: (readonly number[])[] = [];
    for (const stage of stages) {
      const lost = (stage.update ?? []).map(({ address }) => this.lacks(address)).find((code) => code !== undefined);
      if (lost !== undefined) {
        const outcome = { status: 'failed', code: lost, message: 'out of reach' } as const;
        return { done: false, stage: versions.length, outcomes: stage.update!.map(() => outcome) };
      }
      const result = await super.commit([stage]);
      if (!result.done) return result;
      versions.push(...result.versions);
    }
    return { done: true, versions, released: true };
  }

  #check(address: Address): void {
    const code = this.lacks(address);
    // A full host can be read.
    if (code !== undefined && code !== 'disk-full') throw new InfinitError(code, 'out of reach');
  }
}
