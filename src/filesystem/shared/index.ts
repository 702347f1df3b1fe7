/** One volume on several hosts: the holder of its lease serves the operations of the others. */
export { BlockReader } from './block-reader.ts';
export { CallServer } from './call-server.ts';
export { encodeFailure } from './calls.ts';
export { largeAnswerTo } from './large-answers.ts';
export { grantTermMs, Grants, type GrantKey, type GrantsOptions, ownKernel } from './grants.ts';
export type { Backing } from './backing.ts';
export { type Awaited, LockGrace } from './lock-grace.ts';
export { SharedFileSystem } from './shared-file-system.ts';
export type { Shown } from './shown.ts';
export { SilentHosts } from './silent-hosts.ts';
export { type Unsaid, UnsaidMemory, unsaidMemoryBytes } from './unsaid-memory.ts';
