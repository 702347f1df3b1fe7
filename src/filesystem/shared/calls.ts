import { deserialize, serialize } from 'node:v8';

import { codeOf, type ErrorCode, errorCodes, InfinitError, messageOf } from '../../base/index.ts';
import { type Errno, errnos, type FileLock, type FileSystem, FileSystemError } from '../file-system.ts';
import type { Image } from '../inodes/images.ts';
import type { LentFile } from '../lending.ts';
import { isBoundedSerial } from './bounded-serial.ts';
import { isWritten } from './written-shape.ts';
import type { Term } from './grants.ts';

/**
 * Operations on a volume that one host asks of another: `[method, …arguments]` and `{value}` or a failure, in V8's own versioned
 * serialisation (numbers beyond 2^32, Infinity, undefined and byte arrays survive it). Peers are members of the cluster whose identity TLS
 * has proven; all the same every call is checked against the table below before it is made.
 */
export const sharedMethods = {
  lookup: 'ns',
  forget: 'nn',
  getattr: 'n',
  setattr: 'na',
  readlink: 'n',
  symlink: 'nssc',
  mknod: 'nsnnnc',
  mkdir: 'nsnnc',
  unlink: 'ns',
  rmdir: 'ns',
  rename: 'nsnsn',
  link: 'nns',
  open: 'nn',
  create: 'nsnnnc',
  tmpfile: 'nnnnc',
  read: 'nnnn',
  write: 'nnnbx',
  writeMapped: 'nnnb',
  /** A write behind whatever is there: inode, handle, bytes, whether privileges go. */
  append: 'nnbx',
  flush: 'nns',
  release: 'nn?',
  fsync: 'nnx',
  fallocate: 'nnnnn',
  lseek: 'nnnn',
  copyFileRange: 'nnnnnnn',
  opendir: 'n',
  readdir: 'nnnnx',
  releasedir: 'nn',
  fsyncdir: 'nn',
  syncfs: '',
  statfs: '',
  setxattr: 'nsbnx',
  getxattr: 'ns',
  listxattr: 'n',
  removexattr: 'ns',
  getlk: 'nl',
  setlk: 'nlx',
  /** A lock that was held at the host that served the volume before. Answered with the name of this opening of the volume. */
  relock: 'nl',
  /**
   * All locks that were held at the host before have been taken again. With the mount's name: what another mount of the host had is nobody's any more; and with that of the process: nor is what
   * another process of the mount had and this one has not taken again. And with the name of the opening that was told of the locks: another one knows nothing of them, and sends the asker back to the start.
   */
  relocked: '???',
  /** A host that was {@link Dismissed} has heard of it. With a term: it is let in for calls that bear it alone, which is answered with true. */
  rejoin: '?',
  /** What the asker has in memory is to be good for longer; with `true` it has nothing. */
  renew: 'x',
  /** As lookup, and the answer may be kept in memory. */
  look: 'ns',
  /** Attributes, and contents of up to so many bytes, of inodes: they may be kept in memory. */
  images: 'mn',
  /** A part of a directory: inode, cookie. It may be kept in memory. */
  listing: 'nn',
  /** Where the bytes of a file lie in the store: inode, first and after the last. That may be kept in memory. */
  stored: 'nnn',
  /** An inode that the asker wants to write in its own memory: it gets it with the answer, or not. */
  borrow: 'n',
  /** What was written to an inode that was borrowed: inode, loan, what, and whether it is given back with it. Durable when it is answered. */
  put: 'nswx',
  /** Bytes of an inode that was borrowed, as the serving host knows them: inode, loan, offset, length. undefined: it is not lent any more. */
  readLent: 'nsnn',
  /** An inode of which the asker wants to grant the locks. Answered by a number: it does from now on, or not. */
  borrowLocks: 'n',
  /** It does not any more: inode, that number, what is locked; nothing: it never did. */
  returnLocks: 'nnk',
  /** An inode of which the asker's kernel is given pages for programs that map it: answered with the name of the time in which nobody else changes it, see `MappedFiles`. */
  mapped: 'n',
  /** Whether there is an inode that the host before had made. What is there is durable when that is answered. */
  made: 'n',
  /** A file that the host before had made, and that is not there: it is made once more. */
  remake: 'd',
} as const satisfies Partial<Record<keyof FileSystem | OwnMethod, string>>;

