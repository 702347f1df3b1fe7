import { InfinitError, type Logger } from '../base/index.ts';
import type { Checkpoint, Entry, LogPosition } from './entry.ts';
import { type Files, unlessPassing } from './files.ts';
import {
  decodeSegmentHeader,
  noId,
  recordBytes,
  type RecordId,
  recordTypes,
  type RecordType,
  segmentFormatVersion,
  segmentHeaderBytes,
} from './record.ts';
import { type ScannedItem, scanSegment } from './segment-scan.ts';
import type { Segment, Segments } from './segments.ts';
import type { StoreDirectory } from './store-directory.ts';

export interface RecoveryOptions {
  readonly files: Files;
  readonly directory: StoreDirectory;
  readonly segments: Segments;
  /** Where to begin; undefined walks the whole log. */
  readonly from: Checkpoint | undefined;
  /** A full segment is not written on. */
  readonly segmentBytes: number;
  /** Takes each record in the order of the log; `before` where all records before it are known to be on stable storage. */
  readonly apply: (id: RecordId, entry: Entry, before?: LogPosition) => Promise<void> | undefined;
  readonly logger: Logger;
}

/** Where the log goes on. */
export interface Recovered {
  readonly head: { readonly segment: Segment; readonly file: number } | undefined;
  readonly nextSegment: number;
  readonly sequence: number;
  readonly lastId: RecordId;
  readonly records: number;
  /** Records that were durable once and are damaged now. */
  readonly damaged: number;
  /** Of these, the ones whose ids are not known. */
  readonly unknown: number;
}

/**
 * Reads the log from the checkpoint on, after a crash at any byte. What a crash tore was never acknowledged and is cut off; what was
 * durable and is damaged is told and marked, and hides nothing that follows.
 */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { files, directory, segments, from, logger } = options;
  const replay = new Replay(options);
  const numbers = segments.all().filter(({ number, present }) => present && number >= (from?.segment ?? 0));
  let last: Segment | undefined;
  for (const segment of numbers) {
    await replay.begin(segment, last?.number);
    const start = segment.number === from?.segment ? from.offset : segmentHeaderBytes;
    const file = await files.open(directory.segment(segment.number), 'read');
    try {
      for await (const items of scanSegment({ files, file, segment: segment.number, seed: segment.seed, from: start, size: segment.size }))
        for (const item of items) await replay.take(item);
    } finally {
      await files.close(file);
    }
    last = segment;
  }
  await cutTornTail(options, replay, numbers);
  const tail = segments.all().at(-1);
  const head = tail !== undefined && tail === last && !replay.short ? await reopen(options, tail, replay) : undefined;
  const nextSegment = Math.max(tail?.number ?? 0, from?.segment ?? 0, last?.number ?? 0) + 1;
  const { expected, lastId, records, damaged, unknown } = replay;
  if (damaged > 0) logger.error('records of the log are damaged', { damaged, unknown });
  return { head, nextSegment, sequence: expected ?? 1, lastId, records, damaged, unknown };
}

/** What replay keeps of a scanned item. */
interface Light {
  readonly record: boolean;
  readonly segment: number;
  readonly offset: number;
  readonly intact: boolean;
  readonly type: RecordType;
  readonly id: RecordId;
  readonly length: number;
  readonly sequence: number;
  readonly durable: number;
  readonly previous: RecordId;
}

