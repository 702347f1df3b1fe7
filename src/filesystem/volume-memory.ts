import type { VolumeCore } from './core.ts';

/** What a volume has in memory, for tests. */
export interface VolumeMemory {
  readonly inodes: number;
  readonly dirtyBytes: number;
  readonly unwrittenXattrBytes: number;
  /** On names, that are not durable. */
  readonly operations: number;
  /** Inodes whose records could not be read, so that they lack what the journals have of them. */
  readonly unread: number;
  /** Of those, the ones of which a killed daemon left what waits for that. */
  readonly held: number;
}

export function memoryOf({ table, budget, unwrittenXattrs, log, unread, held }: VolumeCore): VolumeMemory {
  return {
    inodes: table.size,
    dirtyBytes: budget.bytes,
    unwrittenXattrBytes: unwrittenXattrs.bytes,
    operations: log.length,
    unread: unread.size,
    held: held.size,
  };
}
