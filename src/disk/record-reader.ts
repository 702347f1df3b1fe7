import { crc32 } from 'node:zlib';

import { InfinitError, type Logger, messageOf } from '../base/index.ts';
import type { Entry } from './entry.ts';
import type { LevelIndex } from './level-index.ts';
import type { RecentTable } from './recent-table.ts';
import { readRecordHeader, recordHeaderBytes, type RecordId, recordTypes } from './record.ts';
import type { Segments } from './segments.ts';

/** Ids found damaged that are remembered by name. */
export const maxDamagedIds = 10_000;
/** A read that compaction overtook looks again; each time means that a whole segment was rewritten meanwhile. */
const maxLookups = 100;

/** Finds and reads the newest record of an id, and believes nothing that its CRC does not confirm. */
export class RecordReader {
  readonly #recent: RecentTable;
  readonly #index: LevelIndex;
  readonly #segments: Segments;
  readonly #logger: Logger;
  readonly #damaged = new Set<RecordId>();
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
  async read(id: RecordId, memory?: Uint8Array, limit = Infinity): Promise<Uint8Array | undefined> {
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
      // Of its own, not from Node's pool: the caller may transfer it to another thread.
      const needed = recordHeaderBytes + Math.min(limit, entry.length);
      const bytes =
        memory !== undefined && memory.length >= needed ? Buffer.from(memory.buffer, memory.byteOffset, needed) : Buffer.allocUnsafeSlow(needed);
      const count = await this.#segments.read(entry.segment, bytes, entry.offset).catch((cause: unknown) => {
        if (this.#segments.get(entry.segment) !== segment) return undefined;
        throw this.#report(id, `segment ${segment.number} cannot be read at ${entry.offset}: ${messageOf(cause)}`, cause);
      });
      if (count === undefined) continue;
      const header = count === bytes.length ? readRecordHeader(bytes, 0, segment.seed, entry.offset) : undefined;
      const value = bytes.subarray(recordHeaderBytes);
      const whole = value.length === entry.length;
      if (header !== undefined && header.id === id && header.length === entry.length && (!whole || crc32(value) === header.crc)) return value;
      throw this.#report(id, `the record at ${entry.offset} of segment ${segment.number} does not match its checksum`);
    }
    throw new InfinitError('bug', `the record of ${id} keeps moving`);
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
