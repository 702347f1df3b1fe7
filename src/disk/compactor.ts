import type { Logger } from '../base/index.ts';
import type { Checkpointer } from './checkpointer.ts';
import { CompactionPace } from './compaction-pace.ts';
import { type Entry, hasValue } from './entry.ts';
import type { Files } from './files.ts';
import type { Health } from './health.ts';
import type { LevelIndex } from './level-index.ts';
import type { LogWriter } from './log-writer.ts';
import type { RecentTable } from './recent-table.ts';
import { noId, recordBytes, type RecordId, recordTypes, segmentHeaderBytes } from './record.ts';
import { type ScannedRecord, scanSegment } from './segment-scan.ts';
import type { Segment, Segments } from './segments.ts';
import type { StoreDirectory } from './store-directory.ts';

/** A segment is worth rewriting when so much of it is garbage... */
const garbageShare = 0.4;
/** ...or so little, when the store has no room left. */
const urgentGarbageShare = 0.05;
/** Tombstones may take this share of the store before the oldest segments are rewritten to be rid of them. */
const tombstoneShare = 1 / 16;
const minTombstoneBytes = 16 * 1024 * 1024;
const emptyBytes = new Uint8Array();
const lostRecord = { type: recordTypes.lost, bytes: emptyBytes, crc: 0, table: emptyBytes };

export interface CompactorOptions {
  readonly files: Files;
  readonly directory: StoreDirectory;
  readonly segments: Segments;
  readonly recent: RecentTable;
  readonly index: LevelIndex;
  readonly writer: LogWriter;
  readonly checkpointer: Checkpointer;
  readonly health: Health;
  readonly segmentBytes: number;
  /** Limit while there is room enough. */
  readonly bytesPerSecond: number;
  readonly checkpoint: () => Promise<void>;
  /** Little was written for a while, or little can be: the segment that is written to may be ended early. */
  readonly calm: () => boolean;
  readonly logger: Logger;
}

/**
 * Takes back the room of what was deleted or overwritten: carries the live records of a segment forward to the end of the log, makes
 * them durable and indexed, then removes the segment. Copies are ordinary records, so a crash at any point leaves either or both.
 */
