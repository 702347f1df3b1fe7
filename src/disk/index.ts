/**
 * A host's own blocks on stable storage: ordered, group-committed, checked. What is acknowledged survives a crash at any byte;
 * what the medium damaged is reported as damaged, never as absent.
 */
export type { Disk, DiskEntry, DiskOperation, DiskStatus } from './disk.ts';
export { type Files, nodeFiles, type WriteHints } from './files.ts';
export { LogDisk, type LogDiskOptions } from './log-disk.ts';
export type { WriteMeter } from './log-writer.ts';
export { MemoryDisk, type MemoryDiskOptions } from './memory-disk.ts';
export { offerPieceCrcs } from './piece-crcs.ts';
export { scrub, type ScrubOptions, type ScrubReport } from './scrub.ts';
