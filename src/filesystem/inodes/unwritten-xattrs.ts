import type { Inode } from './inode.ts';

/** Bytes of extended attributes that only memory has; whoever adds some beyond waits. */
export const maxUnwrittenXattrBytes: number = 16 * 1024 * 1024;
/** So much of it is time to write out. */
const hurryBytes = maxUnwrittenXattrBytes / 2;

/**
 * Extended attributes that changed and are in no record yet. They are no content, which has a budget of its own, and one that is never written out must not hold up the writers of content: who set
 * one waits for the attempt that is under way or begins, whatever that comes to.
 */
export class UnwrittenXattrs {
  readonly #bytes = new Map<Inode, number>();
  #total = 0;
  #waiting: (() => void)[] = [];

  get bytes(): number {
    return this.#total;
  }

  /** There is enough of it to be written out at once. */
  get pressing(): boolean {
    return this.#total > hurryBytes;
  }

  /** Those of an inode changed. */
  changed(inode: Inode): void {
    let bytes = 0;
    for (const [name, value] of inode.xattrs ?? []) bytes += name.length + value.length;
    this.#total += bytes - (this.#bytes.get(inode) ?? 0);
    this.#bytes.set(inode, bytes);
  }

  /** Its record has them, or it is gone. */
  written(inode: Inode): void {
    this.#total -= this.#bytes.get(inode) ?? 0;
    this.#bytes.delete(inode);
  }

  /** Undefined while there is room; otherwise a promise for the end of an attempt to make some. */
  wait(): Promise<void> | undefined {
    if (this.#total <= maxUnwrittenXattrBytes) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Such an attempt ended, or there will be none. */
  release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
