import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import { type Address, ownerOf } from '../../src/block/index.ts';
import type { CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

/** A store that does not take what belongs to some inodes. */
export class BlockedStore extends MemoryBlockStore {
  /** What becomes of a commit that has a block, or the record, of this inode; undefined: it goes through. */
  blocked: (inode: number) => Promise<never> | undefined = () => undefined;

  /** A block that is not removed. */
  kept: { readonly address: Address; readonly code: ErrorCode } | undefined;

  override async commit(stages: readonly Stage[]): Promise<CommitResult> {
    for (const { put = [], update = [] } of stages) {
      const kept = update.some(({ address, payload }) => payload === null && address === this.kept?.address) ? this.kept : undefined;
      if (kept !== undefined) throw new InfinitError(kept.code, 'not removed');
      for (const sealed of [...put.map((block) => block.sealed), ...update.flatMap(({ payload }) => payload ?? [])]) {
        const blocked = this.blocked(ownerOf(sealed).inode);
        if (blocked !== undefined) return blocked;
      }
    }
    return super.commit(stages);
  }
}
