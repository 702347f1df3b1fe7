import { minPooledBytes } from '../base/index.ts';
import type { SealedBlock } from '../store/index.ts';
import type { VolumeContext } from './context.ts';
import type { DataBlock } from './data-block.ts';
import { versionsOf } from './failure.ts';

/**
 * Puts blocks in one commit; of those that have memory from the pool the store says when it reads it no more, which may be long after a majority has the block. Where the put fails it says
 * nothing that counts: copies may be on their way still when a block is put again.
 * @throws InfinitError what the store says of the first that failed; the others may have been put
 */
export async function putBlocks({ store, buffers }: VolumeContext, blocks: readonly DataBlock[]): Promise<void> {
  const unread = new Set<SealedBlock>();
  let arePut = false;
  const settle = (): void => {
    if (arePut) for (const block of blocks) if (unread.delete(block)) block.released(buffers);
  };
  const onReleased = (block: SealedBlock): void => {
    unread.add(block);
    settle();
  };
  const result = await store.commit([{ put: blocks }], blocks.some(({ size }) => size >= minPooledBytes) ? { onReleased } : {});
  versionsOf(result);
  arePut = true;
  if (result.done && result.released === true) for (const block of blocks) unread.add(block);
  settle();
}
