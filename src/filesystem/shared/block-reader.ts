import { BlockBuffers } from '../../base/index.ts';
import type { Sealer } from '../../block/index.ts';
import type { BlockStore } from '../../store/index.ts';
import { BlockCache } from '../content/block-cache.ts';
import type { Segment } from '../extents/index.ts';
import { firstFrom, segmentsIn } from './stored-parts.ts';

/** Open blocks that a guest keeps, in bytes. */
const maxCachedBytes = 32 * 1024 * 1024;
/** Up to so many bytes of a block are read without the rest, unless a reader goes through the file in order. */
const maxPartBytes = 64 * 1024;
/** Blocks that are read ahead of a reader that goes through the file in order. */
const blocksAhead = 4;

/** A guest's own way to the blocks that the host which serves the volume says a file has: they never change, and which bytes are right their addresses tell. */
export class BlockReader {
  readonly #cache: BlockCache;

  constructor(store: Pick<BlockStore, 'get'>, sealer: Sealer) {
    this.#cache = new BlockCache({ store, sealer, buffers: new BlockBuffers(), options: { maxCachedBytes } });
  }

  /**
   * The bytes of [start, end), holes as zeros.
   * @param segments of a part of the file that covers it.
   * @throws InfinitError `not-found` where a block went since; `damaged`, `unavailable`, `deadline-exceeded`.
   */
  async read(segments: readonly Segment[], start: number, end: number, sequential: boolean): Promise<Uint8Array> {
    const wanted = segmentsIn(segments, start, end);
    if (sequential) this.#readAhead(segments, end);
    const bytes = Buffer.alloc(end - start);
    await Promise.all(
      wanted.map(async ({ offset, length, address, blockOffset }) => {
        if (address === undefined) return;
        const [from, until] = [Math.max(start, offset), Math.min(end, offset + length)];
        const at = blockOffset + from - offset;
        if (until - from <= maxPartBytes && !sequential) return bytes.set(await this.#cache.loadPart(address, at, until - from), from - start);
        // What leaves the cache is overwritten: copied in the turn in which it came.
        const block = await this.#cache.load(address);
        bytes.set(block.subarray(at, at + until - from), from - start);
      }),
    );
    return bytes;
  }

  #readAhead(segments: readonly Segment[], from: number): void {
    let ahead = 0;
    for (let index = firstFrom(segments, from); index < segments.length; index++) {
      const { address } = segments[index]!;
      if (address === undefined) continue;
      if (ahead++ === blocksAhead) return;
      this.#cache.prefetch(address);
    }
  }
}
