/** What a daemon and its callers have in common: the volume service, its options, status, and the client of the control API. */
export { blockKinds, decodeUpdate, decodeWait, encodeBlockState, encodeOutcome, upgradeProtocol } from './block-protocol.ts';
export { addressOfName, programOwner, resolveBlock } from './block-reference.ts';
export {
  type BlockReport,
  type BlockService,
  type BlockState,
  type CallLimits,
  maxImmutableValueBytes,
  maxValueBytes,
  type ReplicaReport,
  type WriteOutcome,
} from './block-service.ts';
export { Block, Blocks, committed, type WriteLimits, type WriteResult } from './blocks.ts';
export { directoryOf, holderOf } from './mount-holder.ts';
export { hindranceOf } from './hindrance.ts';
export { defaultPort, withPort } from './host-port.ts';
export { hostsCalled } from './hosts-called.ts';
export { makeDirectory } from './made-directory.ts';
export { forWantOfHosts } from './missing-hosts.ts';
export { nearest } from './nearest.ts';
export { noVolume, noVolumeToRemove } from './no-volume.ts';
export { ControlClient, controlSocketOf, defaultControlSocket } from './control-client.ts';
export { clusterHealth, storingHosts } from './cluster-health.ts';
export { connect, Infinit } from './infinit.ts';
export type { RepairControl, SalvageAnswer, SalvageCall, SalvagedBlock } from './repair-control.ts';
export { maxSocketPathBytes } from './socket-failure.ts';
export { SocketStream } from './socket-stream.ts';
export { type DaemonConfig, daemonOptions, loadDaemonConfig, mistypedVariables } from './daemon-config.ts';
export {
  type BlockCounts,
  type ClusterStatus,
  type Health,
  healthOf,
  healthOutside,
  noMajority,
  type HostsSeen,
  type HealthState,
  type HostStatus,
  type HostSummary,
  type RepairProgress,
  type ScrubProgress,
  type SilentHost,
  type RosterStatus,
  type TokenInfo,
  type TokenState,
  type Left,
  type VolumeCheck,
  type VolumeUsage,
  worst,
  copiesOf,
} from './status.ts';
export { quotaBytes } from './option-values.ts';
export { isServed, listenOnSocket } from './unix-socket.ts';
export { checkedOut, commitFile } from './checkout.ts';
export { version } from './version.ts';
export { checkNewVolumeName, checkVolumeName } from './volume-names.ts';
export {
  differences,
  type EffectiveOptions,
  mountsAlike,
  parseVolumeChanges,
  parseVolumeOptions,
  type TypedVolumeOptions,
  typedOptions,
  type VolumeOption,
  changeableOptions,
  volumeOptions,
} from './volume-options.ts';
export type { Membership, TrashControl, TrashedVolume, Volume, VolumeControl, VolumeService } from './volume-service.ts';
