import type { AttributeChanges, FileLock, FileTime } from '../../filesystem/index.ts';
import { malformed, type Message } from './message.ts';

/** A file handle as the kernel keeps it: ours in the low half, the generation of the session that gave it in the high half. */
export interface KernelHandle {
  readonly low: number;
  readonly high: number;
}

function handle(message: Message, at: number): KernelHandle {
  return { low: message.words[at]!, high: message.words[at + 1]! };
}

const lastWord = 0x7fff_ffff;

/** The count of FORGET. */
export function decodeForget(message: Message): number {
  message.require(48);
  return message.u64(10);
}

/** The pairs of BATCH_FORGET: inode, count, inode, count… */
export function decodeForgets(message: Message): Float64Array {
  message.require(48);
  const count = message.words[10]!;
  message.require(48 + count * 16);
  const pairs = new Float64Array(count * 2);
  for (let i = 0, at = 12; i < pairs.length; at += 4) {
    pairs[i++] = message.node(at);
    pairs[i++] = message.u64(at + 2);
  }
  return pairs;
}

/** FATTR_* of struct fuse_setattr_in. */
const attributeBits = {
  mode: 1,
  uid: 2,
  gid: 4,
  size: 8,
  accessed: 16,
  modified: 32,
  accessedNow: 128,
  modifiedNow: 256,
  changed: 1024,
  killPrivileges: 2048,
};

function time(message: Message, seconds: number, nanoseconds: number): FileTime {
  const rest = message.words[nanoseconds]!;
  if (rest >= 1_000_000_000) throw malformed(`${rest} nanoseconds`);
  return { seconds: message.i64(seconds), nanoseconds: rest };
}

/** GETATTR: whether the kernel asks for a read or a seek of its own, through an open file (FUSE_GETATTR_FH), and not for a program that wants to know. */
export function isForOpenFile(message: Message): boolean {
  message.require(56);
  return (message.words[10]! & 1) !== 0;
}

/** struct fuse_setattr_in. The handle that it may carry is of no use: the inode says it all. */
export function decodeSetattr(message: Message): AttributeChanges {
  message.require(128);
  const words = message.words;
  const valid = words[10]!;
  const changes: { -readonly [Key in keyof AttributeChanges]: AttributeChanges[Key] } = {};
  if (valid & attributeBits.mode) changes.mode = words[27]!;
  if (valid & attributeBits.uid) changes.uid = words[29]!;
  if (valid & attributeBits.gid) changes.gid = words[30]!;
  if (valid & attributeBits.size) changes.size = message.u64(14);
  if (valid & attributeBits.accessedNow) changes.accessed = 'now';
  else if (valid & attributeBits.accessed) changes.accessed = time(message, 18, 24);
  if (valid & attributeBits.modifiedNow) changes.modified = 'now';
  else if (valid & attributeBits.modified) changes.modified = time(message, 20, 25);
  if (valid & attributeBits.changed) changes.changed = time(message, 22, 26);
  if (valid & attributeBits.killPrivileges) changes.killPrivileges = true;
  return changes;
}

/** SYMLINK: the new name, then its target. */
export function decodeSymlink(message: Message): { name: string; target: string } {
  const name = message.name(40);
  return { name, target: message.text(41 + name.length) };
}

/** struct fuse_mknod_in and the name. */
export function decodeMknod(message: Message): { mode: number; device: number; umask: number; name: string } {
  message.require(57);
  return { mode: message.words[10]!, device: message.words[11]!, umask: message.words[12]!, name: message.name(56) };
}

/** struct fuse_mkdir_in and the name. */
export function decodeMkdir(message: Message): { mode: number; umask: number; name: string } {
  message.require(49);
  return { mode: message.words[10]!, umask: message.words[11]!, name: message.name(48) };
}

/** RENAME (no flags) and RENAME2: the new directory, the old name, the new one. */
export function decodeRename(message: Message, withFlags: boolean): { newParent: number; flags: number; name: string; newName: string } {
  const at = withFlags ? 56 : 48;
  message.require(at + 1);
  const name = message.name(at);
  return { newParent: message.node(10), flags: withFlags ? message.words[12]! : 0, name, newName: message.name(at + name.length + 1) };
}

/** struct fuse_link_in and the new name. */
export function decodeLink(message: Message): { inode: number; newName: string } {
  message.require(49);
  return { inode: message.node(10), newName: message.name(48) };
}

/** OPEN and OPENDIR. */
export function decodeOpen(message: Message): { flags: number } {
  message.require(48);
  return { flags: message.words[10]! };
}

/** TMPFILE: like CREATE, but for a name that means nothing. */
export function decodeTmpfile(message: Message): { flags: number; mode: number; umask: number } {
  message.require(56);
  return { flags: message.words[10]!, mode: message.words[11]!, umask: message.words[12]! };
}

export function decodeCreate(message: Message): { flags: number; mode: number; umask: number; name: string } {
  message.require(57);
  return { flags: message.words[10]!, mode: message.words[11]!, umask: message.words[12]!, name: message.name(56) };
}

