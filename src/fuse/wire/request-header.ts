import { malformed, type Message, requestHeaderBytes } from './message.ts';
import type { KernelHandle } from './requests.ts';

/** Who asks what, copied out of the message: it outlives the buffer while the request is in flight. */
export interface RequestHeader {
  readonly opcode: number;
  /** The request's number, to be echoed; its top bit marks one that is sent again after a crash of ours. */
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  /** The inode; not yet checked to be below 2^53, so that even a bad one can be answered. */
  readonly node: number;
  readonly uid: number;
  readonly gid: number;
  /** The asking thread, in our pid namespace; 0: not visible there. */
  readonly pid: number;
  /** The name under the inode that the answer will tell of, where it is about one; set by whoever decodes it. */
  name: string | undefined;
  /** Set while pages that a program changed in mapped memory are being written: the handle that they come through. */
  page: KernelHandle | undefined;
}

/** FUSE_UNIQUE_RESEND. */
const resendBit = 0x8000_0000;

/** Reads struct fuse_in_header. @throws FileSystemError EINVAL. */
export function decodeHeader(message: Message): RequestHeader {
  message.require(requestHeaderBytes);
  const words = message.words;
  if (words[0] !== message.length) throw malformed(`a length of ${words[0]} where ${message.length} bytes arrived`);
  return {
    opcode: words[1]!,
    uniqueLow: words[2]!,
    uniqueHigh: words[3]!,
    node: message.u64(4),
    uid: words[6]!,
    gid: words[7]!,
    pid: words[8]!,
    name: undefined,
    page: undefined,
  };
}

/** Did an earlier life of this daemon read the request already, and perhaps execute it? */
export function isResent(header: RequestHeader): boolean {
  return (header.uniqueHigh & resendBit) !== 0;
}

/** The request's number as a key: INTERRUPT names requests by it, with the resend bit or without. */
export function requestKey(uniqueLow: number, uniqueHigh: number): number {
  return uniqueLow + (uniqueHigh & 0x1f_ffff) * 4_294_967_296;
}
