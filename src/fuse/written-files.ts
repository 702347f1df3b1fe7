/** Files that are being written at a time; of further ones the oldest is forgotten, and the kernel told again when it is written next. */
const maxFiles = 16_384;

/**
 * Files that are new or being written from the kernel's page cache. With the writeback cache the kernel knows their size and times better
 * than we do, but not the blocks they take; so while it goes on, it is to trust their attributes for a moment only.
 */
export class WrittenFiles {
  /** True: something was written since the last sweep. */
  readonly #files = new Map<number, boolean>();

  /** Returns true where the kernel may still trust attributes of before for long. */
  add(inode: number): boolean {
    const begun = !this.#files.has(inode);
    if (begun && this.#files.size >= maxFiles) this.#files.delete(this.#files.keys().next().value!);
    this.#files.set(inode, true);
    return begun;
  }

  has(inode: number): boolean {
    return this.#files.has(inode);
  }

  /** Now and then: what was not written since the last time is at rest. */
  sweep(): void {
    for (const [inode, lately] of this.#files) {
      if (lately) this.#files.set(inode, false);
      else this.#files.delete(inode);
    }
  }
}
