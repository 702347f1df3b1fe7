import { InfinitError } from '../../src/base/index.ts';
import type { CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

/** A store with room for so many bytes of immutable blocks. */
export class SmallStore extends MemoryBlockStore {
  capacity: number;

  constructor(capacity: number) {
    super();
    this.capacity = capacity;
  }

  override commit(stages: readonly Stage[]): Promise<CommitResult> {
    const more = stages.flatMap(({ put = [] }) => put).reduce((sum, { sealed }) => sum + sealed.length, 0);
    if (more > 0 && this.immutableBytes + more > this.capacity) return Promise.reject(new InfinitError('disk-full', 'no room'));
    return super.commit(stages);
  }
}