/** What is asked of the host that serves a volume beyond the operations of a file system. */
export type OwnMethod =
  | 'append'
  | 'relock'
  | 'relocked'
  | 'rejoin'
  | 'renew'
  | 'look'
  | 'images'
  | 'listing'
  | 'stored'
  | 'borrow'
  | 'put'
  | 'readLent'
  | 'borrowLocks'
  | 'returnLocks'
  | 'mapped'
  | 'made'
  | 'remake';

export type SharedMethod = keyof typeof sharedMethods;

/** The serving host had given this one up: its handles and locks there are gone. */
export class Dismissed extends Error {}

/** The serving host does not know whether it has made this call before. */
export class Forgotten extends Error {}

/** Tells a call that is made again from a new one; see Outcomes. */
export interface CallTag {
  /** Who asks: a mount's kernel, whichever process passes its requests on, or a process by itself. */
  readonly asker: string;
  /** Its number there. */
  readonly number: number;
  /** It may have been made before. */
  readonly again: boolean;
  /** The memory of outcomes that the holder had when the call was first made, as far as was known; empty: none. */
  readonly memory: string;
  /** Inodes of which the asker has forgotten what it had in memory, beyond those that are arguments. */
  readonly gave?: readonly number[];
  /** The memory of calls that the volume had when the call was first made, as far as was known (0: it was not); undefined: the holder does not know what that is. */
  readonly calls?: number;
  /** Calls of this asker that will not be made again. */
  readonly answered?: readonly number[];
}

/** What comes with an answer that may be kept in memory: see `Grants`. */
export interface Granted {
  /** How long that is good, and all that was granted before. */
  readonly term: Term;
  readonly images?: readonly Image[];
  /** Directories of which the names in the answer may be kept. */
  readonly names?: readonly number[];
  /** A directory without names. */
  readonly empty?: number | undefined;
  /** There are no names after those in the answer; earlier versions do not say so, and give a part without names when they are asked for more. */
  readonly ended?: boolean;
  readonly lent?: Lent;
}

/** A file that its asker has for itself from now on. */
export interface Lent extends LentFile {
  readonly loan: string;
}

/** One call, decoded and checked. */
export interface SharedCall {
  /** Under which its asker was let in again last by the host that is asked, if it was ever given up there. */
  readonly term?: string;
  readonly tag?: CallTag;
  readonly method: SharedMethod;
  readonly args: readonly unknown[];
}

/** Inodes that one call names. */
export const maxNumbers = 64;

/** Locks of a file that a guest grants, at the most. */
export const maxReturnedLocks = 1024;

/** The largest call: a write of 1 MiB and what surrounds it. */
const maxCallBytes = 2 * 1024 * 1024;

/**
 * What a call may ask for, in bytes: a kernel asks for 1 MiB, and no answer carries 5. It would be put together all the same, as often as it is asked for.
 */
export const maxAskedBytes = 4 * 1024 * 1024;
/** Bytes of a file whose places one call may ask for: guests ask for 32 MiB, and as much again where a read goes beyond. */
const maxStoredBytes = 128 * 1024 * 1024;

/** Bytes that the answer to a call may take, of those that ask for as much as they like. */
export const askedBytes: Partial<Readonly<Record<SharedMethod, (args: readonly unknown[]) => number>>> = {
  read: ([, , , length]) => length as number,
  readdir: ([, , , limit]) => limit as number,
  readLent: ([, , , length]) => length as number,
  images: ([inodes, bytes]) => (inodes as readonly number[]).length * (bytes as number),
};

/** By how much the numbers of a call are over what it may ask for, where above 0. */
function overAsked(method: SharedMethod, args: readonly unknown[]): number {
  if (method === 'stored') return (args[2] as number) - (args[1] as number) - maxStoredBytes;
  return (askedBytes[method]?.(args) ?? 0) - maxAskedBytes;
}

