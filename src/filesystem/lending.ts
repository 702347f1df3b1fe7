import type { VolumeCore } from './core.ts';
import { FileSystemError, type MaybePromise } from './file-system.ts';
import { type Files, maxFileBytes } from './files.ts';
import type { Image, Images } from './inodes/images.ts';
import type { Inode } from './inodes/inode.ts';
import { attempt } from './miss.ts';
import type { Quota } from './quota.ts';
import { Pinned } from './content/reading.ts';
import { changeAttributes } from './inodes/set-attributes.ts';
import { isSameVersion, type Written } from './inodes/written.ts';

/** Numbers of blocks that a guest seals begin here: far above those of the session's own, and exact. */
const firstSequence = 2 ** 52;
/** Blocks that may be sealed with the numbers of one loan. */
const sequencesPerLoan = 2 ** 20;

/** What a loan comes with. */
export interface LentFile {
  readonly image: Image;
  /** Whoever borrows seals blocks as this session, with so many numbers from `sequence` on. */
  readonly session: number;
  readonly sequence: number;
  readonly sequences: number;
}

/** Files that other hosts write in their own memory for a while: they are lent, and what was written comes back. */
export class Lending {
  readonly #core: VolumeCore;
  readonly #images: Images;
  readonly #files: Files;
  readonly #quota: Quota;
  #next = firstSequence;

  constructor(core: VolumeCore, images: Images, files: Files, quota: Quota) {
    this.#core = core;
    this.#images = images;
    this.#files = files;
    this.#quota = quota;
  }

  /** undefined: this session has no numbers left. @param note called in the moment in which nobody else has it in memory. */
  async lend(number: number, note: () => void): Promise<LentFile | undefined> {
    const sequence = this.#next;
    if (sequence >= Number.MAX_SAFE_INTEGER - sequencesPerLoan) return undefined;
    this.#next += sequencesPerLoan;
    const image = await this.#images.lent(number, note);
    return { image, session: this.#core.context.session, sequence, sequences: sequencesPerLoan };
  }

  /**
   * Takes what was written elsewhere into memory; once, however often it is said.
   * @param isLent whether whoever says so has the file lent, now; otherwise it counts only if nobody has changed the file since.
   * @throws FileSystemError EIO where somebody has.
   */
  apply(number: number, written: Written, isLent: () => boolean = () => false, owner?: string): MaybePromise<void> {
    const { budget, redo, context, flusher } = this.#core;
    return attempt(() => {
      this.#core.writable();
      const inode = this.#files.regular(number);
      if (isSameVersion(inode, written.version)) return undefined;
      if (written.pieces.some((piece) => 'bytes' in piece)) flusher.checkRoom();
      if (!isLent() && !isSameVersion(inode, written.expect)) throw new FileSystemError('EIO', 'another host changed the file since');
      if (written.session !== context.session && written.pieces.some((piece) => 'address' in piece))
        throw new FileSystemError('EIO', 'the blocks were sealed for another session');
      const spans = written.pieces.map((piece) => ({
        start: piece.offset,
        end: piece.offset + ('bytes' in piece ? piece.bytes.length : piece.length),
      }));
      if (written.version.size > maxFileBytes || spans.some(({ end }) => end > maxFileBytes)) throw new FileSystemError('EFBIG');
      this.#quota.checkAll(inode, spans);
      this.#core.claim([inode], [], owner);
      this.#write(inode, written);
      return budget.wait() ?? redo?.wait();
    });
  }

  #write(inode: Inode, { pieces, version, changes }: Written): void {
    const { redo } = this.#core;
    for (const piece of pieces) {
      if ('bytes' in piece) {
        inode.content!.write(piece.offset, piece.bytes);
        redo?.write(inode.number, piece.offset, piece.bytes);
      } else {
        inode.content!.adopt(piece);
        redo?.stored(inode.number, piece);
      }
    }
    inode.size = Math.max(inode.size, version.size);
    changeAttributes(this.#core, inode, { ...changes, modified: version.modified, changed: version.changed });
  }

  /** Bytes of a file for the guest that has it, as they are here; undefined: it does not have it any more. */
  read(number: number, offset: number, length: number, isLent: () => boolean): MaybePromise<Uint8Array | undefined> {
    const pinned = new Pinned();
    return attempt(() => {
      const inode = this.#files.regular(number);
      if (!isLent()) return undefined;
      const end = Math.min(offset + length, inode.size);
      // What a read gives is good for this turn alone.
      return offset >= end ? new Uint8Array(0) : Buffer.concat(inode.content!.read(offset, end, pinned));
    });
  }

  /** All of the file is durable afterwards. @throws FileSystemError */
  persist(number: number): Promise<void> {
    return this.#files.persist(number);
  }

  /** As {@link apply} and {@link persist}, of what was borrowed of another host that served the volume before this one. */
  async put(number: number, _loan: string, written: Written, _back: boolean): Promise<void> {
    await this.apply(number, written);
    await this.persist(number);
  }
}
