/** What a daemon and its callers have in common: the volume service, its options, status, and the client of the control API. */
export { connect, ControlClient, defaultControlSocket } from './control-client.ts';
export { type DaemonConfig, daemonOptions, loadDaemonConfig } from './daemon-config.ts';
export {
  type ClusterStatus,
  type Health,
  healthOf,
  type HealthState,
  type HostStatus,
  type HostSummary,
  type TokenInfo,
  type VolumeUsage,
  worst,
} from './status.ts';
export { listenOnSocket } from './unix-socket.ts';
export { version } from './version.ts';
export { checkVolumeName } from './volume-names.ts';
export {
  type EffectiveOptions,
  parseVolumeOptions,
  type TypedVolumeOptions,
  typedOptions,
  type VolumeOption,
  volumeOptions,
} from './volume-options.ts';
export type { Volume, VolumeService } from './volume-service.ts';
