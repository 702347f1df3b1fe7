/**
 * A volume as a POSIX file system over a block store. All state of a mounted volume is in memory of one thread; what is acknowledged as
 * durable is in the store, and whatever a crash interrupts is brought to its end at the next mount.
 */
export * from './file-system.ts';
export { rootInode } from './root-inode.ts';
export { checkVolume, type CheckReport, type StoreContents } from './check.ts';
export type { Problem } from './problem.ts';
export type { VolumeOptions, VolumeSetup } from './context.ts';
export { isSameTime } from './inodes/file-time.ts';
export { costOf, type LostBlock, saysLost } from './journal/lost-blocks.ts';
export { type MendReport, openWithoutLost } from './mend.ts';
export { purgeVolume, type PurgeReport, removeBlock } from './removal/purge.ts';
export { spareAttempt } from './redo/redo-head.ts';
export type { SurvivingMemory } from './redo/surviving-memory.ts';
export type { OwnedBlock } from './removal/unreferenced.ts';
export type { LostLocksNotice } from './shared/lost-locks.ts';
export type { UnreadNotice } from './journal/unread-notice.ts';
export { storedUsage } from './journal/volume-state.ts';
export { Volume } from './volume.ts';
export {
  type Awaited,
  type Backing,
  BlockReader,
  CallServer,
  encodeFailure,
  largeAnswerTo,
  type GrantKey,
  Grants,
  type GrantsOptions,
  ownKernel,
  grantTermMs,
  LockGrace,
  SharedFileSystem,
  SilentHosts,
  type Unsaid,
  UnsaidMemory,
  unsaidMemoryBytes,
} from './shared/index.ts';
