import type { VolumeCore } from './core.ts';
import { asFileSystemError, errnoOf, isPassing } from './failure.ts';
import { type EarlyAnswer, FileSystemError, type MaybePromise } from './file-system.ts';
import type { Handle, Handles, Reader } from './handles.ts';
import type { Inode } from './inodes/inode.ts';
import { askedBy, attempt, currentAsker, Miss } from './miss.ts';
import { openAccessMask, openTruncate } from './inodes/mode.ts';
import type { Quota } from './quota.ts';
import { Pinned } from './content/reading.ts';
import type { Span } from './journal/unsynced.ts';
import { killPrivileges } from './inodes/xattrs.ts';

/** The largest file, as in ext4 (16 TiB). */
export const maxFileBytes: number = 2 ** 44;
/** Read ahead of a sequential reader. */
const readAheadBytes = 4 * 1024 * 1024;
/** Parts of the budget that late files may fill: from the first on it is refused to write to them for want of room, from the second on in any case. */
const refuseFactor = 2;
/** Part of the budget from which on whoever writes to a file that cannot be written out waits for each next attempt. */
const lateShare = 1 / 2;
/** One copy_file_range ends after this much; the caller goes on. */
const maxCopyBytes = 16 * 1024 * 1024;
const copyStepBytes = 1024 * 1024;

const keepSize = 1;
const punchHole = 2;
const zeroRange = 16;
const seekData = 3;
const seekHole = 4;

interface HowWritten {
  readonly kill?: boolean;
  /** The kernel keeps the file's times. */
  readonly keepTimes?: boolean;
  /** What lies beyond the end of the file is left out, and counts as written. */
  readonly within?: boolean;
}

/** What is opened and closed, and what is done with the contents of regular files. */
export class Files {
  readonly #core: VolumeCore;
  readonly #handles: Handles;
  readonly #quota: Quota;
  /** Inodes whose programs were told that any may have lost something: at most those that are synced, of those that there were. */
  readonly #toldOfLoss = new Set<number>();

  constructor(core: VolumeCore, handles: Handles, quota: Quota) {
    this.#core = core;
    this.#handles = handles;
    this.#quota = quota;
  }

  /** @returns its handle. */
  open(inode: Inode, flags: number): number {
    const writes = (flags & openAccessMask) !== 0;
    if (writes && inode.isRegular) this.#core.writable();
    if (writes && inode.isDirectory) throw new FileSystemError('EISDIR');
    if ((flags & openTruncate) !== 0 && inode.isRegular && inode.size > 0) this.truncate(inode, 0);
    return this.#handles.open(inode).number;
  }

  openDirectory(inode: Inode): number {
    // Only a directory has names.
    this.#core.table.names(inode);
    return this.#handles.open(inode).number;
  }

  close(number: number, handle: number): void {
    const known = this.#handles.get(handle, number);
    if (known === undefined) return;
    this.#handles.close(known);
    this.#core.retireUnused(known.inode);
  }

  read(number: number, handle: number, offset: number, length: number): MaybePromise<readonly Uint8Array[]> {
    const pinned = new Pinned();
    return attempt(() => {
      const inode = this.#core.shown(this.regular(number));
      const end = Math.min(offset + length, inode.size);
      if (offset >= end) return [];
      const reader = this.#handles.reader(handle, number);
      const parts = inode.content!.read(offset, end, pinned, offset > 0 && offset === reader.readEnd);
      this.#readAhead(inode, reader, offset, end);
      return parts;
    });
  }

