import type { VolumeCore } from './core.ts';

/** What a volume has in memory, for tests. */
export interface VolumeMemory {
  readonly inodes: number;
  readonly dirtyBytes: number;
  /** Of content that no record has, and of that what cannot be written out at present. */
  readonly uncommittedBytes: number;
  readonly lateBytes: number;
  readonly unwrittenXattrBytes: number;
  /** Inodes that cannot be written out at present, and all those that are not as the store has them. */
  readonly late: number;
  readonly dirty: number;
  /** On names, that are not durable. */
  readonly operations: number;
  /** Blocks of the journals that a crash would need. */
  readonly nameBlocks: number;
  readonly contentBlocks: number;
  /** Of records in the redo log. */
  readonly redoBytes: number;
  /** Inodes of which nobody knows what the store has of their content. */
  readonly uncertain: number;
  /** Inodes whose records could not be read, so that they lack what the journals have of them. */
  readonly unread: number;
  /** Of those, the ones of which a killed daemon left what waits for that. */
  readonly held: number;
}

export function memoryOf(core: VolumeCore): VolumeMemory {
  const { table, budget, unwrittenXattrs, log, unread, held, flusher, journal, contents, redo, unsettled } = core;
  let dirty = 0;
  for (const inode of table.all()) if (inode.dirty) dirty++;
  return {
    inodes: table.size,
    dirtyBytes: budget.bytes,
    uncommittedBytes: budget.uncommitted,
    lateBytes: budget.late,
    unwrittenXattrBytes: unwrittenXattrs.bytes,
    late: flusher.late.size,
    dirty,
    operations: log.length,
    nameBlocks: journal.used,
    contentBlocks: contents.used,
    redoBytes: redo?.room.used ?? 0,
    uncertain: unsettled.uncertain,
    unread: unread.size,
    held: held.size,
  };
}
