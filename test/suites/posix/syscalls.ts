/** System calls as they are, with the kernel's own errors: Node hides many of them and rounds times. Synchronous, and as the thread's current user. */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { compileAddon } from '../../../src/fuse/native/build.ts';

type Argument = number | bigint | Uint8Array;

const addon = createRequire(import.meta.url)(
  compileAddon(path.join(import.meta.dirname, 'native/syscall.c'), path.resolve(import.meta.dirname, '../../../build/syscall.node')),
) as { call(number: number, ...args: readonly Argument[]): number };

/** Numbers on x86-64 and on arm64. */
const numbers = {
  close: [3, 57],
  copyFileRange: [326, 285],
  faccessat: [269, 48],
  fadvise64: [221, 223],
  fallocate: [285, 47],
  fchmod: [91, 52],
  fchmodat: [268, 53],
  fchown: [93, 55],
  fchownat: [260, 54],
  fcntl: [72, 25],
  fdatasync: [75, 83],
  flock: [73, 32],
  fsetxattr: [190, 7],
  fsync: [74, 82],
  ftruncate: [77, 46],
  getdents64: [217, 61],
  lgetxattr: [192, 9],
  linkat: [265, 37],
  llistxattr: [195, 12],
  lremovexattr: [198, 15],
  lseek: [8, 62],
  lsetxattr: [189, 6],
  memfdCreate: [319, 279],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  mmap: [9, 222],
  msync: [26, 227],
  munmap: [11, 215],
  openat: [257, 56],
  pread64: [17, 67],
  pwrite64: [18, 68],
  read: [0, 63],
  readlinkat: [267, 78],
  renameat2: [316, 276],
  sendfile: [40, 71],
  setgroups: [116, 159],
  setresgid: [119, 149],
  setresuid: [117, 147],
  statx: [332, 291],
  symlinkat: [266, 36],
  syncfs: [306, 267],
  truncate: [76, 45],
  umask: [95, 166],
  unlinkat: [263, 35],
  utimensat: [280, 88],
  write: [1, 64],
} as const;

const column = process.arch === 'arm64' ? 1 : 0;
const errnoNames = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
errnoNames.set(95, 'EOPNOTSUPP');
errnoNames.set(11, 'EAGAIN');

/** What a call came to: its result, or the name of its errno. */
export type Result = number | string;

export function call(name: keyof typeof numbers, ...args: readonly Argument[]): Result {
  const result = addon.call(numbers[name][column], ...args);
  return result < 0 && result > -4096 ? (errnoNames.get(-result) ?? `errno ${-result}`) : result;
}

/** The argument for calls that must not fail here: setting the scene. */
export function must(result: Result): number {
  if (typeof result === 'string') throw new Error(`an unexpected ${result}`);
  return result;
}

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, 'latin1');
}

const atCwd = -100;
const [symlinkNofollow, removeDirectory, symlinkFollow, emptyPath] = [0x100, 0x200, 0x400, 0x1000];

