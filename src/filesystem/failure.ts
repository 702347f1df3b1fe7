import { codeOf, type ErrorCode, InfinitError, messageOf } from '../base/index.ts';
import type { CommitResult } from '../store/index.ts';
import { type Errno, FileSystemError } from './file-system.ts';

/** The errno that a failure of the store shows as. Whatever is not told apart here is an I/O error to a program: a block that is not found is no name that is not found. */
const errnoOfCode: Partial<Record<ErrorCode, Errno>> = {
  'disk-full': 'ENOSPC',
  'too-large': 'EFBIG',
  'read-only': 'EROFS',
  cancelled: 'EINTR',
  'deadline-exceeded': 'ETIMEDOUT',
};

/** Failures after which the same may succeed later, as it is. */
const passing: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'unknown-outcome',
  'deadline-exceeded',
  'cancelled',
  'overloaded',
  'closed',
  'conflict',
]);

/** Whether a write that failed so says nothing about what is to be written, or about room for it. */
export function isPassing(error: unknown): boolean {
  return passing.has(codeOf(error));
}

/** Failures of reading one block that say nothing of others, nor of the right to read it. */
const ownTrouble: ReadonlySet<ErrorCode> = new Set(['unavailable', 'unknown-outcome', 'deadline-exceeded', 'overloaded', 'damaged', 'lost']);

/** Whether a block that could not be read so is the only one that has to wait. */
export function isReadLater(error: unknown): boolean {
  return ownTrouble.has(codeOf(error));
}

/** What was asked for, or that it was given up. */
export async function unlessLost<T>(asked: Promise<T>): Promise<T | 'lost'> {
  try {
    return await asked;
  } catch (error) {
    if (codeOf(error) !== 'lost') throw error;
    return 'lost';
  }
}

/** What a program is told of anything thrown. */
export function errnoOf(error: unknown): Errno {
  return error instanceof FileSystemError ? error.errno : (errnoOfCode[codeOf(error)] ?? 'EIO');
}

/** Anything thrown, as a POSIX failure. */
export function asFileSystemError(error: unknown): FileSystemError {
  return error instanceof FileSystemError ? error : new FileSystemError(errnoOf(error), messageOf(error), { cause: error });
}

/** The versions that a commit wrote, by stage. @throws InfinitError where a stage did not commit; an unknown outcome has its own code. */
export function versionsOf(result: CommitResult): readonly (readonly number[])[] {
  if (result.done) return result.versions;
  for (const outcome of result.outcomes) {
    if (outcome.status === 'failed') throw new InfinitError(outcome.code, outcome.message);
    if (outcome.status === 'conflict') throw new InfinitError('conflict', 'another host changed a block of this volume');
  }
  throw new InfinitError('unknown-outcome', `whether stage ${result.stage} of a commit took effect is not known`);
}
