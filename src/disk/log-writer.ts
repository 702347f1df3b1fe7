import { assert, Histogram, InfinitError, messageOf } from '../base/index.ts';
import type { Ballast } from './ballast.ts';
import type { Entry, LogPosition } from './entry.ts';
import { directAlignment } from './direct-file.ts';
import { type Files, isNoRoom, isPassing } from './files.ts';
import { InThread } from './in-thread.ts';
import {
  type Checksum,
  encodeSegmentHeader,
  recordBytes,
  recordHeaderBytes,
  type RecordId,
  recordTypes,
  segmentFormatVersion,
  segmentHeaderBytes,
  valueOffset,
  writeRecordHeader,
} from './record.ts';
import type { RecentTable } from './recent-table.ts';
import type { Segment, Segments } from './segments.ts';
import type { StoreDirectory } from './store-directory.ts';
import { type CopiedRecord, type Group, type NewRecord, WriteQueue } from './write-queue.ts';

/** Values up to this are copied next to their header: cheaper than a buffer of their own in writev. */
const inlineBytes = 16 * 1024;
/** Room written with zeros ahead of small groups: overwriting it needs no journal commit of the file system, appending does. */
const zeroAheadBytes = 1024 * 1024;
const zeros = Buffer.alloc(zeroAheadBytes);
/** Groups from this size on are not worth the zeros. */
const maxZeroAheadGroup = 256 * 1024;
/** A new segment needs descriptors. Where there are none, they are waited for so often and so long, in ms. */
const maxBegins = 20;
const beginAgainMs = 50;

export interface LogWriterOptions {
  readonly files: Files;
  readonly directory: StoreDirectory;
  readonly segments: Segments;
  readonly recent: RecentTable;
  readonly segmentBytes: number;
  readonly sequence: number;
  readonly lastId: RecordId;
  /** Where to go on; undefined to begin a segment with `nextSegment`. */
  readonly head: { readonly segment: Segment; readonly file: number } | undefined;
  readonly nextSegment: number;
  /** Called after each group, before its callers hear of it; a promise holds the next group back. */
  readonly afterGroup: () => Promise<void> | undefined;
  /** Why nothing is written any more; undefined: it is. */
  readonly refusal: () => InfinitError | undefined;
  /** Told of what went wrong; answers with what the callers are to hear. */
  readonly onError: (error: unknown) => InfinitError;
  /** True where room is scarce: none is made ahead then. */
  readonly tight: () => boolean;
  /** Given up for what frees space when there is no room. */
  readonly ballast: Pick<Ballast, 'bytes' | 'give'>;
}

/** What was written since the start. */
export interface WriteMeter {
  /** How long each group took until it was on stable storage. */
  readonly groupSeconds: Histogram;
  records: number;
  bytes: number;
}

/**
 * The one writer of the log. What arrives while a group is on its way makes up the next group: one durable write for all.
 * Groups go one after the other, so a crash leaves a prefix.
 */
export class LogWriter {
  readonly #options: LogWriterOptions;
  readonly meter: WriteMeter = { groupSeconds: new Histogram(), records: 0, bytes: 0 };
  readonly #queue: WriteQueue;
  /** Calls of {@link write} so far. */
  calls = 0;
  #running: Promise<void> | undefined;
  #head: Segment | undefined;
  #file = -1;
  /** End of the zeros that were written ahead. */
  #prepared = 0;
  #sequence: number;
  #lastId: RecordId;
  #nextSegment: number;
  #scratch = Buffer.allocUnsafeSlow(256 * 1024);
  #rollAsked = false;
  readonly #inThread = new InThread();