/** open(2) flags; O_DIRECTORY and O_NOFOLLOW differ between the architectures. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DSYNC: 0o10000,
  DIRECT: column === 0 ? 0o40000 : 0o200000,
  DIRECTORY: column === 0 ? 0o200000 : 0o40000,
  NOFOLLOW: column === 0 ? 0o400000 : 0o100000,
  TMPFILE: 0o20000000 | (column === 0 ? 0o200000 : 0o40000),
} as const;

export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;
export const FALLOCATE = { KEEP_SIZE: 1, PUNCH_HOLE: 2, COLLAPSE_RANGE: 8, ZERO_RANGE: 16, INSERT_RANGE: 32 } as const;
export const SEEK = { SET: 0, END: 2, DATA: 3, HOLE: 4 } as const;
export const XATTR = { CREATE: 1, REPLACE: 2 } as const;
export const S = {
  IFMT: 0o170000,
  IFSOCK: 0o140000,
  IFLNK: 0o120000,
  IFREG: 0o100000,
  IFBLK: 0o060000,
  IFDIR: 0o040000,
  IFCHR: 0o020000,
  IFIFO: 0o010000,
} as const;

export const open = (file: string, flags: number, mode = 0): Result => call('openat', atCwd, text(file), flags, mode);
export const close = (fd: number): Result => call('close', fd);
export const mkdir = (directory: string, mode: number): Result => call('mkdirat', atCwd, text(directory), mode);
export const mknod = (file: string, mode: number, major = 0, minor = 0): Result =>
  call('mknodat', atCwd, text(file), mode, ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12));
export const mkfifo = (file: string, mode: number): Result => mknod(file, S.IFIFO | mode);
export const unlink = (file: string): Result => call('unlinkat', atCwd, text(file), 0);
export const rmdir = (directory: string): Result => call('unlinkat', atCwd, text(directory), removeDirectory);
export const rename = (from: string, to: string, flags = 0): Result => call('renameat2', atCwd, text(from), atCwd, text(to), flags);
export const link = (from: string, to: string): Result => call('linkat', atCwd, text(from), atCwd, text(to), 0);
/** Gives an open O_TMPFILE file a name. */
export const linkFd = (fd: number, to: string): Result => call('linkat', atCwd, text(`/proc/self/fd/${fd}`), atCwd, text(to), symlinkFollow);
export const symlink = (target: string, file: string): Result => call('symlinkat', text(target), atCwd, text(file));
export const chmod = (file: string, mode: number): Result => call('fchmodat', atCwd, text(file), mode);
export const fchmod = (fd: number, mode: number): Result => call('fchmod', fd, mode);
export const chown = (file: string, uid: number, gid: number): Result => call('fchownat', atCwd, text(file), uid, gid, 0);
export const lchown = (file: string, uid: number, gid: number): Result => call('fchownat', atCwd, text(file), uid, gid, symlinkNofollow);
export const fchown = (fd: number, uid: number, gid: number): Result => call('fchown', fd, uid, gid);
export const truncate = (file: string, size: number): Result => call('truncate', text(file), size);
export const ftruncate = (fd: number, size: number): Result => call('ftruncate', fd, size);
export const fallocate = (fd: number, mode: number, offset: number, length: number): Result => call('fallocate', fd, mode, offset, length);
export const lseek = (fd: number, offset: number | bigint, whence: number): Result => call('lseek', fd, offset, whence);
export const fsync = (fd: number): Result => call('fsync', fd);
export const fdatasync = (fd: number): Result => call('fdatasync', fd);
export const syncfs = (fd: number): Result => call('syncfs', fd);
export const access = (file: string, mode: number): Result => call('faccessat', atCwd, text(file), mode, 0);
export const umask = (mask: number): Result => call('umask', mask);
export const flock = (fd: number, operation: number): Result => call('flock', fd, operation);
export const write = (fd: number, data: string | Uint8Array): Result => {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  return call('write', fd, bytes, bytes.length);
};
export const pwrite = (fd: number, data: string | Uint8Array, offset: number): Result => {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  return call('pwrite64', fd, bytes, bytes.length, offset);
};
export const copyFileRange = (from: number, fromOffset: number, to: number, toOffset: number, length: number): Result =>
  call('copyFileRange', from, long(fromOffset), to, long(toOffset), length, 0);

function long(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(value));
  return buffer;
}

/** The bytes as a string of one character a byte, or the errno's name in `error`. */
export function pread(fd: number, length: number, offset: number): { readonly text: string; readonly error?: string } {
  const buffer = Buffer.alloc(length);
  const result = call('pread64', fd, buffer, length, offset);
  return typeof result === 'string' ? { text: '', error: result } : { text: buffer.toString('latin1', 0, result) };
}

