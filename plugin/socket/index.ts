/**
 * The plugin's socket, apart from what answers on it: that takes a while to load, and the engine gives up a plugin whose socket is not there soon. It promises
 * that whoever connects is answered, or hung up on when the daemon ends.
 */
export { PluginSocket } from './plugin-socket.ts';
