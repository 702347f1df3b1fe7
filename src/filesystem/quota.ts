import type { VolumeCore } from './core.ts';
import { FileSystemError, type FileSystemStatistics } from './file-system.ts';
import type { Inode } from './inode.ts';
import { Miss } from './miss.ts';
import { maxNameBytes } from './names.ts';

const blockSize = 4096;
/** What a store shows as its room where nobody knows it. */
const unlimitedBytes = 2 ** 50;
/** The most that is shown as room for inodes: numbers never run out, space does. */
const maxFreeFiles = 2 ** 31;
/** What an inode takes in the store at least. */
const inodeBytes = 512;

/**
 * The volume's size. What is buffered counts in full until it is written out, since how much it replaces is known only then;
 * so when the volume looks full, it is written out first and looked at again.
 */
export class Quota {
  readonly #core: VolumeCore;
  #limit: number | undefined;

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
    if (this.#limit === undefined) return;
    const { usage, budget } = this.#core;
    if (usage.allocated + budget.bytes + end - offset <= this.#limit) return;
    const growth = missing(inode, offset, end);
    if (growth === 0) return;
    if (budget.bytes > 0 && usage.allocated + growth <= this.#limit) throw new Miss(this.#core.flusher.flushAll());
    if (usage.allocated + growth > this.#limit) throw new FileSystemError('ENOSPC');
  }

  /** Whether `bytes` more could be kept at all. @throws FileSystemError ENOSPC */
  checkBytes(bytes: number): void {
    if (this.#limit !== undefined && this.#core.usage.allocated + bytes > this.#limit) throw new FileSystemError('ENOSPC');
  }

  /** As df shows it: of a volume with a size, how much of it is used; of one without, as much room as the store has. What can be written is never more than the store has. */
  statistics(): FileSystemStatistics {
    const { usage, budget, context } = this.#core;
    const room = Math.floor((context.setup.capacity?.().freeBytes ?? unlimitedBytes) / blockSize);
    const used = Math.ceil((usage.allocated + budget.bytes) / blockSize);
    const blocks = this.#limit === undefined ? used + room : Math.ceil(this.#limit / blockSize);
    // A quota that was lowered may be below what is there.
    const freeBlocks = Math.max(0, blocks - used);
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
