import { type Entry, hasValue, heldBytes, isBlockId, type LogPosition } from './entry.ts';
import type { LevelIndex, SegmentStats } from './level-index.ts';
import type { RecentTable } from './recent-table.ts';
import { type RecordId, recordTypes } from './record.ts';
import type { Segments } from './segments.ts';

/** Entries counted before the event loop gets its turn. Nobody changes what is being checkpointed. */
const stepEntries = 512;

interface Changes {
  readonly segments: ReadonlyMap<number, { readonly live: number; readonly lost: number }>;
  readonly blocks: number;
  readonly liveBytes: number;
}

/** Moves what was recently written into the index, one synced batch at a time, while writers go on. */
export class Checkpointer {
  readonly #index: LevelIndex;
  readonly #recent: RecentTable;
  readonly #segments: Segments;
  /** Up to where the index reaches. */
  #position: LogPosition | undefined;
  /** What the index counts. */
  #blocks: number;
  #liveBytes: number;
  #running: Promise<void> | undefined;
  #removed: number[] = [];

  constructor(index: LevelIndex, recent: RecentTable, segments: Segments, counts: { readonly blocks: number; readonly liveBytes: number }) {
    this.#index = index;
    this.#recent = recent;
    this.#segments = segments;
    this.#blocks = counts.blocks;
    this.#liveBytes = counts.liveBytes;
  }

  get blocks(): number {
    return this.#blocks + this.#recent.blocks;
  }

  get liveBytes(): number {
    return this.#liveBytes + this.#recent.liveBytes;
  }

  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** Segments before this one are in the index entirely. */
  get indexedBefore(): number {
    return this.#position?.segment ?? 0;
  }

  /** Notes that a segment is gone, so that the index forgets it. */
  forget(segment: number): void {
    this.#removed.push(segment);
  }

  /** Indexes everything written before `position`, which must be on stable storage and in the recent table now. Calls go one after the other. */
  async run(position: () => LogPosition): Promise<void> {
    while (this.#running !== undefined) await this.#running.catch(() => {});
    this.#running = this.#run(position());
    try {
      await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  async #run(position: LogPosition): Promise<void> {
    if (
      this.#recent.size === 0 &&
      this.#removed.length === 0 &&
      this.#position?.segment === position.segment &&
      this.#position.offset === position.offset
    )
      return;
    const entries = this.#recent.freeze();
    const removed = this.#removed;
    this.#removed = [];
    let indexed = false;
    try {
      const changes = await this.#changes(entries);
      const stats: SegmentStats[] = [];
      for (const [number, change] of changes.segments) {
        const segment = this.#segments.get(number);
        if (segment === undefined) continue;
        // Marks of an earlier version were not counted.
        const lost = Math.max(0, segment.lost + change.lost);
        stats.push({ number, live: segment.live + change.live, tombstones: segment.tombstones, lost });
      }
      const blocks = this.#blocks + changes.blocks;
      const liveBytes = this.#liveBytes + changes.liveBytes;
      await this.#index.commit(entries, stats, removed, { ...position, blocks, liveBytes });
      for (const { number, live, lost } of stats) {
        const segment = this.#segments.get(number);
        if (segment === undefined) continue;
        segment.live = live;
        segment.lost = lost;
      }
      this.#blocks = blocks;
      this.#liveBytes = liveBytes;
      this.#position = position;
      indexed = true;
    } finally {
      if (!indexed) this.#removed.push(...removed);
      this.#recent.thaw(indexed);
    }
  }

  /** What the entries change, compared with what the index has under their ids. */
  async #changes(entries: ReadonlyMap<RecordId, Entry>): Promise<Changes> {
    const segments = new Map<number, { live: number; lost: number }>();
    let blocks = 0;
    let liveBytes = 0;
    const count = (id: RecordId, entry: Entry, sign: 1 | -1): void => {
      let change = segments.get(entry.segment);
      if (change === undefined) segments.set(entry.segment, (change = { live: 0, lost: 0 }));
      change.live += sign * heldBytes(entry);
      if (entry.type === recordTypes.lost) change.lost += sign;
      if (!hasValue(entry) || !isBlockId(id)) return;
      blocks += sign;
      liveBytes += sign * entry.length;
    };
    const before = await this.#index.getMany([...entries.keys()]);
    let at = 0;
    for (const [id, entry] of entries) {
      const old = before[at++];
      if (old !== undefined) count(id, old, -1);
      count(id, entry, 1);
      if (at % stepEntries === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return { segments, blocks, liveBytes };
  }
}
