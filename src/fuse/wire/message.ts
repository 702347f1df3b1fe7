import { FileSystemError } from '../../filesystem/index.ts';

/** Bytes of struct fuse_in_header, before every request's body. */
export const requestHeaderBytes = 40;
/** Bytes of struct fuse_out_header, before every reply's body. */
export const replyHeaderBytes = 16;
/** The longest name of a directory entry (NAME_MAX). */
export const maxNameBytes = 255;

const two32 = 4_294_967_296;

/** One message of the kernel protocol in memory of its own: as bytes and, since all fields are aligned, as 32-bit words. */
export class Message {
  readonly bytes: Buffer;
  readonly words: Uint32Array;
  readonly #plain: Uint8Array;
  /** Bytes of the message that is in it now. */
  length = 0;

  constructor(capacity: number) {
    const memory = new ArrayBuffer(Math.ceil(capacity / 8) * 8);
    this.bytes = Buffer.from(memory);
    this.words = new Uint32Array(memory);
    this.#plain = new Uint8Array(memory);
  }

  /** The unsigned 64-bit field at word `at`. Beyond 2^53 it is rounded, which only ever meets a limit check. */
  u64(at: number): number {
    return this.words[at]! + this.words[at + 1]! * two32;
  }

  /** The signed 64-bit field at word `at`. */
  i64(at: number): number {
    return this.words[at]! + (this.words[at + 1]! | 0) * two32;
  }

  /** Stores an integer (negative ones in two's complement) as the 64-bit field at word `at`. */
  put64(at: number, value: number): void {
    this.words[at] = value >>> 0;
    this.words[at + 1] = Math.floor(value / two32) >>> 0;
  }

  /** A node id: an inode number of ours, below 2^53. */
  node(at: number): number {
    if (this.words[at + 1]! >= 0x200000) throw malformed('a node id beyond 2^53');
    return this.u64(at);
  }

  /** A 64-bit opaque value as 16 hex digits. */
  hex64(at: number): string {
    return hex32(this.words[at + 1]!) + hex32(this.words[at]!);
  }

  /** A part of the message, borrowed. Not a Buffer, whose `slice` would not copy. */
  part(start: number, end: number): Uint8Array {
    this.require(end);
    return this.#plain.subarray(start, end);
  }

  /** Requires that at least `end` bytes arrived. */
  require(end: number): void {
    if (this.length < end) throw malformed(`${this.length} bytes where ${end} were due`);
  }

  /** The NUL-terminated byte string at byte `at`, one character a byte; `+ 1` past its length lies what follows it. */
  text(at: number): string {
    let end = at;
    while (end < this.length && this.bytes[end] !== 0) end++;
    if (end >= this.length) throw malformed('a string without its end');
    return this.bytes.toString('latin1', at, end);
  }

  /** The name of a directory entry at byte `at`. */
  name(at: number): string {
    const name = this.text(at);
    if (name.length > maxNameBytes) throw new FileSystemError('ENAMETOOLONG');
    if (name.length === 0 || name.includes('/')) throw malformed('a name that is none');
    return name;
  }
}

/** What a request that breaks the protocol is answered with. */
export function malformed(what: string): FileSystemError {
  return new FileSystemError('EINVAL', `malformed request: ${what}`);
}

/** Of a byte each: a table of two at once would take 2.5 MiB of each thread. */
const hexDigits: readonly string[] = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));

function hex32(value: number): string {
  return hexDigits[value >>> 24]! + hexDigits[(value >>> 16) & 0xff]! + hexDigits[(value >>> 8) & 0xff]! + hexDigits[value & 0xff]!;
}
