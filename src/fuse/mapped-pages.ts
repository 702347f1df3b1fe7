/** Inodes that are remembered to have pages, or to have none any more. */
const maxKnown = 65_536;

/**
 * Pages that the kernel has of files that programs map into their memory. Where others use the files as well nobody takes such pages back: programs that share a mapped file take a lock, write
 * it back with msync, and give the lock back. Whoever has the lock next is to see that, and not to write a page of before over it, so the kernel drops the file's pages
 * as a lock is taken, and writes back what is dirty before one is given back, as an NFS client does.
 */
export class MappedPages {
  readonly #drop: (inode: number) => Promise<void>;
  /** Inodes of which the kernel read pages since they were dropped last. */
  readonly #read = new Set<number>();
  /** Others may have pages as well, but for those that were dropped since that is so. */
  #othersHave: boolean;
  readonly #dropped = new Set<number>();
  /** While the kernel drops them: how many times at once. */
  readonly #dropping = new Map<number, number>();

  /**
   * @param drop resolves when the kernel has no page of the inode any more, dirty ones written.
   * @param adopted the mount is an earlier daemon's: of which inodes the kernel has pages is not known.
   */
  constructor(drop: (inode: number) => Promise<void>, adopted: boolean) {
    this.#drop = drop;
    this.#othersHave = adopted;
  }

  /** The kernel is given a page, and not a program what it reads. Returns whether it had none of the inode before. */
  given(inode: number): boolean {
    const hadNone = !this.#read.has(inode) && !this.#dropping.has(inode) && (!this.#othersHave || this.#dropped.has(inode));
    if (this.#read.size >= maxKnown && !this.#read.has(inode)) {
      this.#read.clear();
      this.anyMayHave();
    }
    this.#read.add(inode);
    return hadNone;
  }

  /** It has got pages of other files in another way, or may have. */
  anyMayHave(): void {
    this.#dropped.clear();
    this.#othersHave = true;
  }

  /** Resolves when the kernel has no page of the inode; undefined: it has none. */
  drop(inode: number): Promise<void> | undefined {
    if (!this.#read.delete(inode) && (!this.#othersHave || this.#dropped.has(inode))) return undefined;
    if (this.#othersHave) {
      if (this.#dropped.size >= maxKnown) this.#dropped.clear();
      this.#dropped.add(inode);
    }
    return this.#dropNow(inode);
  }

  async #dropNow(inode: number): Promise<void> {
    this.#dropping.set(inode, (this.#dropping.get(inode) ?? 0) + 1);
    await this.#drop(inode);
    const left = this.#dropping.get(inode)! - 1;
    if (left === 0) this.#dropping.delete(inode);
    else this.#dropping.set(inode, left);
  }
}
