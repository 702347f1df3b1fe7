import { InfinitError, messageOf } from '../../base/index.ts';
import type { VolumeContext } from '../context.ts';
import type { DataBlock } from '../content/data-block.ts';
import { putBlock } from '../content/put-block.ts';

/** Puts the blocks of borrowed files as soon as they are full. Their bytes stay until the host that serves the volume has answered: another one may have to be told them. */
export class BlockPutter {
  readonly #context: VolumeContext;
  /** Those that the store has. */
  readonly #put = new WeakSet<DataBlock>();
  /** Why the last one that was not put was not. */
  #failure: unknown;

  constructor(context: VolumeContext) {
    this.#context = context;
  }

  start(block: DataBlock): void {
    if (this.#put.has(block) || block.putting !== undefined) return;
    block.putting = this.#try(block);
  }

  /** @throws InfinitError what the store says, or `unavailable` */
  async put(block: DataBlock): Promise<void> {
    await block.putting;
    this.start(block);
    await block.putting;
    if (!this.#put.has(block))
      throw this.#failure instanceof InfinitError ? this.#failure : new InfinitError('unavailable', 'a block could not be put');
  }

  /** Nobody refers to it here any more. */
  done(block: DataBlock): void {
    if (this.#put.has(block)) block.kept();
    else block.forget();
  }

  /** It was written over before anybody was told of it. What cannot be removed now is found as any orphan is. */
  discard(block: DataBlock): void {
    const { address, putting } = block;
    const remove = async (): Promise<void> => {
      await putting;
      if (this.#put.has(block)) await this.#context.store.commit([{ drop: [address] }]);
    };
    remove().catch((error: unknown) => this.#context.logger.debug('a data block was not removed', { address, error: messageOf(error) }));
    block.forget();
  }

  async #try(block: DataBlock): Promise<void> {
    try {
      await putBlock(this.#context, block);
      this.#put.add(block);
    } catch (error) {
      this.#failure = error;
      this.#context.logger.debug('a data block was not put', { address: block.address, error: messageOf(error) });
    } finally {
      block.putting = undefined;
    }
  }
}
