import { InfinitError } from '../../base/index.ts';
import { BLinkTree, type Change, type Key, type NodeCache } from '../../tree/index.ts';
import type { VolumeContext } from '../context.ts';
import { unlessLost } from '../failure.ts';
import { keyOf, positionOf } from '../names/directory-codec.ts';

const present = Uint8Array.of(1);
const pageEntries = 512;

/**
 * Inodes without a name that somebody still has open. The list is durable (a small tree), so that after a crash the next mount
 * finds them and removes what nobody holds any longer.
 */
export class Orphans {
  readonly #tree: BLinkTree;
  readonly #numbers = new Set<number>();
  readonly #inTree = new Set<number>();
  /** A write of them is under way, or did not end well: they may be in the tree or not. */
  readonly #doubtful = new Set<number>();

  constructor(context: VolumeContext, cache: NodeCache) {
    this.#tree = new BLinkTree(context.address('orphans'), { store: context.store, sealer: context.nodeSealer(0), cache, leased: true });
  }

  has(inode: number): boolean {
    return this.#numbers.has(inode);
  }

  all(): number[] {
    return [...this.#numbers];
  }

  /** The journal says that the inode is an orphan, or is none (any more). */
  set(inode: number, is: boolean): void {
    if (is) this.#numbers.add(inode);
    else this.#numbers.delete(inode);
  }

  /** Those that the tree may lack. */
  *unlisted(): Iterable<number> {
    for (const inode of this.#numbers) if (!this.#inTree.has(inode) || this.#doubtful.has(inode)) yield inode;
  }

  /** What the tree is to be told. */
  changes(): Map<Key, Change> {
    const changes = new Map<Key, Change>();
    for (const inode of this.unlisted()) changes.set(keyOf(inode), present);
    for (const inode of [...this.#inTree, ...this.#doubtful]) if (!this.#numbers.has(inode)) changes.set(keyOf(inode), null);
    return changes;
  }

  /** @throws InfinitError; then what was not done is among the {@link changes} as before, or what undoes it where it may have been done. */
  async apply(changes: ReadonlyMap<Key, Change>): Promise<void> {
    if (changes.size === 0) return;
    for (const key of changes.keys()) this.#doubtful.add(positionOf(key));
    const { failed } = await this.#tree.apply(changes);
    for (const [key, change] of changes) {
      const inode = positionOf(key);
      if (failed.has(key)) continue;
      this.#doubtful.delete(inode);
      if (change === null) this.#inTree.delete(inode);
      else this.#inTree.add(inode);
    }
    for (const [, error] of failed) throw error;
  }

  /** Removes the list itself. */
  destroy(): Promise<void> {
    return this.#tree.destroy();
  }

  /** Of a list that lost pages the others are there again, where a person wants the volume without what is lost. */
  async mend(): Promise<void> {
    await unlessLost(this.#tree.mend());
  }

  /** Reads the list at mount. False: it may be lost with all its hosts: files that only it named are removed by nobody, and that is all. @throws InfinitError */
  async load(): Promise<boolean> {
    return (await unlessLost(this.#read())) !== 'lost';
  }

  async #read(): Promise<void> {
    for (let after: Key | undefined; ;) {
      const page = await this.#tree.scan(after, pageEntries);
      for (const { key } of page.entries) {
        this.#numbers.add(positionOf(key));
        this.#inTree.add(positionOf(key));
      }
      if (page.done) return;
      after = page.entries.at(-1)?.key;
      if (after === undefined) throw new InfinitError('bug', 'a page of the orphans’ tree is empty and not the last');
    }
  }
}
