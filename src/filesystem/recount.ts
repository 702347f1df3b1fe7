import type { VolumeCore } from './core.ts';
import type { JournalBlock } from './journal/journal-codec.ts';
import type { StateRecord } from './journal/volume-state.ts';

/**
 * What the volume holds, after whatever end: what its own block counts, and what may be otherwise since that was written. These are the inodes that the journal's blocks since then
 * make or remove, and those that the volume's own block names as unsettled. Of what is there the records tell how much it is.
 */
export function recount({ usage, unread }: VolumeCore, found: StateRecord, blocks: readonly JournalBlock[]): void {
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
  // The earlier session may not have known that its last block was durable, and have been about to write it again, and the records before it.
  for (const number of made) unread.made(number, late.includes(number));
  for (const one of open.values()) unread.unsettled(one);
}
