/** What `import … from 'infinit'` gives a program: the value store, volumes and status of the daemon on its host. */
export { Block, type Blocks, committed, type Value, type WriteLimits, type WriteResult } from './blocks.ts';
export type { BlockReport, CallLimits, ReplicaReport } from './block-service.ts';
export { maxBlockNameBytes } from './block-reference.ts';
export { maxImmutableValueBytes, maxValueBytes } from './block-service.ts';
export { connect, type Infinit, type Volumes } from './infinit.ts';
export type {
  BlockCounts,
  ClusterStatus,
  Health,
  HealthState,
  HostDisk,
  HostStatus,
  HostSummary,
  RepairProgress,
  SilentHost,
  VolumeUsage,
} from './status.ts';
export type { Volume } from './volume-service.ts';
export { type Address, isAddress } from '../block/index.ts';
export { type ErrorCode, InfinitError } from '../base/index.ts';