export class Compactor {
  readonly #options: CompactorOptions;
  readonly #pace: CompactionPace;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: CompactorOptions) {
    this.#options = options;
    const { segmentBytes, bytesPerSecond, writer, segments, checkpointer, health } = options;
    this.#pace = new CompactionPace({
      segmentBytes,
      bytesPerSecond,
      calls: () => writer.calls,
      usedBytes: () => segments.usedBytes,
      liveBytes: () => checkpointer.liveBytes,
      roomBytes: () => health.room('bulk'),
    });
  }

  /** Begins to work where there is something worth it. */
  start(): void {
    if (this.#isOver || this.#running !== undefined) return;
    if (this.#choose() === undefined) return;
    this.#running = this.#run();
  }

  /** Waits until there is nothing left that is worth the work. */
  async idle(): Promise<void> {
    this.start();
    await this.#running;
  }

  /** True where room can be gained. */
  canReclaim(): boolean {
    return this.#running !== undefined || this.#choose() !== undefined;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // The caller goes on first.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      for (let victim = this.#choose(); victim !== undefined && !this.#isOver; victim = this.#choose()) {
        if (victim === this.#options.writer.head) await this.#seal();
        else await this.#compact(victim);
      }
    } catch (error) {
      // The store's state says why; what was begun is garbage that the next run finds.
      this.#options.logger.warn('compaction stopped', { error });
    } finally {
      this.#running = undefined;
    }
  }

  /** Of a disk that failed nothing is believed until a restart, and so nothing is taken away from it. */
  get #isOver(): boolean {
    return this.#stopped || this.#options.health.state === 'failed';
  }

  get #urgent(): boolean {
    return this.#options.health.room('bulk') < this.#options.segmentBytes;
  }

  /** The segment that gains most for its cost. */
  #choose(): Segment | undefined {
    const { segments, checkpointer, health, writer } = this.#options;
    const urgent = this.#urgent;
    const all = segments.all();
    const room = health.roomToCompact;
    const tombstones = all.reduce((sum, segment) => sum + segment.tombstones, 0);
    let best: Segment | undefined;
    let bestShare = urgent ? urgentGarbageShare : garbageShare;
    for (const [at, segment] of all.entries()) {
      if (!segment.present || !segment.sealed || segment.number >= checkpointer.indexedBefore || segment.live > room) continue;
      if (at === 0 && tombstones > Math.max(minTombstoneBytes, segments.usedBytes * tombstoneShare)) return segment;
      if (segment.size <= segmentHeaderBytes) return segment;
      const garbage = segment.size - segmentHeaderBytes - segment.live - (at === 0 ? 0 : segment.tombstones);
      const share = garbage / segment.size;
      if (share >= bestShare) {
        best = segment;
        bestShare = share;
      }
    }
    const calm = this.#options.calm();
    if (best !== undefined || !(urgent || calm)) return best;
    // All the garbage there is may lie in the segment that is being written. Under load it will be full soon, and compacted for less.
    const { head } = writer;
    if (head === undefined || head.sealed || head.size - head.live - head.tombstones < head.size / 2 || head.size < this.#options.segmentBytes / 4)
      return undefined;
    return this.#options.recent.size === 0 || calm ? head : undefined;
  }

  /** Ends the segment that is written to, so that it can be compacted. */
  async #seal(): Promise<void> {
    this.#options.writer.roll();
    // A record that says nothing moves the log into the next segment.
    await this.#options.writer.write([{ type: recordTypes.delete, id: noId, bytes: emptyBytes }]);
    await this.#options.checkpoint();
  }

  async #compact(victim: Segment): Promise<void> {
    const { files, directory, segments, checkpointer, logger } = this.#options;
    const before = victim.size;
    const oldest = segments.all()[0] === victim;
    let copied = 0;
    if (victim.live > 0 || (!oldest && victim.tombstones > 0)) {
      const file = await files.open(directory.segment(victim.number), 'read');
      try {
        const source = { files, file, segment: victim.number, seed: victim.seed, from: segmentHeaderBytes, size: victim.size };
        for await (const items of scanSegment(source)) {
          const records = items.filter((item): item is ScannedRecord => item.bytes !== undefined);
          for (let from = 0; from < records.length;) {
            if (this.#isOver) return;
            const start = performance.now();
            const to = endOfPiece(records, from, this.#pace.pieceBytes);
            const piece = records.slice(from, to);
            const bytes = await this.#carry(victim, piece, oldest);
            copied += bytes;
            from = to;
            if (!this.#urgent) await pause(this.#pace.pauseMs(sizeOf(piece), bytes, performance.now() - start));
          }
        }
      } finally {
        await files.close(file);
      }
    }
    await this.#options.checkpoint();
    if (victim.live > 0 || victim.lost > 0) await this.#markUnread(victim);
    if (this.#isOver) return;
    await segments.remove(victim);
    checkpointer.forget(victim.number);
    logger.debug('compacted a segment', { segment: victim.number, before, copied });
  }

  /** Carries forward those of the records that still count. @returns the bytes copied. */
  async #carry(victim: Segment, records: readonly ScannedRecord[], oldest: boolean): Promise<number> {
    const { recent, index, writer } = this.#options;
    let bytes = 0;
    let rest = records.filter(({ type }) => type !== recordTypes.delete || !oldest);
    while (rest.length > 0) {
      const { generation } = recent;
      const entries = await index.getMany(rest.map(({ id }) => id));
      const wanted = rest.filter((record, at) => recent.get(record.id) === undefined && counts(record, entries[at], victim));
      const written = await Promise.all(
        wanted.map(({ type, id, bytes: value, crc, table, intact }) =>
          writer.copy(intact ? { type, id, bytes: value, crc, table, generation } : { ...lostRecord, id, generation }),
        ),
      );
      for (const [at, done] of written.entries()) if (done) bytes += recordBytes(wanted[at]!.length);
      // Overtaken by a checkpoint or by a newer value: ask again.
      rest = wanted.filter((_, at) => !written[at]);
    }
    return bytes;
  }

  /**
   * Entries whose records the walk did not find, since their headers are damaged, and those that said so before: they must not turn from damaged to absent,
   * which they would where the index is made anew from a log that does not have them.
   */
  async #markUnread(victim: Segment): Promise<void> {
    const { index, recent, writer, logger } = this.#options;
    const page = 512;
    let after: RecordId = noId;
    for (;;) {
      const { generation } = recent;
      const entries = await index.list(after, page);
      const lost = entries.filter(([id, entry]) => entry.segment === victim.number && recent.get(id) === undefined);
      const written = await Promise.all(lost.map(([id]) => writer.copy({ ...lostRecord, id, generation })));
      for (const [id, entry] of lost) if (hasValue(entry)) logger.error('a damaged record could not be carried forward', { id });
      // Overtaken: look at the same page again.
      if (written.includes(false)) continue;
      if (entries.length < page) break;
      after = entries.at(-1)![0];
    }
    await this.#options.checkpoint();
  }
}

/** True where this very record is what the index stands on. */
function counts(record: ScannedRecord, entry: Entry | undefined, victim: Segment): boolean {
  if (record.type === recordTypes.delete) return entry === undefined && record.id !== noId;
  return entry?.segment === victim.number && entry.offset === record.offset && entry.type === record.type;
}

/** After the records from `from` on that make up so many bytes. */
function endOfPiece(records: readonly ScannedRecord[], from: number, bytes: number): number {
  let to = from;
  for (let left = bytes; to < records.length && left > 0; to++) left -= recordBytes(records[to]!.length);
  return to;
}

function sizeOf(records: readonly ScannedRecord[]): number {
  return records.reduce((sum, { length }) => sum + recordBytes(length), 0);
}

function pause(ms: number): Promise<void> {
  return ms <= 0 ? Promise.resolve() : new Promise((resolve) => setTimeout(resolve, ms));
}
