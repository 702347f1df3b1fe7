import { assert } from '../../base/index.ts';
import type { Address } from '../../block/index.ts';
import type { Edit } from './cow-edit.ts';
import type { CowTree, Missing } from './cow-tree.ts';
import type { BlockRecord } from './records.ts';
import type { MapRoot } from './root-codec.ts';

/** The data blocks of a file by number: recent changes over the tree. */
export class BlockTable {
  readonly #tree: CowTree<BlockRecord>;
  #next: number;
  /** Not in the tree yet. */
  readonly #added: Map<number, BlockRecord>;
  /** Live bytes of blocks whose record in the tree says otherwise; 0: gone. */
  readonly #lives: Map<number, number>;
  /** Numbers of added blocks. */
  readonly #numbers = new Map<Address, number>();

  constructor(tree: CowTree<BlockRecord>, root: Pick<MapRoot, 'nextBlock' | 'added' | 'lives'>) {
    this.#tree = tree;
    this.#next = root.nextBlock;
    this.#added = new Map(root.added.map((block) => [block.id, block]));
    this.#lives = new Map(root.lives);
    for (const { address, id } of root.added) this.#numbers.set(address, id);
  }

  get next(): number {
    return this.#next;
  }

  /** In order: numbers only ever grow. */
  get added(): readonly BlockRecord[] {
    return [...this.#added.values()];
  }

  get lives(): ReadonlyMap<number, number> {
    return this.#lives;
  }

  /** The block's record; undefined where it is not in memory, and then its load is noted. */
  get(id: number, missing: Missing): BlockRecord | undefined {
    const added = this.#added.get(id);
    if (added !== undefined) return added;
    const before = missing.size;
    const stored = this.#tree.floor(id, missing);
    if (missing.size > before || (stored === undefined && missing.size > 0)) return undefined;
    assert(stored !== undefined && stored.id === id, 'an extent refers to a block of its file');
    const live = this.#lives.get(id);
    return live === undefined ? stored : { ...stored, live };
  }

  /** Counts `bytes` more of a block as live; a new address gets a number. */
  use(address: Address, size: number, bytes: number, epoch: number): number {
    const id = this.#numbers.get(address) ?? this.#next++;
    const live = (this.#added.get(id)?.live ?? 0) + bytes;
    this.#added.set(id, { id, address, size, live, epoch });
    this.#numbers.set(address, id);
    return id;
  }

  /** Counts `bytes` of a block as no longer live. @returns the block where that was the last of it. */
  release(id: number, bytes: number): BlockRecord | undefined {
    const missing: Missing = new Map();
    const block = this.get(id, missing);
    assert(block !== undefined, 'the blocks of a range are loaded before it is changed');
    const live = block.live - bytes;
    assert(live >= 0, 'a block has no more dead bytes than it had live ones');
    const added = this.#added.has(id);
    if (live > 0) {
      if (added) this.#added.set(id, { ...block, live });
      else this.#lives.set(id, live);
      return undefined;
    }
    if (added) {
      this.#added.delete(id);
      this.#numbers.delete(block.address);
    } else this.#lives.set(id, 0);
    return block;
  }

  /** The tree's edits that take in up to `limit` changes; those whose nodes are not in memory are noted. */
  edits(limit: number, missing: Missing): Edit<BlockRecord>[] {
    const edits: Edit<BlockRecord>[] = [];
    for (const [id, live] of this.#lives) {
      if (edits.length >= limit) break;
      const record = this.get(id, missing);
      edits.push({ key: id, record: live === 0 ? undefined : record });
    }
    edits.sort((a, b) => a.key - b.key);
    // Added ones have the greater numbers.
    for (const record of this.#added.values()) {
      if (edits.length >= limit) break;
      edits.push({ key: record.id, record });
    }
    for (const { key } of edits) this.#tree.touch(key, missing);
    return edits;
  }

  /** These edits are in the tree now. */
  merged(edits: readonly Edit<BlockRecord>[]): void {
    for (const { key, record } of edits) {
      this.#lives.delete(key);
      if (this.#added.delete(key)) this.#numbers.delete(record!.address);
    }
  }
}
