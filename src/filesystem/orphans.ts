import { InfinitError } from '../base/index.ts';
import { BLinkTree, type Change, type Key, type NodeCache } from '../tree/index.ts';
import type { VolumeContext } from './context.ts';
import { keyOf, positionOf } from './directory-codec.ts';

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

  /** What the tree lacks. */
  changes(): Map<Key, Change> {
    const changes = new Map<Key, Change>();
    for (const inode of this.#numbers) if (!this.#inTree.has(inode)) changes.set(keyOf(inode), present);
    for (const inode of this.#inTree) if (!this.#numbers.has(inode)) changes.set(keyOf(inode), null);
    return changes;
  }

  async apply(changes: ReadonlyMap<Key, Change>): Promise<void> {
    if (changes.size === 0) return;
    const { failed } = await this.#tree.apply(changes);
    for (const [, error] of failed) throw error;
    for (const [key, change] of changes) {
      if (change === null) this.#inTree.delete(positionOf(key));
      else this.#inTree.add(positionOf(key));
    }
  }

  /** Removes the list itself. */
  destroy(): Promise<void> {
    return this.#tree.destroy();
  }

  /** Reads the list at mount. */
  async load(): Promise<void> {
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
