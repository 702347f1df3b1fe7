import { crc32 } from 'node:zlib';

import { InfinitError, type Logger, messageOf } from '../base/index.ts';
import type { Entry } from './entry.ts';
import { isPassing } from './files.ts';
import type { LevelIndex } from './level-index.ts';
import { pieceCrcs } from './piece-crcs.ts';
import type { RecentTable } from './recent-table.ts';
import {
  isIntact,
  pieceBytes,
  readRecordHeader,
  type RecordHeader,
  recordHeaderBytes,
  type RecordId,
  recordTypes,
  tableBytes,
  valueOffset,
} from './record.ts';
import type { Segment, Segments } from './segments.ts';

/** Ids found damaged that are remembered by name. */
export const maxDamagedIds = 10_000;
/** A read that compaction overtook looks again; each time means that a whole segment was rewritten meanwhile. */
const maxLookups = 100;
/** Tables kept, of 256 bytes for a value of 1 MiB. */
const maxTables = 4096;
/** Memory kept for reads of parts. */
const spareBytes = 2 * pieceBytes;
const maxSpares = 32;

/** What was read is not what was written. */
class Mismatch extends Error {}

/** Finds and reads the newest record of an id, and believes nothing that its CRC does not confirm. */
export class RecordReader {
  readonly #recent: RecentTable;
  readonly #index: LevelIndex;
  readonly #segments: Segments;
  readonly #logger: Logger;
  readonly #damaged = new Set<RecordId>();
  /** By place. */
  readonly #tables = new Map<string, Buffer>();
  readonly #spares: Buffer[] = [];
  /** Records found damaged, those without a name included. */
  damagedCount = 0;

  constructor(recent: RecentTable, index: LevelIndex, segments: Segments, logger: Logger) {
    this.#recent = recent;
    this.#index = index;
    this.#segments = segments;
    this.#logger = logger;
  }

  /** @throws InfinitError `damaged` where the index cannot tell. */
  find(id: RecordId): Entry | undefined | Promise<Entry | undefined> {
    return this.#recent.get(id) ?? this.#index.get(id);
  }

