/**
 * The FUSE kernel protocol as bytes: what a request says, how a reply and a notification are laid out, what is agreed at
 * the start. Pure: no descriptor, no clock. A request that breaks the protocol throws EINVAL, whatever its bytes are.
 */
export {
  decodeInit,
  hasDirectMaps,
  forgetsInTime,
  hasExtendedSetxattr,
  hasResend,
  isSole,
  linux,
  maxTransferBytes,
  minMinor,
  firstGeneration,
  negotiate,
  putInit,
  type SavedInit,
} from './init.ts';
export { malformed, Message, replyHeaderBytes } from './message.ts';
export { encodeGrow, encodeIncrementEpoch, encodeInvalidateEntry, encodeInvalidateInode, encodeResend } from './notifications.ts';
export { opcodeLimit, opcodes, type OperationName, operationName } from './opcodes.ts';
export { Reply, type Validity, validity } from './reply.ts';
export { decodeHeader, isResent, type RequestHeader, requestKey } from './request-header.ts';
export * from './requests.ts';
