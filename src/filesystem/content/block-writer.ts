import { messageOf } from '../../base/index.ts';
import type { VolumeContext } from '../context.ts';
import type { DataBlock } from './data-block.ts';
import { putBlock } from './put-block.ts';

/**
 * Puts sealed data blocks into the store as soon as they are full, long before an inode refers to them: many at once. What fails stays in memory, and in
 * the budget, and is put again with the commit that needs it.
 */
export class BlockWriter {
  readonly #context: VolumeContext;

  constructor(context: VolumeContext) {
    this.#context = context;
  }

  /** Starts a put; `block.putting` settles when it ended, either way. */
  start(block: DataBlock): void {
    if (block.durable || block.putting !== undefined) return;
    block.putting = this.#put(block);
  }

  async #put(block: DataBlock): Promise<void> {
    try {
      await putBlock(this.#context, block);
      block.kept();
    } catch (error) {
      this.#context.logger.debug('a data block was not kept', { address: block.address, error: messageOf(error) });
    } finally {
      block.putting = undefined;
    }
  }
}