  /** The value, in `memory` where that has room for the record, or else in a buffer of its own; with `limit` only its first bytes, which are not verified. @throws InfinitError `damaged`. */
  read(id: RecordId, memory?: Uint8Array, limit = Infinity): Promise<Uint8Array | undefined> {
    return this.#newest(id, async (entry, segment) => {
      const start = valueOffset(entry.length);
      const needed = start + Math.min(limit, entry.length);
      // Of its own, not from Node's pool: the caller may transfer it to another thread.
      const bytes =
        memory !== undefined && memory.length >= needed ? Buffer.from(memory.buffer, memory.byteOffset, needed) : Buffer.allocUnsafeSlow(needed);
      const count = await this.#segments.read(entry.segment, bytes, entry.offset);
      if (count === undefined) return undefined;
      const header = count === bytes.length ? headerOf(bytes, id, entry, segment) : undefined;
      const value = bytes.subarray(start);
      const whole = value.length === entry.length;
      if (header === undefined || (whole && !isIntact(value, bytes.subarray(recordHeaderBytes, start), header.crc))) throw new Mismatch();
      return value;
    });
  }

  /** Some bytes of the value, checked piece by piece, without the others. @throws InfinitError `damaged`, `bad-argument`. */
  async readPart(id: RecordId, offset: number, length: number): Promise<Uint8Array | undefined> {
    return await this.#newest(id, async (entry, segment) => {
      if (offset < 0 || length <= 0 || offset + length > entry.length)
        throw new InfinitError('bad-argument', `block ${id} has ${entry.length} bytes; ${length} at ${offset} were asked for`);
      if (tableBytes(entry.length) === 0) {
        const whole = await this.read(id);
        return whole === undefined ? undefined : new Uint8Array(whole.subarray(offset, offset + length));
      }
      const first = offset - (offset % pieceBytes);
      const end = Math.min(entry.length, Math.ceil((offset + length) / pieceBytes) * pieceBytes);
      const bytes = this.#spare(end - first);
      const [table, count] = await Promise.all([
        this.#table(id, entry, segment),
        this.#segments.read(entry.segment, bytes, entry.offset + valueOffset(entry.length) + first),
      ]);
      if (table === undefined || count === undefined) return undefined;
      const crcs = Buffer.allocUnsafe(Math.ceil(bytes.length / pieceBytes) * 4);
      pieceCrcs(bytes, pieceBytes, crcs);
      const place = (first / pieceBytes) * 4;
      if (count !== bytes.length || !crcs.equals(table.subarray(place, place + crcs.length))) throw new Mismatch();
      const part = new Uint8Array(bytes.subarray(offset - first, offset - first + length));
      this.#giveBack(bytes);
      return part;
    });
  }

  /** Runs `use` on the newest record of an id, again where compaction moved it meanwhile (`use` finds nothing there then). */
  async #newest<T>(id: RecordId, use: (entry: Entry, segment: Segment) => Promise<T | undefined>): Promise<T | undefined> {
    let gone = -1;
    for (let lookup = 0; lookup < maxLookups; lookup++) {
      const found = this.find(id);
      const entry = found instanceof Promise ? await found : found;
      if (entry === undefined || entry.type === recordTypes.delete) return undefined;
      if (entry.type === recordTypes.lost) throw this.#report(id, 'it was found damaged before');
      const segment = this.#segments.get(entry.segment);
      if (segment === undefined) {
        // The record moved on between the look-up and now; or else its segment is missing.
        if (gone === entry.segment) throw this.#report(id, `segment ${gone} is missing`);
        gone = entry.segment;
        continue;
      }
      if (!segment.present) throw this.#report(id, `segment ${segment.number} is missing`);
      const result = await use(entry, segment).catch((cause: unknown) => {
        if (cause instanceof InfinitError) throw cause;
        if (isPassing(cause)) throw new InfinitError('overloaded', `block ${id} cannot be read now: ${messageOf(cause)}`, { cause });
        if (cause instanceof Mismatch)
          throw this.#report(id, `the record at ${entry.offset} of segment ${segment.number} does not match its checksum`);
        if (this.#segments.get(entry.segment) !== segment) return undefined;
        throw this.#report(id, `segment ${segment.number} cannot be read at ${entry.offset}: ${messageOf(cause)}`, cause);
      });
      if (result !== undefined) return result;
    }
    throw new InfinitError('bug', `the record of ${id} keeps moving`);
  }

  /** The CRCs of a large value's pieces; those of the last few thousand values are at hand. */
  async #table(id: RecordId, entry: Entry, segment: Segment): Promise<Buffer | undefined> {
    const key = `${entry.segment}:${entry.offset}:${id}`;
    const known = this.#tables.get(key);
    if (known !== undefined) return known;
    const bytes = Buffer.allocUnsafe(valueOffset(entry.length));
    const count = await this.#segments.read(entry.segment, bytes, entry.offset);
    if (count === undefined) return undefined;
    const header = count === bytes.length ? headerOf(bytes, id, entry, segment) : undefined;
    const table = bytes.subarray(recordHeaderBytes);
    if (header === undefined || crc32(table) !== header.crc) throw new Mismatch();
    if (this.#tables.size >= maxTables) this.#tables.delete(this.#tables.keys().next().value!);
    this.#tables.set(key, table);
    return table;
  }

  #spare(bytes: number): Buffer {
    const spare = bytes <= spareBytes ? (this.#spares.pop() ?? Buffer.allocUnsafeSlow(spareBytes)) : Buffer.allocUnsafeSlow(bytes);
    return spare.subarray(0, bytes);
  }

  #giveBack(bytes: Buffer): void {
    if (bytes.buffer.byteLength === spareBytes && this.#spares.length < maxSpares) this.#spares.push(Buffer.from(bytes.buffer));
  }

  /** A write or a delete heals. */
  healed(id: RecordId): void {
    if (this.#damaged.size > 0) this.#damaged.delete(id);
  }

  isDamaged(id: RecordId): boolean {
    return this.#damaged.has(id);
  }

  /** Ids found damaged and not written since, {@link maxDamagedIds} at most. */
  damagedIds(): RecordId[] {
    return [...this.#damaged];
  }

  /** Takes an id that recovery found damaged, already counted. */
  note(id: RecordId): void {
    if (this.#damaged.size < maxDamagedIds) this.#damaged.add(id);
  }

  #report(id: RecordId, how: string, cause?: unknown): InfinitError {
    if (!this.#damaged.has(id)) {
      this.damagedCount++;
      this.note(id);
      this.#logger.error('a stored record is damaged', { id, how });
    }
    return new InfinitError('damaged', `block ${id} is damaged on this host: ${how}`, { cause });
  }
}

/** The header at the start of the bytes, where it is the one that the index means. */
function headerOf(bytes: Buffer, id: RecordId, entry: Entry, segment: Segment): RecordHeader | undefined {
  const header = readRecordHeader(bytes, 0, segment.seed, entry.offset);
  return header?.id === id && header.length === entry.length ? header : undefined;
}
