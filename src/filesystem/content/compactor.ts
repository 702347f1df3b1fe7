import { messageOf } from '../../base/index.ts';
import type { VolumeCore } from '../core.ts';
import { dataBlockBytes } from './data-block.ts';
import type { Inode } from '../inodes/inode.ts';
import { attempt } from '../miss.ts';
import { Pinned } from './reading.ts';

/** Files remembered as scattered; of more the first are forgotten until they are written again. */
const maxQueued = 1024;
/** What one quiet moment rewrites at the most. */
const bytesPerRun = 8 * 1024 * 1024;
/** A file is left alone until it has not been written for so long. */
const settledMs = 10_000;

/**
 * Restores order in files that scattered writes have left in pieces, in quiet moments only: what the extent map finds worth it is read and
 * written again like any content, so that it shares blocks with its neighbours and blocks that are mostly dead go.
 */
export class Compactor {
  readonly #core: VolumeCore;
  /** Inode numbers, with the time of the last scattered write. */
  readonly #queue = new Map<number, number>();

  constructor(core: VolumeCore) {
    this.#core = core;
  }

  get idle(): boolean {
    return this.#queue.size === 0;
  }

  /** Scattered pieces of the file were written. */
  scattered(inode: number): void {
    this.#queue.delete(inode);
    this.#queue.set(inode, this.#core.context.setup.clock.monotonicMs());
    if (this.#queue.size > maxQueued) this.#queue.delete(this.#queue.keys().next().value!);
  }

  /** One step; what fails is tried again when the file is written next. */
  async run(): Promise<void> {
    const [first] = this.#queue;
    if (first === undefined || this.#core.context.setup.clock.monotonicMs() - first[1] < settledMs) return;
    const inode = this.#core.table.peek(first[0]);
    this.#queue.delete(first[0]);
    if (inode?.content?.map === undefined || inode.gone || inode.dirty) return;
    const { budget } = this.#core;
    try {
      const ranges = await inode.content.map.compactionCandidates(bytesPerRun);
      for (const { offset, length } of ranges) {
        // With too much in memory the moment is quiet no longer. Room is not to be waited for here: the flusher, which makes it, waits for this run.
        for (let at = offset; at < offset + length && budget.pressing <= budget.limit;) {
          const end = Math.min(offset + length, at - (at % dataBlockBytes) + dataBlockBytes);
          await this.#rewrite(inode, at, end);
          at = end;
        }
      }
      // There may be more of it.
      if (ranges.length > 0) this.#queue.set(first[0], first[1]);
    } catch (error) {
      this.#core.context.logger.warn('a file could not be put in order', { inode: inode.number, error: messageOf(error) });
    }
  }

  /** Reads and writes the same bytes, in one step without a gap in which they could change. */
  async #rewrite(inode: Inode, start: number, end: number): Promise<void> {
    const pinned = new Pinned();
    await attempt(() => {
      if (inode.gone || inode.content === undefined) return;
      const until = Math.min(end, inode.size);
      if (start >= until) return;
      inode.content.rewrite(start, Buffer.concat(inode.content.read(start, until, pinned)));
      inode.used = true;
      this.#core.dirtied(inode);
    });
  }
}
