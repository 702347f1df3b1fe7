import { codeOf } from '../../base/index.ts';
import type { SharedMethod } from './calls.ts';
import { effectsOf } from './effects.ts';

/** Methods that may simply be made again after an unknown outcome, where nobody remembers it. */
export const repeatable: ReadonlySet<SharedMethod> = new Set([
  'lookup',
  'getattr',
  'setattr',
  'readlink',
  'open',
  'read',
  'write',
  'writeMapped',
  'flush',
  'fsync',
  'fallocate',
  'lseek',
  'opendir',
  'readdir',
  'fsyncdir',
  'syncfs',
  'statfs',
  'getxattr',
  'listxattr',
  'getlk',
  'setlk',
  'copyFileRange',
  // Nobody knows of one that was made before, and it goes as it has no name.
  'tmpfile',
  'release',
  'releasedir',
  'renew',
  'look',
  'images',
  'listing',
  'stored',
  'borrow',
  'put',
  'readLent',
  'borrowLocks',
  'returnLocks',
  'mapped',
  'made',
]);
/** Failures after which the next attempt may meet a host that serves the volume. */
const transient: ReadonlySet<string> = new Set(['unavailable', 'unknown-outcome', 'closed', 'overloaded', 'unsupported']);
/** Methods that change something, whatever their arguments are. */
const changing: readonly SharedMethod[] = [
  'setattr',
  'write',
  'writeMapped',
  'fallocate',
  'copyFileRange',
  'symlink',
  'mknod',
  'mkdir',
  'unlink',
  'rmdir',
  'rename',
  'link',
  'create',
  'append',
  'setxattr',
  'removexattr',
  'put',
];
/**
 * Methods of which the holder remembers the outcome, so that they can be made again there: they must not be done twice, come over what others did meanwhile, or leave
 * something open each time.
 */
export const remembered: ReadonlySet<SharedMethod> = new Set([...changing, 'open', 'opendir', 'tmpfile', 'remake']);
const afterRelocking: ReadonlySet<SharedMethod> = new Set([...changing, 'setlk', 'flush', 'release', 'borrowLocks', 'returnLocks', 'borrow']);

/** Releases must not overtake the locks that a new host is told of, nor anything that changes something while locks may turn out to be lost. */
export function isAfterRelocking(method: SharedMethod, args: unknown): boolean {
  return afterRelocking.has(method) || (method === 'open' && Array.isArray(args) && effectsOf(method, args) !== undefined);
}

/** Whether it may simply be made again after an unknown outcome. */
export function isRepeatable(method: SharedMethod, args: readonly unknown[]): boolean {
  // XATTR_CREATE and XATTR_REPLACE would meet what the first attempt made.
  return method === 'setxattr' ? args[3] === 0 : repeatable.has(method);
}

/** Whether the next attempt may meet a host that serves the volume. */
export function isTransient(error: unknown): boolean {
  return transient.has(codeOf(error));
}

/** Pause before a call whose host did not take it is tried again, in ms. */
export const retryMs = 100;

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
