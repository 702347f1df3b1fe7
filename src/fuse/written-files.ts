/** Files that are being written at a time; of further ones the older half is forgotten, and the kernel told again when one is written next. */
const maxFiles = 16_384;

/**
 * Files that are new or being written from the kernel's page cache. With the writeback cache the kernel knows their size and times better
 * than we do, but not the blocks they take; so while it goes on, it is to trust their attributes for a moment only.
 */
export class WrittenFiles {
  /** Written since the last sweep. */
  #lately = new Set<number>();
  /** Written in the time before that. */
  #before = new Set<number>();

  get size(): number {
    return this.#lately.size + this.#before.size;
  }

  /** Returns true where the kernel may still trust attributes of before for long. */
  add(inode: number): boolean {
    if (this.#lately.has(inode)) return false;
    const begun = !this.#before.delete(inode);
    if (this.#lately.size >= maxFiles / 2) this.sweep();
    this.#lately.add(inode);
    return begun;
  }

  has(inode: number): boolean {
    return this.#lately.has(inode) || this.#before.has(inode);
  }

  /** Now and then: what was not written since the last time is at rest. */
  sweep(): void {
    this.#before = this.#lately;
    this.#lately = new Set();
  }
}
