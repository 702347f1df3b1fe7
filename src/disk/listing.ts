import type { Address } from '../block/index.ts';
import type { DiskEntry } from './disk.ts';
import { type Entry, hasValue } from './entry.ts';
import type { LevelIndex } from './level-index.ts';
import { type RecordId, recordTypes } from './record.ts';
import type { RecentTable } from './recent-table.ts';

/** The id before the first address that there can be; meta ids lie below. */
const beforeAddresses: RecordId = `0${'f'.repeat(63)}`;

/** Addresses in ascending order, from the index and what is not in it yet. */
export async function listBlocks(index: LevelIndex, recent: RecentTable, after: Address | undefined, limit: number): Promise<DiskEntry[]> {
  const result: DiskEntry[] = [];
  let from: RecordId = after ?? beforeAddresses;
  while (result.length < limit) {
    // Taken before the index is asked: what is indexed meanwhile is then in both, never in neither.
    const layers = recent.layers();
    const indexed = await index.list(from, limit);
    let last = indexed.length < limit ? undefined : indexed.at(-1)![0];
    const merged = new Map<RecordId, Entry>(indexed);
    for (const layer of layers)
      for (const [id, entry] of layer) {
        if (id <= from || (last !== undefined && id > last)) continue;
        merged.set(id, entry);
        // Many thousands may wait for the index: to sort them all for each page would hold the event loop up.
        if (merged.size >= 2 * limit) last = keepFirst(merged, limit);
      }
    for (const id of [...merged.keys()].sort()) {
      const entry = merged.get(id)!;
      if (result.length < limit && entry.type !== recordTypes.delete)
        result.push({ address: id as Address, size: hasValue(entry) ? entry.length : 0 });
    }
    if (last === undefined) break;
    from = last;
  }
  return result;
}

/** Takes all but the first `count` ids out. Returns the last of those. */
function keepFirst(entries: Map<RecordId, Entry>, count: number): RecordId {
  const ids = [...entries.keys()].sort();
  for (const id of ids.slice(count)) entries.delete(id);
  return ids[count - 1]!;
}
