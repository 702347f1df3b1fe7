import type { VolumeCore } from './core.ts';
import { FileSystemError, type FileSystemStatistics } from './file-system.ts';
import type { Inode } from './inodes/inode.ts';
import { Miss } from './miss.ts';
import { maxNameBytes } from './names/names.ts';
import type { Span } from './journal/unsynced.ts';

const blockSize = 4096;
/** What a store shows as its room where nobody knows it. */
const unlimitedBytes = 2 ** 50;
/** The most that is shown as room for inodes: numbers never run out, space does. */
const maxFreeFiles = 2 ** 31;
/** What an inode takes in the store at least. */
const inodeBytes = 512;

/** A new file needs room for so much. The kernel may keep back what is written to it for so long that only close would say that there is none. */
const newFileBytes = blockSize;
/** A full volume is logged at most so often. */
const logEveryMs = 60_000;

/**
 * The volume's size: bytes of file contents as programs see them, before compression and copies, holes not counted. What no commit has counted yet counts
 * in full, since how much it replaces is known only then; so when the volume looks full, it is written out first and looked at again.
 */
export class Quota {
  readonly #core: VolumeCore;
  #limit: number | undefined;
  /** What was cut out of files up to here has been given back. */
  #cuts = 0;
  #makingRoom: Promise<void> | undefined;
  #loggedMs = -Infinity;

  constructor(core: VolumeCore) {
    this.#core = core;
    this.#limit = core.context.options.sizeBytes;
  }

  /** From now on; what is over it already stays. */
  set limit(bytes: number | undefined) {
    this.#limit = bytes;
  }

  /** Room for a write of [offset, end). @throws Miss, FileSystemError ENOSPC */
  check(inode: Inode, offset: number, end: number): void {
    this.checkAll(inode, [{ start: offset, end }]);
  }

  /** As {@link check}, of several spans that do not overlap. */
  checkAll(inode: Inode, spans: readonly Span[]): void {
    if (this.#limit === undefined) return;
    let [bytes, growth] = [0, 0];
    for (const { start, end } of spans) bytes += end - start;
    if (this.#used + bytes <= this.#limit) return;
    for (const { start, end } of spans) growth += missing(inode, start, end);
    if (growth > 0) this.checkBytes(growth, inode);
  }

  /** Room for another regular file, unless `known` says that it is there already. @throws Miss, FileSystemError ENOSPC */
  checkNew(known: () => Inode | undefined): void {
    if (this.#limit !== undefined && this.#used + newFileBytes > this.#limit && known() === undefined) this.checkBytes(newFileBytes);
  }

  /**
   * Room for `bytes` more.
   * @param of whose content they are to be.
   * @throws Miss, FileSystemError ENOSPC
   */
  checkBytes(bytes: number, of?: Inode): void {
    if (this.#limit === undefined || this.#used + bytes <= this.#limit) return;
    const { usage, budget } = this.#core;
    if (this.#makingRoom !== undefined) throw new Miss(this.#makingRoom);
    const mayFit = budget.uncommitted > budget.late && usage.allocated + bytes <= this.#limit;
    if (mayFit || this.#cuts !== budget.cuts) throw new Miss(this.#makeRoom());
    // Whoever removed a file has its room. The kernel may be waiting for the pages of one without a name, whose write must not wait for it.
    const { kernel, leaving } = this.#core;
    const settled = kernel === undefined || of?.links === 0 ? undefined : leaving.settled((inode) => kernel.holds(inode));
    if (settled !== undefined) throw new Miss(settled);
    this.#log();
    throw new FileSystemError('ENOSPC');
  }

  get #used(): number {
    return this.#core.usage.allocated + this.#core.budget.uncommitted;
  }

  /** One at a time, for all who wait. */
  #makeRoom(): Promise<void> {
    const { cuts } = this.#core.budget;
    const flushed = this.#core.flusher.keepMost().then(() => void (this.#cuts = cuts));
    this.#makingRoom = flushed.finally(() => (this.#makingRoom = undefined));
    return this.#makingRoom;
  }

  /** Programs may hear of it late or, where they do not look at what close says, not at all. */
  #log(): void {
    const { setup, logger } = this.#core.context;
    const now = setup.clock.monotonicMs();
    if (now - this.#loggedMs < logEveryMs) return;
    this.#loggedMs = now;
    logger.warn('the volume is full: writes are refused', { usedBytes: this.#used, sizeBytes: this.#limit });
  }

  /** As df shows it: of a volume with a size, how much of it is used; of one without, as much room as the store has. What can be written is never more than the store has. */
  statistics(): FileSystemStatistics {
    const { usage, context } = this.#core;
    const room = Math.floor((context.setup.capacity?.().freeBytes ?? unlimitedBytes) / blockSize);
    const taken = Math.ceil(this.#used / blockSize);
    // One that holds more than its size shows that, as size too: what it shows as used is true. What only may come to it is not shown beyond the size.
    const blocks = this.#limit === undefined ? taken + room : Math.ceil(Math.max(this.#limit, usage.allocated) / blockSize);
    const used = Math.min(taken, blocks);
    const freeBlocks = blocks - used;
    const availableBlocks = Math.min(freeBlocks, room);
    const freeFiles = Math.min(maxFreeFiles, (availableBlocks * blockSize) / inodeBytes);
    return { blockSize, blocks, freeBlocks, availableBlocks, files: usage.files + freeFiles, freeFiles, maxNameBytes };
  }
}

/** Bytes of [offset, end) that are in holes. @throws Miss */
function missing(inode: Inode, offset: number, end: number): number {
  let bytes = 0;
  for (let position = offset; position < end;) {
    const run = inode.content!.runAt(position);
    const until = Math.min(end, run.until);
    if (!run.data) bytes += until - position;
    position = until;
  }
  return bytes;
}