  /** @param offset undefined: behind what is there in the moment in which nobody else has the file, so that it comes over nothing that was appended meanwhile. */
  write(number: number, offset: number | undefined, data: Uint8Array, how: HowWritten): MaybePromise<number> {
    try {
      return this.#write(number, offset, data, how);
    } catch (error) {
      if (!(error instanceof Miss)) throw error;
      // `data` is borrowed until this call returns.
      const copy = new Uint8Array(data);
      const asker = currentAsker();
      return error.loaded.then(() => askedBy(asker, () => attempt(() => this.#write(number, offset, copy, how))));
    }
  }

  #write(number: number, wanted: number | undefined, all: Uint8Array, { kill, keepTimes, within }: HowWritten): MaybePromise<number> {
    this.#core.writable();
    const inode = this.regular(number);
    const { budget, redo, flusher } = this.#core;
    // Where the file ends is known once nobody else has it.
    if (within === true) this.#core.claim([inode]);
    const offset = wanted ?? inode.size;
    const data = within === true ? all.subarray(0, Math.max(0, inode.size - offset)) : all;
    const end = offset + data.length;
    if (end > maxFileBytes) throw new FileSystemError('EFBIG');
    if (data.length === 0) return all.length;
    flusher.checkRoom();
    const { late } = inode.content!;
    if (late) this.#checkLate(inode);
    this.#quota.check(inode, offset, end);
    this.#core.claim([inode]);
    inode.content!.write(offset, data);
    redo?.write(number, offset, data);
    if (end > inode.size) inode.size = end;
    if (kill === true) killPrivileges(inode);
    this.#core.include(inode);
    if (keepTimes === true) this.#core.touch(inode);
    else this.#modified(inode);
    const room = late && budget.late > lateShare * budget.limit ? flusher.late.wait() : (budget.wait() ?? redo?.wait());
    return room === undefined ? all.length : room.then(() => all.length);
  }

  /** What is out of reach for the moment is waited for longer. @throws FileSystemError */
  #checkLate(inode: Inode): void {
    const { budget, flusher } = this.#core;
    if (budget.late <= budget.limit) return;
    const failure = flusher.late.failureOf(inode);
    if (budget.late > refuseFactor * budget.limit || !isPassing(failure))
      throw new FileSystemError(errnoOf(failure), 'the store does not take what was written to the file before');
  }

  /** truncate(2), from setattr. @throws Miss, FileSystemError */
  truncate(inode: Inode, size: number): void {
    if (inode.isDirectory) throw new FileSystemError('EISDIR');
    if (!inode.isRegular) throw new FileSystemError('EINVAL');
    if (size > maxFileBytes) throw new FileSystemError('EFBIG');
    this.#core.claim([inode]);
    if (size < inode.size || (size === inode.size && this.#keepsBehind(inode, size))) this.#punch(inode, size, Infinity);
    inode.size = size;
    this.#modified(inode);
  }

  /** fallocate(2). What is set aside counts as kept, so that later writes there find the volume's size no hindrance; of the disks nothing is. @throws Miss, FileSystemError */
  allocate(number: number, mode: number, offset: number, length: number): void {
    this.#core.writable();
    const inode = this.regular(number);
    if (offset < 0 || length <= 0) throw new FileSystemError('EINVAL');
    const end = offset + length;
    if (end > maxFileBytes) throw new FileSystemError('EFBIG');
    this.#core.claim([inode]);
    if (mode === (punchHole | keepSize)) {
      // Up to the end of the file a hole needs no lower bound: what lies beyond is one already.
      this.#punch(inode, offset, end >= inode.size && !this.#keepsBehind(inode, end) ? Infinity : end);
    } else if ((mode & ~(zeroRange | keepSize)) === 0) {
      this.#quota.check(inode, offset, end);
      if ((mode & zeroRange) !== 0) this.#punch(inode, offset, end);
      for (const hole of this.#holes(inode, offset, end)) this.#reserve(inode, hole);
      if ((mode & keepSize) === 0 && end > inode.size) inode.size = end;
    } else throw new FileSystemError('EOPNOTSUPP');
    this.#modified(inode);
  }

  /** lseek(2) with SEEK_DATA or SEEK_HOLE. @throws Miss, FileSystemError ENXIO */
  seek(number: number, offset: number, whence: number): number {
    const inode = this.#core.shown(this.regular(number));
    if (whence !== seekData && whence !== seekHole) throw new FileSystemError('EINVAL');
    if (offset < 0 || offset >= inode.size) throw new FileSystemError('ENXIO');
    for (let position = offset; position < inode.size;) {
      const run = inode.content!.runAt(position);
      if (run.data === (whence === seekData)) return position;
      position = run.until;
    }
    if (whence === seekData) throw new FileSystemError('ENXIO');
    return inode.size;
  }

  /** copy_file_range(2), a bounded piece of it. */
  async copy(from: number, offset: number, to: number, toOffset: number, length: number): Promise<number> {
    if (from === to && offset < toOffset + length && toOffset < offset + length) throw new FileSystemError('EINVAL');
    const total = Math.min(length, maxCopyBytes);
    for (let done = 0; done < total;) {
      const step = Math.min(copyStepBytes, total - done);
      const parts = await this.read(from, 0, offset + done, step);
      if (parts.length === 0) return done;
      // The parts are good for this turn of the event loop only.
      for (const part of parts.map((borrowed) => new Uint8Array(borrowed))) {
        await this.write(to, toOffset + done, part, { kill: true });
        done += part.length;
      }
    }
    return total;
  }

  /** Everything of this inode that was done before the call is durable. @throws FileSystemError; also once for a failure in the background. */
  async sync(number: number, handle: number, answer?: EarlyAnswer): Promise<void> {
    const inode = this.#core.table.peek(number) ?? (await this.#core.table.load(number));
    if (inode === undefined) throw new FileSystemError('ESTALE');
    try {
      await this.#syncInode(inode, this.#hasNews(inode, handle) ? undefined : answer);
    } catch (error) {
      this.tell(inode, this.#handles.get(handle, number));
      throw asFileSystemError(error);
    }
    // The caller has his answer: what was lost meanwhile is for the next one to say.
    if (answer?.sent === true) return;
    if (number < this.#core.lostBelow && !this.#toldOfLoss.has(number)) {
      this.#toldOfLoss.add(number);
      this.#core.failed(inode, 'EIO');
    }
    this.#report(inode, this.#handles.get(handle, number));
  }

  /** As {@link sync}, and says nothing of what failed in the background before. @throws FileSystemError */
  async persist(number: number): Promise<void> {
    const inode = this.#core.table.peek(number);
    try {
      if (inode !== undefined) await this.#syncInode(inode);
    } catch (error) {
      throw asFileSystemError(error);
    }
  }

  /**
   * That all is durable may not be all that the caller is to hear. Nor is it enough where a daemon that died now would have the next one say that the file was lost, as
   * without a log of what was done it does until this thread has noted that it is not.
   */
  #hasNews(inode: Inode, handle: number): boolean {
    const { number } = inode;
    if (this.#core.redo?.whole !== true || (number < this.#core.lostBelow && !this.#toldOfLoss.has(number))) return true;
    return !isTold(inode, this.#handles.get(handle, number));
  }

  async #syncInode(inode: Inode, answer?: EarlyAnswer): Promise<void> {
    if (inode.gone) return;
    const { log, names, records, contents } = this.#core;
    const { revision } = inode;
    // A new name, a rename: with the operations before it, and the inode in the same commit.
    if (inode.lastOperation > log.durable) return names.flush(inode.lastOperation, inode);
    if (inode.isRegular && (await contents.sync(inode, false, answer))) return;
    if (inode.busy !== undefined || inode.content?.changed === true || inode.writtenRevision < revision) await records.commit([inode]);
  }

  /** Throws what the user of the handle was not told yet. @throws FileSystemError */
  reportFailure(number: number, handle: number): void {
    const known = this.#handles.get(handle, number);
    if (known !== undefined) this.#report(known.inode, known);
  }

  #report(inode: Inode, handle: Handle | undefined): void {
    const told = isTold(inode, handle);
    this.tell(inode, handle);
    if (!told) throw new FileSystemError(inode.failure, 'written content was lost or could not be kept');
  }

  /** The user of a handle knows. */
  tell(inode: Inode, handle: Handle | undefined): void {
    if (!inode.failureSeen) this.#core.context.setup.onSaid?.(inode.number);
    inode.failureSeen = true;
    if (handle !== undefined) handle.failures = inode.failures;
  }

  #punch(inode: Inode, start: number, end: number): void {
    inode.content!.punch(start, end);
    this.#core.redo?.hole('punch', inode.number, start, end);
  }

  #reserve(inode: Inode, { start, end }: Span): void {
    inode.content!.reserve(start, end);
    this.#core.redo?.hole('reserve', inode.number, start, end);
  }

  /** Where nothing is kept, nor set aside. @throws Miss */
  #holes(inode: Inode, start: number, end: number): Span[] {
    const holes: Span[] = [];
    for (let position = start; position < end;) {
      const { data, until } = inode.content!.runAt(position);
      if (!data) holes.push({ start: position, end: Math.min(until, end) });
      position = until;
    }
    return holes;
  }

  /** Room is set aside behind `size`, which is no less than the file's. @throws Miss */
  #keepsBehind(inode: Inode, size: number): boolean {
    const { data, until } = inode.content!.runAt(size);
    return data || until < Infinity;
  }

  /** @throws Miss, FileSystemError */
  regular(number: number): Inode {
    const inode = this.#core.table.get(number);
    if (inode.content !== undefined) return inode;
    throw new FileSystemError(inode.isDirectory ? 'EISDIR' : 'EINVAL');
  }

  #modified(inode: Inode): void {
    const now = this.#core.context.clock.now();
    inode.modified = now;
    inode.stamp(now);
    this.#core.touch(inode);
  }

  #readAhead(inode: Inode, reader: Reader, offset: number, end: number): void {
    const sequential = offset === reader.readEnd && offset > 0;
    reader.readEnd = end;
    if (!sequential) reader.aheadEnd = end;
    else if (reader.aheadEnd - end < readAheadBytes / 2) {
      const until = Math.min(inode.size, end + readAheadBytes);
      const from = Math.max(end, reader.aheadEnd);
      if (until > from) inode.content!.prefetch(from, until);
      reader.aheadEnd = until;
    }
  }
}

/** The user of the handle knows of every failure. */
function isTold(inode: Inode, handle: Handle | undefined): boolean {
  return handle === undefined ? inode.failureSeen : handle.failures >= inode.failures;
}
