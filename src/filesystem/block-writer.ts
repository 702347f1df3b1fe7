import { messageOf } from '../base/index.ts';
import type { VolumeContext } from './context.ts';
import type { DataBlock } from './data-block.ts';
import { putBlocks } from './put-blocks.ts';

/** Blocks of one commit: each waits for the last of them. */
const maxBlocks = 8;

interface Gathering {
  readonly blocks: DataBlock[];
  /** Settles when their put ended, either way. */
  readonly done: Promise<void>;
}

/**
 * Puts sealed data blocks into the store as soon as they are full, long before an inode refers to them: many at once, and those that come in one turn of the event loop
 * with one commit, since a commit costs either thread more than a block does. What fails stays in memory, and in the budget, and is put again with the commit that needs it.
 */
export class BlockWriter {
  readonly #context: VolumeContext;
  /** Those of this turn. */
  #due: Gathering | undefined;

  constructor(context: VolumeContext) {
    this.#context = context;
  }

  /** Starts a put; `block.putting` settles when it ended, either way. */
  start(block: DataBlock): void {
    if (block.durable || block.putting !== undefined) return;
    const due = (this.#due ??= this.#gather());
    block.putting = due.done;
    if (due.blocks.push(block) === maxBlocks) this.#due = undefined;
  }

  #gather(): Gathering {
    const blocks: DataBlock[] = [];
    return { blocks, done: Promise.resolve().then(() => this.#put(blocks)) };
  }

  async #put(blocks: readonly DataBlock[]): Promise<void> {
    if (this.#due?.blocks === blocks) this.#due = undefined;
    try {
      await putBlocks(this.#context, blocks);
      for (const block of blocks) block.kept();
    } catch (error) {
      this.#context.logger.debug('data blocks were not kept', { addresses: blocks.map(({ address }) => address), error: messageOf(error) });
    } finally {
      for (const block of blocks) block.putting = undefined;
    }
  }
}