/** From the current position: for pipes. */
export function read(fd: number, length: number): { readonly text: string; readonly error?: string } {
  const buffer = Buffer.alloc(length);
  const result = call('read', fd, buffer, length);
  return typeof result === 'string' ? { text: '', error: result } : { text: buffer.toString('latin1', 0, result) };
}

export function readlink(file: string): string {
  const buffer = Buffer.alloc(5000);
  const result = call('readlinkat', atCwd, text(file), buffer, buffer.length);
  return typeof result === 'string' ? result : buffer.toString('latin1', 0, result);
}

/** Sets access and modification time in nanoseconds; 'now' and 'omit' are UTIME_NOW and UTIME_OMIT. */
export function utimens(file: string, accessed: bigint | 'now' | 'omit', modified: bigint | 'now' | 'omit', follow = true): Result {
  const times = Buffer.alloc(32);
  [accessed, modified].forEach((time, index) => {
    const nanoseconds = time === 'now' ? 0x3fffffffn : time === 'omit' ? 0x3ffffffen : ((time % second) + second) % second;
    const seconds = typeof time === 'bigint' ? (time - nanoseconds) / second : 0n;
    times.writeBigInt64LE(seconds, index * 16);
    times.writeBigInt64LE(nanoseconds, index * 16 + 8);
  });
  return call('utimensat', atCwd, text(file), times, follow ? 0 : symlinkNofollow);
}

const second = 1_000_000_000n;

export interface Stat {
  readonly mode: number;
  /** The S_IFMT bits. */
  readonly type: number;
  /** The lower twelve bits. */
  readonly permissions: number;
  readonly links: number;
  readonly uid: number;
  readonly gid: number;
  readonly inode: bigint;
  readonly size: number;
  readonly blocks: number;
  readonly major: number;
  readonly minor: number;
  readonly accessed: bigint;
  readonly modified: bigint;
  readonly changed: bigint;
}

/** lstat; a string is the errno's name. */
export function tryStat(file: string | number, follow = false): Stat | string {
  const buffer = Buffer.alloc(256);
  const result =
    typeof file === 'number'
      ? call('statx', file, text(''), emptyPath, 0x7ff, buffer)
      : call('statx', atCwd, text(file), follow ? 0 : symlinkNofollow, 0x7ff, buffer);
  if (typeof result === 'string') return result;
  const time = (at: number): bigint => buffer.readBigInt64LE(at) * second + BigInt(buffer.readUInt32LE(at + 8));
  const mode = buffer.readUInt16LE(28);
  return {
    mode,
    type: mode & S.IFMT,
    permissions: mode & 0o7777,
    links: buffer.readUInt32LE(16),
    uid: buffer.readUInt32LE(20),
    gid: buffer.readUInt32LE(24),
    inode: buffer.readBigUInt64LE(32),
    size: Number(buffer.readBigUInt64LE(40)),
    blocks: Number(buffer.readBigUInt64LE(48)),
    accessed: time(64),
    changed: time(96),
    modified: time(112),
    major: buffer.readUInt32LE(128),
    minor: buffer.readUInt32LE(132),
  };
}

/** lstat (or fstat) of what is there. */
export function stat(file: string | number, follow = false): Stat {
  const found = tryStat(file, follow);
  if (typeof found === 'string') throw new Error(`stat ${file}: ${found}`);
  return found;
}

export interface Dirent {
  readonly name: string;
  readonly inode: bigint;
  readonly offset: bigint;
}

/** One getdents64 call's worth of entries. */
export function getdents(fd: number, size = 32_768): readonly Dirent[] {
  const buffer = Buffer.alloc(size);
  const length = must(call('getdents64', fd, buffer, size));
  const entries: Dirent[] = [];
  for (let at = 0; at < length; at += buffer.readUInt16LE(at + 16)) {
    const end = buffer.indexOf(0, at + 19);
    entries.push({ inode: buffer.readBigUInt64LE(at), offset: buffer.readBigInt64LE(at + 8), name: buffer.toString('latin1', at + 19, end) });
  }
  return entries;
}

