import { minPooledBytes } from '../../base/index.ts';
import type { VolumeContext } from '../context.ts';
import type { DataBlock } from './data-block.ts';
import { versionsOf } from '../failure.ts';

/**
 * Puts one block; of those that have memory from the pool the store says when it reads it no more, which may be long after a majority has the block. Where the put fails it says
 * nothing that counts: copies may be on their way still when the block is put again.
 * @throws InfinitError what the store says
 */
export async function putBlock({ store, buffers }: VolumeContext, block: DataBlock): Promise<void> {
  let isPut = false;
  let isRead = true;
  const settle = (): void => {
    if (isPut && !isRead) block.released(buffers);
  };
  const onReleased = (): void => {
    isRead = false;
    settle();
  };
  const result = await store.commit([{ put: [block] }], block.size < minPooledBytes ? {} : { onReleased });
  versionsOf(result);
  isPut = true;
  if (result.done && result.released === true) isRead = false;
  settle();
}