/** READ, READDIR and READDIRPLUS. `cached`: of a file, the kernel reads a page for its cache: what it reads for a program names who may have locks (FUSE_READ_LOCKOWNER). */
export function decodeRead(message: Message): { handle: KernelHandle; offset: number; length: number; flags: number; cached: boolean } {
  message.require(80);
  const words = message.words;
  return { handle: handle(message, 10), offset: message.u64(12), length: words[14]!, flags: words[18]!, cached: (words[15]! & 2) === 0 };
}

/** struct fuse_write_in; the data follow at byte 80 and are borrowed from the message. */
export interface WriteRequest {
  readonly handle: KernelHandle;
  readonly offset: number;
  readonly flags: number;
  /** From the page cache, on behalf of nobody in particular (FUSE_WRITE_CACHE). */
  readonly cached: boolean;
  readonly killPrivileges: boolean;
  readonly data: Uint8Array;
}

export function decodeWrite(message: Message): WriteRequest {
  message.require(80);
  const words = message.words;
  return {
    handle: handle(message, 10),
    offset: message.u64(12),
    flags: words[18]!,
    cached: (words[15]! & 1) !== 0,
    killPrivileges: (words[15]! & 4) !== 0,
    data: message.part(80, 80 + words[14]!),
  };
}

/** RELEASE and RELEASEDIR. */
export function decodeRelease(message: Message): { handle: KernelHandle; flockOwner: string | undefined } {
  message.require(64);
  const unlock = (message.words[13]! & 2) !== 0;
  return { handle: handle(message, 10), flockOwner: unlock ? message.hex64(14) : undefined };
}

export function decodeFlush(message: Message): { handle: KernelHandle; lockOwner: string } {
  message.require(64);
  return { handle: handle(message, 10), lockOwner: message.hex64(14) };
}

/** FSYNC and FSYNCDIR. */
export function decodeFsync(message: Message): { handle: KernelHandle; dataOnly: boolean } {
  message.require(56);
  return { handle: handle(message, 10), dataOnly: (message.words[12]! & 1) !== 0 };
}

/** struct fuse_setxattr_in (its long form where SETXATTR_EXT was agreed), the name and the value, which is borrowed from the message. */
export function decodeSetxattr(message: Message, extended: boolean): { name: string; value: Uint8Array; flags: number; killSetgid: boolean } {
  const at = extended ? 56 : 48;
  message.require(at + 1);
  const words = message.words;
  const name = message.text(at);
  const start = at + name.length + 1;
  const value = message.part(start, start + words[10]!);
  return { name, value, flags: words[11]!, killSetgid: extended && (words[12]! & 1) !== 0 };
}

/** GETXATTR and, without a name, LISTXATTR; a limit of 0 asks for the size only. */
export function decodeGetxattr(message: Message, named: boolean): { limit: number; name: string } {
  message.require(48);
  return { limit: message.words[10]!, name: named ? message.text(48) : '' };
}

const lockTypes = ['read', 'write', 'unlock'] as const;

/** struct fuse_lk_in. */
export function decodeLock(message: Message): { handle: KernelHandle; lock: FileLock } {
  message.require(88);
  const words = message.words;
  const type = lockTypes[words[18]!];
  if (type === undefined) throw malformed(`lock type ${words[18]}`);
  const end = words[17]! >= lastWord ? Infinity : message.u64(16);
  return {
    handle: handle(message, 10),
    lock: {
      kind: (words[20]! & 1) === 0 ? 'posix' : 'flock',
      type,
      owner: message.hex64(12),
      pid: words[19]!,
      start: message.u64(14),
      end,
    },
  };
}

/** Which request an INTERRUPT is about. */
export function decodeInterrupt(message: Message): { uniqueLow: number; uniqueHigh: number } {
  message.require(48);
  return { uniqueLow: message.words[10]!, uniqueHigh: message.words[11]! };
}

export function decodeFallocate(message: Message): { handle: KernelHandle; offset: number; length: number; mode: number } {
  message.require(72);
  return { handle: handle(message, 10), offset: message.u64(12), length: message.u64(14), mode: message.words[16]! };
}

export function decodeLseek(message: Message): { handle: KernelHandle; offset: number; whence: number } {
  message.require(64);
  return { handle: handle(message, 10), offset: message.u64(12), whence: message.words[14]! };
}

export interface CopyRequest {
  readonly handle: KernelHandle;
  readonly offset: number;
  readonly toInode: number;
  readonly toHandle: KernelHandle;
  readonly toOffset: number;
  readonly length: number;
}

/** COPY_FILE_RANGE and COPY_FILE_RANGE_64. */
export function decodeCopy(message: Message): CopyRequest {
  message.require(96);
  if (message.u64(22) !== 0) throw malformed('copy flags');
  return {
    handle: handle(message, 10),
    offset: message.u64(12),
    toInode: message.node(14),
    toHandle: handle(message, 16),
    toOffset: message.u64(18),
    length: message.u64(20),
  };
}