export function setxattr(file: string, name: string, value: string | Uint8Array, flags = 0): Result {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  return call('lsetxattr', text(file), text(name), bytes, bytes.length, flags);
}

/** The value as one character a byte, or the errno's name in `error`. */
export function getxattr(file: string, name: string, limit = 65_536): { readonly text: string; readonly error?: string } {
  const buffer = Buffer.alloc(Math.max(limit, 1));
  const result = call('lgetxattr', text(file), text(name), buffer, limit);
  if (typeof result === 'string') return { text: '', error: result };
  return { text: limit === 0 ? String(result) : buffer.toString('latin1', 0, result) };
}

export function listxattr(file: string): readonly string[] {
  const buffer = Buffer.alloc(65_536);
  const length = must(call('llistxattr', text(file), buffer, buffer.length));
  return buffer.toString('latin1', 0, length).split('\0').slice(0, -1);
}

export const removexattr = (file: string, name: string): Result => call('lremovexattr', text(file), text(name));

export interface Lock {
  readonly type: 'read' | 'write' | 'unlock';
  readonly start: number;
  /** 0: to the end. */
  readonly length: number;
}

const lockTypes = ['read', 'write', 'unlock'] as const;
/** Commands of fcntl(2); the OFD ones belong to the open file, not to the process. */
export const F = { GETLK: 5, SETLK: 6, SETLKW: 7, OFD_SETLK: 37 } as const;

/** fcntl locking. With F.GETLK the lock in the way is in the answer. */
export function lock(
  fd: number,
  command: number,
  { type, start, length }: Lock,
): { readonly result: Result; readonly type: Lock['type']; readonly pid: number } {
  const flock = Buffer.alloc(32);
  flock.writeInt16LE(lockTypes.indexOf(type), 0);
  flock.writeBigInt64LE(BigInt(start), 8);
  flock.writeBigInt64LE(BigInt(length), 16);
  const result = call('fcntl', fd, command, flock);
  return { result, type: lockTypes[flock.readInt16LE(0)] ?? 'unlock', pid: flock.readInt32LE(24) };
}

/** Runs `body` as another user of this thread, then comes back to root. */
export function as<T>(uid: number, gid: number, body: () => T, groups: readonly number[] = []): T {
  const list = Buffer.alloc(Math.max(4, groups.length * 4));
  groups.forEach((group, index) => list.writeUInt32LE(group, index * 4));
  must(call('setgroups', groups.length, list));
  // The saved ids stay root's: the way back.
  must(call('setresgid', gid, gid, 0));
  must(call('setresuid', uid, uid, 0));
  try {
    return body();
  } finally {
    must(call('setresuid', 0, 0, 0));
    must(call('setresgid', 0, 0, 0));
    must(call('setgroups', 0, list));
  }
}

/** A shared mapping of a file's first `bytes`, written and read by having the kernel copy to and from it. */
export class Mapping implements Disposable {
  readonly address: number;
  readonly #bytes: number;

  constructor(fd: number, bytes: number, writable = true) {
    const [read, write, shared] = [1, 2, 1];
    this.address = must(call('mmap', 0, bytes, writable ? read | write : read, shared, fd, 0));
    this.#bytes = bytes;
  }

  /** Takes `length` bytes from another file. */
  copyFrom(fd: number, length: number, offset = 0): number {
    return must(call('pread64', fd, BigInt(this.address + offset), length, 0));
  }

  /** Its bytes from `offset` on, by way of another file. */
  copyTo(fd: number, length: number, offset = 0): number {
    return must(call('pwrite64', fd, BigInt(this.address + offset), length, offset));
  }

  sync(): Result {
    const synchronously = 4;
    return call('msync', BigInt(this.address), this.#bytes, synchronously);
  }

  [Symbol.dispose](): void {
    call('munmap', BigInt(this.address), this.#bytes);
  }
}