/** @param term for a host that has taken it with a `rejoin`. */
export function encodeCall(method: SharedMethod, args: readonly unknown[], tag?: CallTag, term?: string): Uint8Array {
  const parts = [...(term === undefined ? [] : [{ term }]), ...(tag === undefined ? [] : partsOf(tag))];
  return serialize([parts.length === 0 ? method : [method, ...parts], ...args]);
}

function partsOf(tag: CallTag): unknown[] {
  const { asker, number, again, memory, gave = [], calls, answered = [] } = tag;
  const further = calls === undefined ? (gave.length === 0 ? [] : [gave]) : [gave, calls, answered];
  return [asker, number, again, memory, ...further];
}

/** @throws InfinitError `bad-argument` for whatever is not a call of the table. */
export function decodeCall(bytes: Uint8Array): SharedCall {
  if (bytes.length > maxCallBytes) throw new InfinitError('too-large', `a call of ${bytes.length} bytes: ${maxCallBytes} are allowed`);
  const [first, ...args] = decode(bytes) as unknown[];
  const [method, ...named] = Array.isArray(first) ? (first as unknown[]) : [first];
  const term = fields(named[0])?.['term'];
  if (term !== undefined && (typeof term !== 'string' || !isText(term))) throw new InfinitError('bad-argument', 'the term of a call is no text');
  const parts = term === undefined ? named : named.slice(1);
  if (typeof method !== 'string' || !Object.hasOwn(sharedMethods, method))
    throw new InfinitError('bad-argument', `no file system operation "${String(method).slice(0, 40)}"`);
  const shape = shapeOf(method as SharedMethod);
  if (args.length > shape.length || shape.some((check, index) => !check(args[index])))
    throw new InfinitError('bad-argument', `the arguments of "${method}" have wrong types`);
  if (overAsked(method as SharedMethod, args) > 0) throw new InfinitError('too-large', `a "${method}" asks for more than an answer holds`);
  const call = { method: method as SharedMethod, args, ...(term === undefined ? {} : { term }) };
  if (parts.length === 0) return call;
  if (!parts.every((part, index) => tagShape[index]?.(part) === true)) throw new InfinitError('bad-argument', `the tag of "${method}" is wrong`);
  const [asker, number, again, memory, gave, calls, answered] = parts as [
    string,
    number,
    boolean,
    string,
    (readonly number[])?,
    number?,
    (readonly number[])?,
  ];
  const known = {
    ...(gave === undefined ? {} : { gave }),
    ...(calls === undefined ? {} : { calls }),
    ...(answered === undefined ? {} : { answered }),
  };
  return { ...call, tag: { asker, number, again, memory, ...known } };
}

/** @param memory of the outcome of a call with a tag. @param calls the volume's memory of calls. */
export function encodeResult(value: unknown, memory?: string, granted?: Granted, calls?: number): Uint8Array {
  return serialize({
    value,
    ...(memory === undefined ? {} : { memory }),
    ...(granted === undefined ? {} : { granted }),
    ...(calls === undefined ? {} : { calls }),
  });
}

export function encodeFailure(error: unknown): Uint8Array {
  if (error instanceof Dismissed) return serialize({ dismissed: true });
  if (error instanceof Forgotten) return serialize({ forgotten: true });
  return serialize(
    error instanceof FileSystemError ? { errno: error.errno, message: error.message } : { code: codeOf(error), message: messageOf(error) },
  );
}

/** The value of a result. @throws what the other host threw. */
export function decodeResult(bytes: Uint8Array): unknown {
  return decodeAnswer(bytes).value;
}

/** As {@link decodeResult}, with the memory that keeps it, and what of it may be kept. */
export function decodeAnswer(bytes: Uint8Array): {
  readonly value: unknown;
  readonly memory: string | undefined;
  readonly granted: Granted | undefined;
  readonly calls: number | undefined;
} {
  const { value, memory, granted, calls, errno, code, message, dismissed, forgotten } = decode(bytes) as {
    value?: unknown;
    errno?: string;
    code?: string;
    message?: string;
    dismissed?: boolean;
    forgotten?: boolean;
    memory?: string;
    granted?: Granted;
    calls?: number;
  };
  if (dismissed === true) throw new Dismissed();
  if (forgotten === true) throw new Forgotten();
  if (errno !== undefined) throw new FileSystemError(Object.hasOwn(errnos, errno) ? (errno as Errno) : 'EIO', message);
  if (code !== undefined) throw new InfinitError(Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'bug', message ?? code);
  return { value, memory, granted, calls };
}

