import type { VolumeCore } from './core.ts';
import type { Inode } from './inodes/inode.ts';
import type { JournalBlock } from './journal/journal-codec.ts';
import { inParallel } from './parallel.ts';
import type { UnsettledInode } from './journal/unsettled.ts';
import type { StateRecord } from './journal/volume-state.ts';

const parallelLoads = 64;

/**
 * What the volume holds, after whatever end: what its own block counts, and what may be otherwise since that was written. These are the inodes that the journal's blocks since then
 * make or remove, and those that the volume's own block names as unsettled. Of what is there the records tell how much it is.
 */
export async function recount(core: VolumeCore, found: StateRecord, blocks: readonly JournalBlock[]): Promise<void> {
  const { usage } = core;
  const open = new Map(found.unsettled.map((one) => [one.inode, one]));
  const made = new Set<number>();
  /** Made by the last block. */
  let late: number[] = [];
  for (const block of blocks) {
    if (block.sequence < found.next) continue;
    if (!block.counts) usage.recall(block.usage);
    const fresh: number[] = [];
    for (const { number, gone, made: isMade, counted, bytes } of block.counts ? block.inodes : []) {
      if (isMade && !gone) fresh.push(number);
      if (isMade || !gone || counted === true || made.delete(number)) continue;
      // The block may say what the volume's own was about to count for it, and then did not.
      usage.count(-(open.get(number)?.counted ?? bytes), -1);
      open.delete(number);
    }
    for (const number of fresh) made.add(number);
    if (fresh.length > 0) late = fresh;
  }
  await inParallel(made, parallelLoads, async (number) => {
    const inode = await core.table.load(number);
    if (inode === undefined) return;
    usage.count(inode.content?.accounted ?? 0, 1);
    // The earlier session may not have known that its block was durable, and have been about to write it again, and the records before it.
    if (late.includes(number)) inherit(core, inode, { inode: number, counted: inode.content?.accounted ?? 0 });
  });
  await inParallel(open.values(), parallelLoads, async (one) => {
    const inode = await core.table.load(one.inode);
    if (inode !== undefined) inherit(core, inode, one);
  });
}

/** An earlier session may have the inode's record on its way still: one of this session's goes over it. */
function inherit({ usage, unsettled, flusher, context }: VolumeCore, inode: Inode, known: UnsettledInode): void {
  if (inode.content === undefined) return;
  usage.add(inode.content.accounted - known.counted, 0);
  if (context.options.readOnly === true) return;
  unsettled.inherit(known, inode.content.accounted);
  // Nothing of it is unsynced.
  inode.journaledRevision = ++inode.revision;
  flusher.add(inode);
}
