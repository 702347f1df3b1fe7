/** open(2)'s access mode; 0 is for reading only. */
const accessMode = 3;

/**
 * Which inodes may have dirty pages in the kernel: those that somebody has open for writing, since the last close writes them
 * back before it is told to us. Bounded by the kernel's open files.
 */
export class Writers {
  readonly #open = new Map<number, number>();
  /** After a takeover nobody knows what was open before. */
  readonly #allKnown: boolean;

  constructor(allKnown: boolean) {
    this.#allKnown = allKnown;
  }

  opened(inode: number, flags: number): void {
    if ((flags & accessMode) !== 0) this.#open.set(inode, (this.#open.get(inode) ?? 0) + 1);
  }

  closed(inode: number, flags: number): void {
    if ((flags & accessMode) === 0) return;
    const left = (this.#open.get(inode) ?? 0) - 1;
    if (left > 0) this.#open.set(inode, left);
    else this.#open.delete(inode);
  }

  mayBeDirty(inode: number): boolean {
    return !this.#allKnown || this.#open.has(inode);
  }
}
