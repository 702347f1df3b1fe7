import type { Usage } from './journal-codec.ts';

/**
 * What the volume holds. Exact while mounted and after an orderly end; a crash loses what was counted since the last block of the journal
 * or of the volume's own state, a few seconds at the most. It never shows less than nothing.
 */
export class VolumeUsage implements Usage {
  #allocated: number;
  #files: number;

  constructor(usage: Usage) {
    this.#allocated = usage.allocated;
    this.#files = usage.files;
  }

  /** Bytes of file contents kept in the store. */
  get allocated(): number {
    return this.#allocated;
  }

  /** Inodes in use. */
  get files(): number {
    return this.#files;
  }

  add(allocated: number, files: number): void {
    this.#allocated = this.after(allocated).allocated;
    this.#files = Math.max(1, this.#files + files);
  }

  /** What it will be once so many bytes more are durable. After a crash less may be counted than is then given back. */
  after(allocated: number): Usage {
    return { allocated: Math.max(0, this.#allocated + allocated), files: this.#files };
  }

  /** The figures that an earlier mount left. */
  recall(usage: Usage): void {
    this.#allocated = usage.allocated;
    this.#files = usage.files;
  }
}
