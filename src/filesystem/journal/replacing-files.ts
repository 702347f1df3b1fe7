import type { ContentJournal } from './content-journal.ts';
import { isPassing } from '../failure.ts';
import type { Inode } from '../inodes/inode.ts';
import type { LateInodes } from '../inodes/late-inodes.ts';
import type { RecordCommitter } from './record-committer.ts';
import type { RedoLog } from '../redo/redo-log.ts';

export interface ReplacingFilesParts {
  readonly records: Pick<RecordCommitter, 'commit'>;
  readonly contents: Pick<ContentJournal, 'sync'>;
  readonly redo: RedoLog | undefined;
  readonly late: () => Pick<LateInodes, 'has' | 'failureOf'>;
}

/**
 * Files that were renamed over others. Names wait for what is in memory of them, so that a crash shows the old file or the new one; and, where they cannot be written out though names can, not for ever:
 * what the content journal takes is durable there, and the rest is in the redo log, as what is in memory of any file is.
 */
export class ReplacingFiles {
  readonly #parts: ReplacingFilesParts;
  /** Those that names wait for no longer, and what of their records was written then: once more of it is, their hosts are back. */
  #passed = new WeakMap<Inode, number>();

  constructor(parts: ReplacingFilesParts) {
    this.#parts = parts;
  }

  /** It could not be written out by itself a moment ago. */
  isLate(inode: Inode): boolean {
    return this.#parts.late().has(inode);
  }

  /** The file's new name is not to become durable before, or without, what is in memory of it. */
  holds(inode: Inode): boolean {
    return inode.links > 0 && inode.exposed && this.#passed.get(inode) !== inode.writtenRevision;
  }

  /** A commit failed that had these in it. False: it is to fail, they are not what it failed for, or nothing but their place has room for what is in memory of them. */
  async letPast(inodes: readonly Inode[]): Promise<boolean> {
    const held = inodes.filter((inode) => inode.born && this.holds(inode));
    await Promise.all(held.map((inode) => this.#settle(inode)));
    return held.some((inode) => !this.holds(inode));
  }

  /** Names could not do without these either: the store is out of reach, and what is in memory comes first again when it is back. */
  holdAgain(): void {
    this.#passed = new WeakMap();
  }

  async #settle(inode: Inode): Promise<void> {
    const { records, contents, redo, late } = this.#parts;
    if (await contents.sync(inode, true).catch(() => false)) return;
    // Of one that was tried by itself a moment ago it is known.
    const failure = late().failureOf(inode) ?? (await records.commit([inode]).catch((error: unknown) => error));
    if (failure !== undefined && (redo !== undefined || !isPassing(failure))) this.#passed.set(inode, inode.writtenRevision);
  }
}
