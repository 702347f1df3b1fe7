import { InfinitError } from '../../base/index.ts';
import type { Inode } from '../inodes/inode.ts';
import type { VolumeUsage } from '../usage.ts';

/** Inodes that one block of the volume's names at the most: what is being written at once is less. */
const maxUnsettled = 2048;
/** So many stay named though their content is counted, those written last: who writes a file will do so again. */
const keptUnsettled = 256;

/** An inode whose record may say another number of bytes than the volume's figures count for it. */
export interface UnsettledInode {
  readonly inode: number;
  /** What the figures count for it. */
  readonly counted: number;
}

interface Entry {
  counted: number;
  /** As its record is known to be. */
  allocated: number;
  /** A write of the record is under way, or ended so that nobody knows whether it took effect. */
  uncertain: boolean;
  /** Removed in memory: named until the journal, whose block may be on its way, counts it out. */
  gone: boolean;
}

/**
 * What makes usage exact after a crash without a walk through the volume. Records become durable by themselves, and the figures in the volume's own block do not change with
 * them. So that block names the inodes whose content may be another than it counts, *before* one of their records is written; the next mount looks at these and no others. Each further write
 * of the block counts what is known by then, and forgets all but those that were written last.
 *
 * Content of new inodes needs none of it: the next mount reads the journal's blocks that make them, and looks at their records.
 */
export class Unsettled {
  readonly #usage: VolumeUsage;
  readonly #write: () => Promise<void>;
  /** By number, those written last at the end. */
  readonly #entries = new Map<number, Entry>();
  /** Those that the volume's own block names, whichever of its last versions the store has. */
  #covered = new Set<number>();

  /** @param write writes the volume's own block, with what {@link take} says at some moment after the call. */
  constructor(usage: VolumeUsage, write: () => Promise<void>) {
    this.#usage = usage;
    this.#write = write;
  }

  /** Of how many inodes a write of the record is under way, or ended so that nobody knows whether it took effect. */
  get uncertain(): number {
    let uncertain = 0;
    for (const entry of this.#entries.values()) if (entry.uncertain) uncertain++;
    return uncertain;
  }

  /** Before the records of these are written with other contents than before. @throws InfinitError; then they must not be written. */
  async cover(inodes: readonly Inode[]): Promise<void> {
    if (inodes.length === 0) return;
    for (const inode of inodes) this.#begin(inode);
    while (inodes.some(({ number }) => this.#entries.has(number) && !this.#covered.has(number))) await this.#write();
  }

  #begin(inode: Inode): void {
    const { number, gone } = inode;
    const allocated = inode.content?.accounted ?? 0;
    const entry = this.#entries.get(number) ?? { counted: allocated, allocated, uncertain: true, gone };
    this.#entries.delete(number);
    if (this.#entries.size >= maxUnsettled) this.#forget(maxUnsettled - 1);
    if (this.#entries.size >= maxUnsettled) throw new InfinitError('overloaded', 'too many files are being written at once');
    entry.uncertain = true;
    this.#entries.set(number, entry);
  }

  /** Whether so many more inodes may be named. */
  hasRoom(inodes: number): boolean {
    this.#forget(maxUnsettled - inodes);
    return this.#entries.size + inodes <= maxUnsettled;
  }

  /** An inode is made whose record was written before, with content, and nobody knows whether that took effect: it is counted as it is in memory. */
  doubt(inode: Inode): void {
    if (inode.content !== undefined) this.#begin(inode);
  }

  /** The record of an inode is durable, with so many bytes. */
  written(inode: number, allocated: number): void {
    const entry = this.#entries.get(inode);
    if (entry === undefined) return;
    entry.allocated = allocated;
    entry.uncertain = false;
  }

  /** An earlier mount left it unsettled, and may have a write of its record on its way still: this one will write it, too. */
  inherit({ inode, counted }: UnsettledInode, allocated: number): void {
    this.#entries.set(inode, { counted, allocated, uncertain: true, gone: false });
  }

  /** What is counted for an inode. */
  countedOf({ number, content }: Inode): number {
    return this.#entries.get(number)?.counted ?? content?.accounted ?? 0;
  }

  /** It was removed in memory. */
  gone(inode: number): void {
    const entry = this.#entries.get(inode);
    if (entry !== undefined) entry.gone = true;
  }

  /** The journal has its removal. */
  removed(inode: number): void {
    this.#entries.delete(inode);
  }

  /** For the volume's own block as it is about to be written: counts what is known, and says which inodes to name. `clean`: none that need not be. */
  take(clean: boolean): UnsettledInode[] {
    for (const entry of this.#entries.values()) {
      this.#usage.settle(entry.allocated - entry.counted, 0);
      entry.counted = entry.allocated;
    }
    this.#forget(clean ? 0 : keptUnsettled);
    // That block may be in the store from now on, or the one before.
    this.#covered = new Set([...this.#covered].filter((number) => this.#entries.has(number)));
    return [...this.#entries].map(([inode, { counted }]) => ({ inode, counted }));
  }

  /** That block is durable. */
  taken(named: readonly UnsettledInode[]): void {
    this.#covered = new Set(named.map(({ inode }) => inode));
  }

  /** Forgets those that are counted, the oldest first, until no more than `most` are left. */
  #forget(most: number): void {
    for (const [number, { counted, allocated, uncertain, gone }] of this.#entries) {
      if (this.#entries.size <= most) return;
      if (!uncertain && !gone && counted === allocated) this.#entries.delete(number);
    }
  }
}
