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
  setattr: 'no',
  readlink: 'n',
  symlink: 'nsso',
  mknod: 'nsnnno',
  mkdir: 'nsnno',
  unlink: 'ns',
  rmdir: 'ns',
  rename: 'nsnsn',
  link: 'nns',
  open: 'nn',
  create: 'nsnnno',
  tmpfile: 'nnnno',
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
  getlk: 'no',
  setlk: 'nox',
  /** A lock that was held at the host that served the volume before. */
  relock: 'no',
  /** A host that was {@link Dismissed} has heard of it. */
  rejoin: '',
} as const satisfies Partial<Record<keyof FileSystem | 'append' | 'relock' | 'rejoin', string>>;

export type SharedMethod = keyof typeof sharedMethods;

/** The serving host had given this one up: its handles and locks there are gone. */
export class Dismissed extends Error {}

/** One call, decoded and checked. */
export interface SharedCall {
  readonly method: SharedMethod;
  readonly args: readonly unknown[];
}

/** The largest call: a write of 1 MiB and what surrounds it. */
const maxCallBytes = 2 * 1024 * 1024;

export function encodeCall(method: SharedMethod, args: readonly unknown[]): Uint8Array {
  return serialize([method, ...args]);
}

/** @throws InfinitError `bad-argument` for whatever is not a call of the table. */
export function decodeCall(bytes: Uint8Array): SharedCall {
  if (bytes.length > maxCallBytes) throw new InfinitError('too-large', `a call of ${bytes.length} bytes: ${maxCallBytes} are allowed`);
  const [method, ...args] = decode(bytes) as unknown[];
  if (typeof method !== 'string' || !Object.hasOwn(sharedMethods, method))
    throw new InfinitError('bad-argument', `no file system operation "${String(method).slice(0, 40)}"`);
  const shape = shapeOf(method as SharedMethod);
  if (args.length > shape.length || shape.some((check, index) => !check(args[index])))
    throw new InfinitError('bad-argument', `the arguments of "${method}" have wrong types`);
  return { method: method as SharedMethod, args };
}

export function encodeResult(value: unknown): Uint8Array {
  return serialize({ value });
}

export function encodeFailure(error: unknown): Uint8Array {
  if (error instanceof Dismissed) return serialize({ dismissed: true });
  return serialize(
    error instanceof FileSystemError ? { errno: error.errno, message: error.message } : { code: codeOf(error), message: messageOf(error) },
  );
}

/** The value of a result. @throws what the other host threw. */
export function decodeResult(bytes: Uint8Array): unknown {
  const { value, errno, code, message, dismissed } = decode(bytes) as {
    value?: unknown;
    errno?: string;
    code?: string;
    message?: string;
    dismissed?: boolean;
  };
  if (dismissed === true) throw new Dismissed();
  if (errno !== undefined) throw new FileSystemError(Object.hasOwn(errnos, errno) ? (errno as Errno) : 'EIO', message);
  if (code !== undefined) throw new InfinitError(Object.hasOwn(errorCodes, code) ? (code as ErrorCode) : 'bug', message ?? code);
  return value;
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

const isNumber: Check = (value) => typeof value === 'number' && !Number.isNaN(value);
const isText: Check = (value) => typeof value === 'string' && value.length <= 4096;
/** Letters of the table: n number, s text, o object, b bytes, x boolean, ? text or nothing. */
const checks: Readonly<Record<string, Check>> = {
  n: isNumber,
  s: isText,
  o: (value) => typeof value === 'object' && value !== null,
  b: (value) => value instanceof Uint8Array,
  x: (value) => typeof value === 'boolean',
  '?': (value) => value === undefined || isText(value),
};

function shapeOf(method: SharedMethod): Check[] {
  return sharedMethods[method].split('').map((letter) => checks[letter]!);
}
