import { type Entry, hasValue, isBlockId } from './entry.ts';
import type { RecordId } from './record.ts';

/**
 * What was written since the last checkpoint of the index: looked up here, and only here, until it is indexed.
 * Two generations, so that writers go on while a checkpoint of the older one is on its way.
 */
export class RecentTable {
  #current = new Map<RecordId, Entry>();
  #frozen: Map<RecordId, Entry> | undefined;
  /** Counts the checkpoints that ended: who compared with the index knows by it that the index moved on. */
  generation = 0;
  /** What the entries here add to the index's counts, as if each were new; a checkpoint takes off what they replaced. */
  blocks = 0;
  liveBytes = 0;

  get(id: RecordId): Entry | undefined {
    return this.#current.get(id) ?? this.#frozen?.get(id);
  }

  /** Entries not yet on their way to the index. */
  get size(): number {
    return this.#current.size;
  }

  set(id: RecordId, entry: Entry): void {
    const before = this.#current.get(id);
    if (before !== undefined) this.#count(id, before, -1);
    this.#count(id, entry, 1);
    this.#current.set(id, entry);
  }

  /** Begins a checkpoint: the entries so far, which stay visible here until {@link thaw}. */
  freeze(): ReadonlyMap<RecordId, Entry> {
    const frozen = this.#current;
    this.#frozen = frozen;
    this.#current = new Map();
    return frozen;
  }

  /** Ends a checkpoint. Where it failed, the entries go back to wait for the next one. */
  thaw(indexed: boolean): void {
    const frozen = this.#frozen ?? new Map<RecordId, Entry>();
    this.#frozen = undefined;
    this.generation++;
    if (indexed) {
      for (const [id, entry] of frozen) this.#count(id, entry, -1);
      return;
    }
    const newer = this.#current;
    this.#current = frozen;
    for (const [id, entry] of newer) {
      const before = frozen.get(id);
      if (before !== undefined) this.#count(id, before, -1);
      frozen.set(id, entry);
    }
  }

  /** The tables as they are, oldest first, for a walk that merges them with the index. */
  layers(): ReadonlyMap<RecordId, Entry>[] {
    return this.#frozen === undefined ? [this.#current] : [this.#frozen, this.#current];
  }

  #count(id: RecordId, entry: Entry, sign: 1 | -1): void {
    if (!hasValue(entry) || !isBlockId(id)) return;
    this.blocks += sign;
    this.liveBytes += sign * entry.length;
  }
}
