import { type ErrorCode, InfinitError } from '../base/index.ts';
import { type Errno, errnos, FileSystemError } from '../filesystem/index.ts';

/**
 * What a program sees of our own failures, where the file system has not said it. Anything whose outcome is not known is EIO, never a promise that nothing
 * happened; so is what is out of reach, as the file system says it too.
 */
const errnoOfCode: Readonly<Record<ErrorCode, Errno>> = {
  bug: 'EIO',
  'bad-argument': 'EINVAL',
  'not-found': 'ENOENT',
  'already-exists': 'EEXIST',
  conflict: 'ESTALE',
  'in-use': 'EBUSY',
  unavailable: 'EIO',
  'unknown-outcome': 'EIO',
  'deadline-exceeded': 'ETIMEDOUT',
  cancelled: 'EINTR',
  lost: 'EIO',
  damaged: 'EIO',
  'disk-full': 'ENOSPC',
  'disk-failed': 'EIO',
  'read-only': 'EROFS',
  'wrong-version': 'EIO',
  'wrong-key': 'EACCES',
  locked: 'EBUSY',
  denied: 'EACCES',
  'too-large': 'EFBIG',
  overloaded: 'EBUSY',
  unsupported: 'EOPNOTSUPP',
  closed: 'EIO',
};

/** The errno of anything thrown while a request was served. */
export function errnoOf(error: unknown): number {
  if (error instanceof FileSystemError) return errnos[error.errno];
  if (error instanceof InfinitError) return errnos[errnoOfCode[error.code]];
  return errnos.EIO;
}

/** Is the failure an ordinary answer, or must somebody hear of it? */
export function isOrdinary(error: unknown): boolean {
  return error instanceof FileSystemError && error.errno !== 'EIO';
}