function decode(bytes: Uint8Array): unknown {
  try {
    const value: unknown = isBoundedSerial(bytes) ? deserialize(bytes) : undefined;
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below, in our own words.
  }
  throw new InfinitError('bad-argument', 'not a file system call');
}

type Check = (value: unknown) => boolean;

/** Offsets may be larger than what a number tells exactly. */
const isCount: Check = (value) => Number.isInteger(value) && (value as number) >= 0;
const isText: Check = (value) => typeof value === 'string' && value.length <= 4096;

function fields(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}

function isTime(value: unknown): boolean {
  const time = fields(value);
  return value === 'now' || (Number.isSafeInteger(time?.['seconds']) && isCount(time?.['nanoseconds']) && (time!['nanoseconds'] as number) < 1e9);
}

const changeChecks: Readonly<Record<string, Check>> = {
  mode: isCount,
  uid: isCount,
  gid: isCount,
  size: isCount,
  accessed: isTime,
  modified: isTime,
  changed: (value) => value !== 'now' && isTime(value),
  killPrivileges: (value) => typeof value === 'boolean',
};

const isChanges: Check = (value) => {
  const changes = fields(value);
  return changes !== undefined && Object.entries(changes).every(([name, wanted]) => wanted === undefined || changeChecks[name]?.(wanted) === true);
};

const isCaller: Check = (value) => {
  const caller = fields(value);
  return caller !== undefined && ['uid', 'gid', 'pid'].every((name) => isCount(caller[name]));
};

const isLock: Check = (value) => {
  const lock = fields(value);
  if (lock === undefined || !isText(lock['owner']) || !isCount(lock['pid']) || !isCount(lock['start'])) return false;
  const known = ['posix', 'flock'].includes(lock['kind'] as string) && ['read', 'write', 'unlock'].includes(lock['type'] as string);
  return known && (lock['end'] === Infinity || isCount(lock['end']));
};

const isLocks: Check = (value) =>
  value === undefined ||
  (Array.isArray(value) && value.length <= maxReturnedLocks && value.every((lock: FileLock) => isLock(lock) && lock.type !== 'unlock'));

const isTold: Check = (value) => {
  const attributes = fields(value);
  const times = ['accessed', 'modified', 'changed'].every((name) => attributes?.[name] !== 'now' && isTime(attributes?.[name]));
  return times && ['mode', 'uid', 'gid'].every((name) => isCount(attributes![name]));
};

const isMadeFile: Check = (value) => {
  const made = fields(value);
  const counts = ['inode', 'parent', 'mode', 'umask'].every((name) => isCount(made?.[name]));
  return counts && isText(made!['name']) && isCaller(made!['caller']) && isTold(made!['attributes']);
};

const isNumbers: Check = (value) => Array.isArray(value) && value.length <= maxNumbers && value.every(isCount);

/** Letters of the table: n whole number, m some of them, w what was written, d a file that was made, s text, a changes of attributes, c caller, l lock, k locks or nothing, b bytes, x boolean, ? text or nothing. */
const checks: Readonly<Record<string, Check>> = {
  n: isCount,
  m: isNumbers,
  w: isWritten,
  d: isMadeFile,
  s: isText,
  a: isChanges,
  c: isCaller,
  l: isLock,
  k: isLocks,
  b: (value) => value instanceof Uint8Array,
  x: (value) => typeof value === 'boolean',
  '?': (value) => value === undefined || isText(value),
};

function shapeOf(method: SharedMethod): Check[] {
  return sharedMethods[method].split('').map((letter) => checks[letter]!);
}

const tagShape: readonly Check[] = ['s', 'n', 'x', 's', 'm', 'n', 'm'].map((letter) => checks[letter]!);