  constructor(options: LogWriterOptions) {
    this.#options = options;
    this.#queue = new WriteQueue(options.recent, options.segmentBytes);
    this.#head = options.head?.segment;
    this.#file = options.head?.file ?? -1;
    this.#sequence = options.sequence;
    this.#lastId = options.lastId;
    this.#nextSegment = options.nextSegment;
    if (this.#head !== undefined) this.#head.sealed = false;
  }

  /** Where the next record will go. */
  position(): LogPosition {
    const place =
      this.#head === undefined ? { segment: this.#nextSegment, offset: segmentHeaderBytes } : { segment: this.#head.number, offset: this.#head.size };
    return { ...place, sequence: this.#sequence, lastId: this.#lastId };
  }

  /** The segment that is written to. */
  get head(): Segment | undefined {
    return this.#head;
  }

  /** Resolves once all records are on stable storage, in the order of the calls. `bulk`: the first to be refused where there is no room. */
  write(records: readonly NewRecord[], bulk = false): Promise<void> {
    if (records.length === 0) return Promise.resolve();
    this.calls++;
    const written = this.#queue.add(records, bulk);
    this.#start();
    return written;
  }

  /** Carries a record forward; false where it was overtaken, or may have been, and must be looked up again. */
  copy(record: CopiedRecord): Promise<boolean> {
    const written = this.#queue.addCopy(record);
    this.#start();
    return written;
  }

  /** Seals the segment that is written to, so that compaction can have it. */
  roll(): void {
    this.#rollAsked = true;
  }

  /** Waits until nothing is queued, then cuts the room made ahead. */
  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    if (this.#head !== undefined && this.#prepared > this.#head.size) await this.#options.files.truncate(this.#file, this.#head.size);
  }

  #start(): void {
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    try {
      // A disk that does nothing is not kept waiting: what this turn of the event loop still brings joins the next group.
      await Promise.resolve();
      for (let idle = true; !this.#queue.isEmpty; idle = false) {
        // Everything that the ends of the last group's calls set off joins this group.
        if (!idle) await new Promise((resolve) => setImmediate(resolve));
        await this.#writeGroup();
        const held = this.#options.afterGroup();
        if (held !== undefined) await held;
      }
    } finally {
      this.#running = undefined;
    }
  }

  async #writeGroup(): Promise<void> {
    const refusal = this.#options.refusal();
    if (refusal !== undefined) return this.#queue.rejectAll(refusal);
    let group: Group | undefined = this.#queue.take();
    while (group !== undefined && group.records.length > 0) {
      const { records, bytes } = group;
      let head: Segment;
      try {
        head = this.#headWithRoom(bytes) ?? (await this.#nextHead());
        try {
          const under = this.#put(this.#encode(records, head), head.size);
          if (under !== undefined) await under;
        } catch (error) {
          await this.#cutBack(head);
          throw error;
        }
      } catch (error) {
        group = await this.#afterFailure(group, error);
        continue;
      }
      this.meter.records += records.length;
      this.meter.bytes += bytes;
      this.#apply(records, head);
      return group.written();
    }
  }

