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

/**
 * A commit that failed though some of it may have taken effect, now or later. Whoever asked for it is told that its outcome is unknown, and not what kept the rest
 * from being done, which says that nothing was; what to do next goes by that all the same, see {@link reasonOf}.
 */
export class HalfDone extends InfinitError {
  constructor(reason: unknown) {
    super('unknown-outcome', `some of a commit may have taken effect, though not all did: ${messageOf(reason)}`, { cause: reasonOf(reason) });
  }
}

/** What a commit failed for. */
function reasonOf(error: unknown): unknown {
  return error instanceof HalfDone ? error.cause : error;
}

/** Whether a write that failed so says nothing about what is to be written, or about room for it. */
export function isPassing(error: unknown): boolean {
  return passing.has(codeOf(reasonOf(error)));
}

/** Whether it failed for want of room. */
export function isForRoom(error: unknown): boolean {
  return errnoOf(reasonOf(error)) === 'ENOSPC';
}

/** Whether it failed since a block was given up. */
export function isForLoss(error: unknown): boolean {
  return codeOf(reasonOf(error)) === 'lost';
}

/** Failures of reading one block that say nothing of others, nor of the right to read it. */
const ownTrouble: ReadonlySet<ErrorCode> = new Set(['unavailable', 'unknown-outcome', 'deadline-exceeded', 'overloaded', 'damaged', 'lost']);

/** Whether a block that could not be read so is the only one that has to wait. */
export function isReadLater(error: unknown): boolean {
  return ownTrouble.has(codeOf(reasonOf(error)));
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

/** The versions that a commit wrote, by stage. @throws InfinitError where a stage did not commit; {@link HalfDone} where some of it may have. */
export function versionsOf(result: CommitResult): readonly (readonly number[])[] {
  if (result.done) return result.versions;
  const { stage, outcomes } = result;
  const reasons = outcomes.flatMap((outcome) => {
    if (outcome.status === 'failed') return [new InfinitError(outcome.code, outcome.message)];
    return outcome.status === 'conflict' ? [new InfinitError('conflict', 'another host changed a block of this volume')] : [];
  });
  const [reason] = reasons;
  if (reason === undefined) throw new InfinitError('unknown-outcome', `whether stage ${stage} of a commit took effect is not known`);
  throw reasons.length === outcomes.length ? reason : new HalfDone(reason);
}
