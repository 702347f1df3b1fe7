/**
 * Serves a `FileSystem` to the kernel over /dev/fuse: the protocol, the mount, and a holder process that keeps mounts alive
 * while the daemon is replaced. Every request is answered within a deadline, nothing is left mounted without somebody to serve it.
 */
export { askForHugePages, fastCrcs, giveRoom, kernelFileClock, mapFile, memoryFile, releaseFreedMemory, sendAnswer, takeRoom } from './addon.ts';
export { type ContainerMounts, mountsInContainers } from './container-mounts.ts';
export type { DeviceEnd } from './device.ts';
export { laterExitCode, refusalExitCode } from './holder.ts';
export { HolderClient } from './holder-client.ts';
export type { AdoptedMount } from './holder-messages.ts';
export {
  abortMount,
  bindMount,
  clearStaleMounts,
  detachMount,
  type FuseMount,
  mountFuse,
  type MountSettings,
  removeMountPoint,
  setReadAhead,
  unmountIdle,
} from './mount.ts';
export { listMounts, type MountEntry } from './mount-table.ts';
export type { Notifier } from './notifier.ts';
export type { FuseOptions } from './options.ts';
export { type FuseSession, type FuseStatistics, serveFileSystem, type ServeSettings } from './session.ts';
export { linux, type SavedInit } from './wire/index.ts';
