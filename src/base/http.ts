/**
 * Node's HTTP module. To import it costs a process 14 MiB: the names of a CommonJS module are told by reading them all, and one of this one's is
 * a getter that loads the whole of undici, for the sake of WebSocket.
 */
export function http(): typeof import('node:http') {
  return process.getBuiltinModule('node:http');
}
