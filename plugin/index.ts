/**
 * The Docker volume plugin: the engine's VolumeDriver protocol on a unix socket, over a VolumeService. It promises that no input ends the
 * process, that every call may be repeated, and that a volume whose state is not known is never called absent.
 */
export { announce, type Announcement, type AnnounceSettings, type SwarmMember } from './discovery.ts';
export { findPeersInSwarm, type SwarmPeersSettings } from './swarm-peers.ts';
export { type PluginSettings, startPlugin } from './server.ts';
