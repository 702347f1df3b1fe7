import type { VolumeCore } from './core.ts';
import { FileSystemError, type FileSystemStatistics } from './file-system.ts';
import type { Inode } from './inode.ts';
import { Miss } from './miss.ts';
import { maxNameBytes } from './names.ts';

const blockSize = 4096;
/** What a volume without a quota shows as its size, where nobody says how large the store is. */
const unlimitedBytes = 2 ** 50;
/** What is shown as room for inodes: numbers never run out. */
const freeFiles = 2 ** 31;

/**
 * The volume's size. What is buffered counts in full until it is written out, since how much it replaces is known only then;
 * so when the volume looks full, it is written out first and looked at again.
 */
export class Quota {
  readonly #core: VolumeCore;
  readonly #limit: number | undefined;

  constructor(core: VolumeCore) {
    this.#core = core;
    this.#limit = core.context.options.sizeBytes;
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

  statistics(): FileSystemStatistics {
    const { usage, budget, context } = this.#core;
    const store = context.setup.capacity?.();
    const used = Math.ceil((usage.allocated + budget.bytes) / blockSize);
    const total = Math.ceil((this.#limit ?? store?.totalBytes ?? unlimitedBytes) / blockSize);
    const free = Math.max(0, Math.min(total - used, store === undefined ? Infinity : Math.floor(store.freeBytes / blockSize)));
    return { blockSize, blocks: total, freeBlocks: free, availableBlocks: free, files: usage.files + freeFiles, freeFiles, maxNameBytes };
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
