import type { Inode } from '../inodes/inode.ts';
import { inodeCost, maxJournalBytes, nameCost, recordCost } from './journal-codec.ts';
import type { Batch, OperationLog } from './operation-log.ts';
import type { RecordCommitter } from './record-committer.ts';

/** Records that a block of the journal has, of the inodes that it makes, and what of each inode they have. */
export type RecordsWithin = ReadonlyMap<Inode, { readonly record: Uint8Array; readonly revision: number }>;

/** The longest prefix of the log, of so many operations at the most, that fits a block with the records of all inodes that it makes; undefined: it makes none, or that is too large. */
export function batchWithRecords(
  log: OperationLog,
  records: Pick<RecordCommitter, 'recordOf'>,
  most: number,
): { readonly batch: Batch; readonly within: RecordsWithin } | undefined {
  for (let count = most; count > 0; count >>= 1) {
    const batch = log.batch(count)!;
    const within = new Map<Inode, { readonly record: Uint8Array; readonly revision: number }>();
    let bytes = 0;
    for (const changes of batch.names.values()) for (const name of changes.keys()) bytes += nameCost(name);
    for (const [inode, { delta, parent, gone }] of batch.links) {
      bytes += inodeCost;
      if (inode.born || gone) continue;
      const made = records.recordOf(inode, inode.durableLinks + delta, parent);
      within.set(inode, made);
      bytes += recordCost(made.record);
    }
    if (within.size === 0) return undefined;
    if (bytes <= maxJournalBytes) return { batch, within };
    // A batch is bounded already.
    count = Math.min(count, batch.count);
  }
  return undefined;
}
