import { type Attributes, type FileTime, isSameTime } from '../filesystem/index.ts';

/** The kernel is not told of a write of its own for so long after the last one, in ms, and for so many reads: further ones are worth dropping the pages once. */
const untoldMs = 1000;
const maxUntold = 1024;
/** Nor for as many questions as it may have pages of the file, of so many bytes: for each of them it asks, one by one, where it reads here and there once they are dropped. */
const pageBytes = 4096;

/**
 * Which time of writing of a file the kernel was told last. It drops the file's cached pages where it is told another one; while all that was written since came through these
 * pages it may be told the same again.
 */
export class ToldTime {
  /** And in which time in which nobody but this kernel changes the volume. */
  #told: { readonly within: object; readonly modified: FileTime } | undefined;
  /** Since then the file was changed past the kernel's cached pages. */
  #past = false;
  /** When it was last written, and answers since then that did not tell of it. */
  #wroteAt = 0;
  #untold = 0;

  /** A write is being served. @param past it does not go through the kernel's cached pages. */
  wrote(past: boolean): void {
    this.#wroteAt = performance.now();
    this.#untold = 0;
    if (past) this.#past = true;
  }

  /** The file is being changed otherwise. */
  changedPast(): void {
    this.#past = true;
  }

  /** The kernel is told a time of writing. @param within undefined: others may change the volume. */
  tell(modified: FileTime, within: object | undefined): void {
    if (within === undefined) this.#told = undefined;
    else if (this.#told?.within !== within || !isSameTime(this.#told.modified, modified)) {
      this.#told = { within, modified };
      this.#past = false;
    }
  }

  /** Whether the kernel's pages have all that was written since it was told. */
  holds(within: object): boolean {
    return this.#told?.within === within && !this.#past;
  }

  /** What to tell the kernel instead of the true time of writing, for it to keep its pages. undefined: the true one. */
  insteadOf({ modified, size }: Pick<Attributes, 'modified' | 'size'>, within: object): FileTime | undefined {
    if (this.#told?.within !== within || this.#past) return undefined;
    if (isSameTime(this.#told.modified, modified)) return undefined;
    if (++this.#untold * pageBytes > size && (this.#untold > maxUntold || performance.now() - this.#wroteAt > untoldMs)) return undefined;
    return this.#told.modified;
  }
}