class Replay {
  readonly #options: RecoveryOptions;
  /** Sequence number that the next record must have; undefined until the first is seen. */
  expected: number | undefined;
  lastId: RecordId;
  records = 0;
  damaged = 0;
  unknown = 0;
  /** The log ends before the checkpoint: the disk lied. */
  short = false;
  /** The first place that is not as it should be, as long as nothing proves that it had been durable. */
  cut: { readonly segment: number; readonly offset: number } | undefined;
  #suspects: Light[] = [];
  /** Where the group of the last good record begins. */
  group: { readonly segment: number; readonly offset: number } | undefined;
  readonly #headers = new Map<number, number>();
  /** Ends of the last good records of the segments. */
  readonly #ends = new Map<number, number>();

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.expected = options.from?.sequence;
    this.lastId = options.from?.lastId ?? noId;
  }

  /** True where the file began with a header of this store. */
  hasHeader(segment: number): boolean {
    return this.#headers.has(segment);
  }

  /** Where the next record of a segment goes. */
  endOf(segment: Segment): number {
    const { from } = this.#options;
    return this.#ends.get(segment.number) ?? (segment.number === from?.segment ? from.offset : segmentHeaderBytes);
  }

  /** Looks at a segment's header: it proves that everything before it had been durable. */
  async begin(segment: Segment, before: number | undefined): Promise<void> {
    const { from, segments, directory } = this.#options;
    const bytes = Buffer.alloc(segmentHeaderBytes);
    const count = await segments.read(segment.number, bytes, 0).catch(unlessPassing);
    const header = count === segmentHeaderBytes ? decodeSegmentHeader(directory.storeId, bytes) : undefined;
    if (header !== undefined && header.version !== segmentFormatVersion)
      throw new InfinitError('wrong-version', `segment ${segment.number} has format ${header.version}; this program reads ${segmentFormatVersion}`);
    if (header !== undefined) this.#headers.set(segment.number, header.firstSequence);
    if (segment.number === from?.segment) {
      // A checkpoint at the very start may name a segment that was still to be begun.
      if (segment.size >= from.offset || from.offset === segmentHeaderBytes) return;
      this.short = true;
      this.damaged++;
      this.unknown++;
      this.#options.logger.error('the log ends before its checkpoint', { segment: segment.number, size: segment.size, checkpoint: from.offset });
      return;
    }
    if (header === undefined) return;
    if (this.cut !== undefined) await this.#settle(header.firstSequence, undefined);
    // Segments that compaction took away leave a hole in the numbers, and one in the sequence.
    const follows = before === segment.number - 1;
    if (this.expected === undefined || (!follows && this.cut === undefined && this.expected < header.firstSequence))
      this.expected = header.firstSequence;
  }

  async take(item: ScannedItem): Promise<void> {
    await this.#take(lighten(item));
  }

  async #take(item: Light): Promise<void> {
    if (item.record) {
      this.expected ??= item.sequence;
      const asExpected = this.cut === undefined && item.sequence === this.expected;
      if (!asExpected) await this.#settle(item.durable, item);
      if (this.cut === undefined && item.intact && item.sequence === this.expected) return this.#apply(item);
    }
    this.cut ??= { segment: item.segment, offset: item.offset };
    if (item.record) this.#suspects.push(item);
  }

  /** Everything below `durable` had been on stable storage: what is not as it should be there is damage, not a torn write. */
  async #settle(durable: number, by: Light | undefined): Promise<void> {
    if (this.expected === undefined || durable <= this.expected) return;
    const suspects = this.#suspects;
    this.#suspects = [];
    this.cut = undefined;
    for (const item of suspects) {
      if (item.sequence >= durable) break;
      if (item.sequence < this.expected) continue;
      await this.#lost(item.previous, item.sequence - this.expected, item.segment, item.offset);
      if (item.intact) await this.#apply(item);
      else await this.#lost(item.id, 1, item.segment, item.offset);
    }
    if (this.expected < durable) {
      const id = by !== undefined && by.sequence === durable ? by.previous : noId;
      await this.#lost(id, durable - this.expected, by?.segment ?? 0, by?.offset ?? 0);
    }
    for (const item of suspects) if (item.sequence >= durable) await this.#take(item);
  }

  async #apply(item: Light): Promise<void> {
    const { type, segment, offset, length, sequence } = item;
    const before = item.durable === sequence ? { segment, offset, sequence, lastId: this.lastId } : undefined;
    this.expected = sequence + 1;
    this.lastId = item.id;
    this.records++;
    this.#ends.set(item.segment, item.offset + recordBytes(item.length));
    if (before !== undefined) this.group = before;
    await this.#options.apply(item.id, { type, segment, offset, length }, before);
  }

  /** `count` records are gone, the last of them the one of `id`. */
  async #lost(id: RecordId, count: number, segment: number, offset: number): Promise<void> {
    if (count <= 0) return;
    this.damaged += count;
    this.unknown += id === noId ? count : count - 1;
    if (this.expected !== undefined) this.expected += count;
    this.lastId = id;
    this.#options.logger.error('damaged records in the log', { segment, offset, count, id });
    if (id !== noId) await this.#options.apply(id, { type: recordTypes.lost, segment, offset, length: 0 });
  }
}

function lighten(item: ScannedItem): Light {
  const { segment, offset } = item;
  if (item.bytes === undefined) return { ...nothing, segment, offset };
  const { intact, type, id, length, sequence, durable, previous } = item;
  return { record: true, segment, offset, intact, type, id, length, sequence, durable, previous };
}

const nothing: Light = {
  record: false,
  segment: 0,
  offset: 0,
  intact: false,
  type: recordTypes.lost,
  id: noId,
  length: 0,
  sequence: 0,
  durable: 0,
  previous: noId,
};

/** Cuts what was never acknowledged; a segment that was being begun, and has not even its header, goes altogether. */
async function cutTornTail(options: RecoveryOptions, replay: Replay, scanned: readonly Segment[]): Promise<void> {
  const { files, directory, segments, logger } = options;
  const { cut } = replay;
  for (const segment of scanned.toReversed()) {
    const torn = cut !== undefined && segment.number >= cut.segment;
    const from = segment.number === cut?.segment ? cut.offset : segmentHeaderBytes;
    const headless =
      !replay.hasHeader(segment.number) && segment === scanned.at(-1) && (segment.size <= segmentHeaderBytes || torn) && from === segmentHeaderBytes;
    if (headless) {
      await segments.remove(segment);
      continue;
    }
    if (!torn) break;
    logger.info('cut a torn tail off the log', { segment: segment.number, offset: from, bytes: segment.size - from });
    const file = await files.open(directory.segment(segment.number), 'write');
    try {
      await files.truncate(file, from);
    } finally {
      await files.close(file);
    }
    segments.resize(segment, from);
  }
}

/**
 * Opens the last segment to write on. Its last group is written once more, in place: the process before may have died, or been refused,
 * between the write and its sync, and what the page cache shows us need not be on the medium.
 */
async function reopen(options: RecoveryOptions, segment: Segment, replay: Replay): Promise<Recovered['head']> {
  const { files, directory, segments } = options;
  const end = replay.endOf(segment);
  if (end >= options.segmentBytes && segment.size === end) return undefined;
  const file = await files.open(directory.segment(segment.number), 'write');
  segments.adopt(segment, file);
  const group = replay.group?.segment === segment.number ? replay.group.offset : end;
  if (group < end) {
    const bytes = Buffer.allocUnsafeSlow(end - group);
    if ((await files.read(file, bytes, group)) === bytes.length) await files.write(file, [bytes], group);
  }
  await files.truncate(file, end);
  segments.resize(segment, end);
  return { segment, file };
}
