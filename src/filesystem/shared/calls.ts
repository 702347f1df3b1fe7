import { deserialize, serialize } from 'node:v8';

import { codeOf, type ErrorCode, errorCodes, InfinitError, messageOf } from '../../base/index.ts';
import { type Errno, errnos, type FileSystem, FileSystemError } from '../file-system.ts';

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
  /** A lock that was held at the host that served the volume before. */
  relock: 'nl',
  /** All locks that were held at the host before have been taken again. With the mount's name: what another mount of the host had is nobody's any more. */
  relocked: '?',
  /** A host that was {@link Dismissed} has heard of it. */
  rejoin: '',
} as const satisfies Partial<Record<keyof FileSystem | 'append' | 'relock' | 'relocked' | 'rejoin', string>>;

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
}

/** One call, decoded and checked. */
export interface SharedCall {
  readonly tag?: CallTag;
  readonly method: SharedMethod;
  readonly args: readonly unknown[];
}

/** The largest call: a write of 1 MiB and what surrounds it. */
const maxCallBytes = 2 * 1024 * 1024;

export function encodeCall(method: SharedMethod, args: readonly unknown[], tag?: CallTag): Uint8Array {
  return serialize([tag === undefined ? method : [method, tag.asker, tag.number, tag.again, tag.memory], ...args]);
}

/** @throws InfinitError `bad-argument` for whatever is not a call of the table. */
export function decodeCall(bytes: Uint8Array): SharedCall {
  if (bytes.length > maxCallBytes) throw new InfinitError('too-large', `a call of ${bytes.length} bytes: ${maxCallBytes} are allowed`);
  const [first, ...args] = decode(bytes) as unknown[];
  const [method, ...parts] = Array.isArray(first) ? (first as unknown[]) : [first];
  if (typeof method !== 'string' || !Object.hasOwn(sharedMethods, method))
    throw new InfinitError('bad-argument', `no file system operation "${String(method).slice(0, 40)}"`);
  const shape = shapeOf(method as SharedMethod);
  if (args.length > shape.length || shape.some((check, index) => !check(args[index])))
    throw new InfinitError('bad-argument', `the arguments of "${method}" have wrong types`);
  if (parts.length === 0) return { method: method as SharedMethod, args };
  if (!parts.every((part, index) => tagShape[index]?.(part) === true)) throw new InfinitError('bad-argument', `the tag of "${method}" is wrong`);
  const [asker, number, again, memory] = parts as [string, number, boolean, string];
  return { method: method as SharedMethod, args, tag: { asker, number, again, memory } };
}

/** @param memory of the outcome of a call with a tag. */
export function encodeResult(value: unknown, memory?: string): Uint8Array {
  return serialize(memory === undefined ? { value } : { value, memory });
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

/** As {@link decodeResult}, with the memory that keeps it. */
export function decodeAnswer(bytes: Uint8Array): { readonly value: unknown; readonly memory: string | undefined } {
  const { value, memory, errno, code, message, dismissed, forgotten } = decode(bytes) as {
    value?: unknown;
    errno?: string;
    code?: string;
    message?: string;
    dismissed?: boolean;
    forgotten?: boolean;
    memory?: string;
  };
  if (dismissed === true) throw new Dismissed();
  if (forgotten === true) throw new Forgotten();
  if (errno !== undefined) throw new FileSystemError(Object.hasOwn(errnos, errno) ? (errno as Errno) : 'EIO', message);
  if (code !== undefined) throw new InfinitError(Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'bug', message ?? code);
  return { value, memory };
}

function decode(bytes: Uint8Array): unknown {
  try {
    const value: unknown = deserialize(bytes);
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

/** Letters of the table: n whole number, s text, a changes of attributes, c caller, l lock, b bytes, x boolean, ? text or nothing. */
const checks: Readonly<Record<string, Check>> = {
  n: isCount,
  s: isText,
  a: isChanges,
  c: isCaller,
  l: isLock,
  b: (value) => value instanceof Uint8Array,
  x: (value) => typeof value === 'boolean',
  '?': (value) => value === undefined || isText(value),
};

function shapeOf(method: SharedMethod): Check[] {
  return sharedMethods[method].split('').map((letter) => checks[letter]!);
}

const tagShape: readonly Check[] = ['s', 'n', 'x', 's'].map((letter) => checks[letter]!);
