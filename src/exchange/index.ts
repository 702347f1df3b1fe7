/**
 * Conversations over a stream of bytes: frames, requests paired with replies, deadlines, cancellation and bounds. Hosts talk this way
 * with each other, programs with their daemon. Knows nothing of sockets, identities or blocks.
 */
export type {
  Body,
  Channel,
  Handler,
  HandlerOptions,
  IncomingCall,
  Kind,
  LargeAnswer,
  PeerId,
  RequestOptions,
  SendOptions,
  Traffic,
} from './calls.ts';
export { Exchange, type Line } from './exchange.ts';
export {
  decodeError,
  encodeError,
  FrameDecoder,
  frameType,
  headerBytes,
  type IncomingFrame,
  outgoing,
  type OutgoingFrame,
  writeHeader,
} from './frame.ts';
export { FramedStream } from './framed-stream.ts';
export { defaultDeadlineMs, maxBodyBytes } from './limits.ts';
export { StreamLine } from './stream-line.ts';
export { joined, Switchboard } from './switchboard.ts';
export type { WireStream } from './wire-stream.ts';