  /** Whatever part of a group got there must not be found by the next start, nor lie under shorter records of a later group. */
  async #cutBack(head: Segment): Promise<void> {
    // A failed sync is not asked again either: it would answer "fine" for pages that the kernel gave up.
    this.#prepared = 0;
    await this.#options.files.truncate(this.#file, head.size).catch((cause: unknown) => this.#options.onError(withoutRoom(cause)));
  }

  /** What is to be written again of a group that failed, once the ballast made room; undefined: nothing. */
  async #afterFailure(group: Group, error: unknown): Promise<Group | undefined> {
    const { ballast, onError, refusal } = this.#options;
    const failure = onError(error);
    if (isNoRoom(error) && ballast.bytes > 0 && refusal() === undefined) {
      // Content is refused, also what is queued: the ballast is for what frees space.
      const rest = this.#queue.refuseBulk(group, failure);
      if (rest.records.length === 0 || (await ballast.give(rest.bytes))) return rest;
      group = rest;
    }
    const calls = group.fail(failure);
    if (isNoRoom(error) || isPassing(error)) this.#queue.forget(calls);
    else this.#queue.rejectAll(failure);
    return undefined;
  }

  /** undefined: it is on stable storage already. */
  #put(buffers: Uint8Array[], position: number): Promise<void> | undefined {
    let bytes = 0;
    for (const buffer of buffers) bytes += buffer.length;
    const ahead = this.#zerosAhead(position + bytes, bytes);
    if (ahead > 0) buffers.push(zeros.subarray(0, ahead));
    const began = performance.now();
    const inThread = this.#inThread.allows(bytes + ahead, began);
    const under = this.#options.files.write(this.#file, buffers, position, { inThread, overwritten: ahead > 0 });
    if (under !== undefined) return under.then(() => this.#ended(inThread, began));
    this.#ended(inThread, began);
    return undefined;
  }

  #ended(inThread: boolean, began: number): void {
    const now = performance.now();
    this.#inThread.ended(inThread, now - began, now);
    this.meter.groupSeconds.observe(now - began);
  }

  /** The present segment, where it takes the group. */
  #headWithRoom(bytes: number): Segment | undefined {
    const head = this.#head;
    if (head === undefined || head.size <= segmentHeaderBytes) return head;
    return this.#rollAsked || head.size + bytes > this.#options.segmentBytes ? undefined : head;
  }

  async #nextHead(): Promise<Segment> {
    const head = this.#head;
    if (head !== undefined) {
      await this.#options.files.truncate(this.#file, head.size);
      head.sealed = true;
      this.#head = undefined;
    }
    this.#rollAsked = false;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#begin();
      } catch (error) {
        if (!isPassing(error) || tries >= maxBegins) throw error;
        await new Promise((resolve) => setTimeout(resolve, beginAgainMs));
      }
    }
  }

  async #begin(): Promise<Segment> {
    const { files, directory, segments } = this.#options;
    const number = this.#nextSegment;
    const name = directory.segment(number);
    const header = encodeSegmentHeader(directory.storeId, { version: segmentFormatVersion, number, firstSequence: this.#sequence });
    const file = await files.open(name, 'write');
    try {
      await files.truncate(file, 0);
      await files.write(file, [header], 0);
      await files.syncDirectory(directory.path);
    } catch (error) {
      await files.close(file).catch(() => {});
      await files.unlink(name).catch(() => {});
      throw error;
    }
    this.#nextSegment++;
    this.#file = file;
    this.#prepared = segmentHeaderBytes;
    const head = segments.add(number, segmentHeaderBytes, file);
    head.sealed = false;
    this.#head = head;
    return head;
  }

  /** Headers and small values in one piece, large values by reference between. */
  #encode(records: readonly (NewRecord & Checksum)[], head: Segment): Uint8Array[] {
    const inline = records.reduce(
      (sum, record) => sum + (record.bytes.length <= inlineBytes ? recordBytes(record.bytes.length) : valueOffset(record.bytes.length) + 8),
      0,
    );
    if (inline > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(inline)));
    const scratch = this.#scratch;
    const buffers: Uint8Array[] = [];
    const durable = this.#sequence;
    let previous = this.#lastId;
    let offset = head.size;
    let from = 0;
    let at = 0;
    let before = -1;
    for (let place = 0; place < records.length; place++) {
      const { type, id, bytes: value, crc, table } = records[place]!;
      const header = { type, id, length: value.length, crc, sequence: durable + place, durable, previous };
      writeRecordHeader(scratch, at, header, head.seed, offset, before);
      before = at;
      at += recordHeaderBytes;
      if (table.length > 0) scratch.set(table, at);
      at += table.length;
      if (value.length <= inlineBytes) {
        scratch.set(value, at);
        at += value.length;
      } else {
        buffers.push(scratch.subarray(from, at), value);
        from = at;
      }
      const end = at + recordBytes(value.length) - valueOffset(value.length) - value.length;
      while (at < end) scratch[at++] = 0;
      offset += recordBytes(value.length);
      previous = id;
    }
    if (at > from) buffers.push(scratch.subarray(from, at));
    return buffers;
  }

  /** Zeros to be written behind a group of so many bytes that ends at `end`; 0: none. */
  #zerosAhead(end: number, bytes: number): number {
    if (end <= this.#prepared) return 0;
    const { segmentBytes, tight } = this.#options;
    const ahead = bytes > maxZeroAheadGroup || tight() ? 0 : Math.min(zeroAheadBytes, Math.max(0, segmentBytes - end));
    // A large group is followed by zeros too, see Files.write.
    this.#prepared = Math.max(end + ahead, Math.ceil(end / directAlignment) * directAlignment);
    return ahead;
  }

  #apply(records: readonly NewRecord[], head: Segment): void {
    const { recent, segments } = this.#options;
    let offset = head.size;
    for (const { type, id, bytes } of records) {
      const entry: Entry = { type, segment: head.number, offset, length: bytes.length };
      recent.set(id, entry);
      offset += recordBytes(bytes.length);
      if (type !== recordTypes.put) head.tombstones += recordBytes(0);
    }
    this.#sequence += records.length;
    this.#lastId = records.at(-1)!.id;
    segments.resize(head, offset);
    assert(head.number === this.#head?.number, 'one segment at a time is written to');
  }
}

/** A log that could not be cut back is broken, even if the cause was a full disk. */
function withoutRoom(cause: unknown): InfinitError {
  return new InfinitError('disk-failed', `the log could not be cut back after a failed write: ${messageOf(cause)}`, { cause });
}
