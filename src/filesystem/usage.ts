import type { Usage } from './journal/journal-codec.ts';

/**
 * What the volume holds. It has two parts: what is *counted*, in the figures that the volume's own block and the blocks of the journal carry from mount to mount, and
 * what this mount did that is not. An operation is counted when the journal has it, content when the volume's own block says so (`unsettled.ts`).
 * It never shows less than nothing, though a volume that an older program counted wrong may come to that.
 */
export class VolumeUsage implements Usage {
  #counted: Usage;
  #aheadBytes = 0;
  #aheadFiles = 0;

  constructor({ allocated, files }: Usage) {
    this.#counted = { allocated, files };
  }

  /** Bytes of file contents kept in the store. */
  get allocated(): number {
    return Math.max(0, this.#counted.allocated + this.#aheadBytes);
  }

  /** Inodes in use. */
  get files(): number {
    return Math.max(1, this.#counted.files + this.#aheadFiles);
  }

  /** The figures that are written. */
  get counted(): Usage {
    return this.#counted;
  }

  /** What was done in memory, or to a record, and is not counted yet. */
  add(allocated: number, files: number): void {
    this.#aheadBytes += allocated;
    this.#aheadFiles += files;
  }

  /** So much of it is counted from now on. */
  settle(allocated: number, files: number): void {
    this.#aheadBytes -= allocated;
    this.#aheadFiles -= files;
    this.count(allocated, files);
  }

  /** Counts what this mount did not do: an earlier one did, or counted it wrong. */
  count(allocated: number, files: number): void {
    const { allocated: bytes, files: inodes } = this.#counted;
    this.#counted = { allocated: Math.max(0, bytes + allocated), files: Math.max(1, inodes + files) };
  }

  /** The figures as an older program's block of the journal has them. */
  recall({ allocated, files }: Usage): void {
    this.#counted = { allocated, files };
  }
}
