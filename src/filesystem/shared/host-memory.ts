import type { KeyedQueue } from '../../base/index.ts';
import type { Borrowing } from './borrowing.ts';
import type { GuestCache } from './guest-cache.ts';
import type { HolderLink } from './holder-link.ts';
import type { MadeFiles } from './made-files.ts';
import type { OpenHandles } from './open-handles.ts';
import type { ProgramLocks } from './program-locks.ts';
import type { Undelivered } from './undelivered.ts';
import type { Unsaid } from './unsaid-memory.ts';

/** What a host has in memory for its own programs of a shared volume, for tests. */
export interface HostMemory {
  /** Files and directories that programs have open, and those of which the host that serves the volume does not know it. */
  readonly open: number;
  readonly openUnsaid: number;
  /** Files that were borrowed, and what was written to them and not said yet, also by a daemon before this one. */
  readonly borrowed: number;
  readonly unsaidBytes: number;
  readonly unsaidChunks: number;
  readonly left: number;
  /** New files that may not be durable. */
  readonly made: number;
  /** Closes and unlocks that nobody has heard, and unlocks that are on their way. */
  readonly undelivered: number;
  readonly releases: number;
  /** Locks that programs have, files of which they lost some, and files whose locks are being asked for. */
  readonly held: number;
  readonly lost: number;
  readonly lockQuestions: number;
  /** Calls that are under way, names that they change, inodes of which one waits for another, and what is told before all of them. */
  readonly questions: number;
  readonly changing: number;
  readonly turns: number;
  readonly tellings: number;
}

export interface HostParts {
  readonly holder: HolderLink;
  readonly files: OpenHandles;
  readonly borrowing: Borrowing;
  readonly made: MadeFiles;
  readonly undelivered: Undelivered;
  readonly locks: ProgramLocks;
  readonly cache: GuestCache;
  readonly turns: KeyedQueue;
  readonly unsaid: Unsaid | undefined;
}

export function memoryOfHost({ holder, files, borrowing, made, undelivered, locks, cache, turns, unsaid }: HostParts): HostMemory {
  return {
    open: files.size,
    openUnsaid: files.unsaid,
    borrowed: borrowing.size,
    unsaidBytes: borrowing.unsaidBytes,
    unsaidChunks: unsaid?.memory.used ?? 0,
    left: borrowing.left.size,
    made: made.size,
    undelivered: undelivered.size,
    releases: locks.releases,
    held: locks.held,
    lost: locks.lostOf().length,
    lockQuestions: locks.asking,
    questions: cache.questions,
    changing: cache.changing,
    turns: turns.size,
    tellings: holder.tellings,
  };
}
