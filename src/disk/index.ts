/** A host's own blocks on stable storage: ordered, group-committed, checked. */
export type { Disk, DiskEntry, DiskOperation, DiskStatus } from './disk.ts';
