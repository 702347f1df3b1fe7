import { readdir, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';

import { ClassicLevel } from 'classic-level';

import { InfinitError, messageOf } from '../base/index.ts';
import type { Checkpoint, Entry } from './entry.ts';
import { isPassing } from './files.ts';
import { Pace } from './pace.ts';
import { type RecordId, recordTypes } from './record.ts';

/** What is known of a segment without reading it. */
export interface SegmentStats {
  readonly number: number;
  readonly live: number;
  readonly tombstones: number;
  /** Entries that say of an id that it was damaged. */
  readonly lost: number;
}

/** Keys looked up, or listed, before the event loop gets its turn. */
const stepKeys = 512;
/** Operations put into a batch before it does: some 5 µs each. */
const stepOperations = 128;
/** Room that LevelDB takes when it is opened, beyond what it writes out anew of its log. */
const openBytes = 1024 * 1024;

const entryBytes = 17;
const checkpointKey = Buffer.from('ff636865636b706f696e74', 'hex');
const segmentPrefix = 0xfe;
const batchPrefix = 0xfd;
/** Batches that are checked off at start: more than LevelDB's own log can hold, since a batch has over 300 bytes. */
const batchMarks = 32_768;
const writeBufferBytes = 4 * 1024 * 1024;
const cacheBytes = 16 * 1024 * 1024;

type Level = ClassicLevel<Buffer, Buffer>;

/**
 * Where each id's newest record lies: derived from the log, and made anew from it when lost.
 *
 * LevelDB 1.20 does not sync its old log when it switches memtables (google/leveldb#193), so unsynced writes followed by a synced
 * one are no barrier. Hence there are no unsynced writes here at all: each checkpoint is ONE synced batch, which holds the entries and
 * the place in the log up to which they reach, whole or not at all. LevelDB does not check its CRCs on reads either, so each entry has its own;
 * and it silently skips what is damaged in its log when it starts, so each batch leaves a numbered mark, and a missing one gives it away.
 */
export class LevelIndex {
  readonly #directory: string;
  #level: Level;
  #reopening: Promise<void> | undefined;
  readonly #pace = new Pace();
  /** Number of the next batch. */
  #batch: number;
  /** Told once that something in the index is not as it was written: it should be made anew. */
  onDamage: ((how: string) => void) | undefined;

  private constructor(directory: string, level: Level, batch: number) {
    this.#directory = directory;
    this.#level = level;
    this.#batch = batch;
  }

  /** @throws InfinitError `locked` where another process (or object) has it open, `damaged` where it must be made anew. */
  static async open(directory: string): Promise<LevelIndex> {
    const level = await openLevel(directory);
    try {
      return new LevelIndex(directory, level, await nextBatch(level));
    } catch (error) {
      await level.close();
      throw error;
    }
  }

  /** Takes the index away, to be made anew. */
  static async destroy(directory: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
  }

  /** The newest indexed entry. Answers at once where LevelDB does so fast; a promise where the disk is slow. @throws InfinitError `damaged`. */
  get(id: RecordId): Entry | undefined | Promise<Entry | undefined> {
    const key = Buffer.from(id, 'hex');
    if (this.#reopening !== undefined) {
      const again = (): Entry | undefined | Promise<Entry | undefined> => this.get(id);
      return this.#reopening.then(again, again);
    }
    let read: { readonly result: Buffer | undefined } | undefined;
    try {
      read = this.#pace.run(() => this.#level.getSync(key));
    } catch (error) {
      return this.#damaged(error);
    }
    if (read !== undefined) return this.#decode(key, read.result);
    return this.#read((level) => level.get(key)).then((value) => this.#decode(key, value));
  }

  /** The indexed entries of many ids, in their order. An entry that is damaged comes as `lost`. */
  async getMany(ids: readonly RecordId[]): Promise<(Entry | undefined)[]> {
    const entries: (Entry | undefined)[] = [];
    for (let start = 0; start < ids.length; start += stepKeys) {
      const keys = ids.slice(start, start + stepKeys).map((id) => Buffer.from(id, 'hex'));
      const values = await this.#read((level) => level.getMany(keys));
      for (const [at, value] of values.entries()) entries.push(this.#decodeOrLost(keys[at]!, value));
    }
    return entries;
  }

  /** Makes entries, segment facts and the place in the log durable together. */
  async commit(
    entries: ReadonlyMap<RecordId, Entry>,
    segments: readonly SegmentStats[],
    removed: readonly number[],
    checkpoint: Checkpoint,
  ): Promise<void> {
    await this.#reopening;
    const batch = this.#level.batch();
    try {
      let step = 0;
      for (const [id, entry] of entries) {
        const key = Buffer.from(id, 'hex');
        if (entry.type === recordTypes.delete) batch.del(key);
        else batch.put(key, encodeEntry(key, entry));
        if (++step % stepOperations === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      for (const { number, ...stats } of segments) batch.put(segmentKey(number), Buffer.from(JSON.stringify(stats)));
      for (const number of removed) batch.del(segmentKey(number));
      batch.put(batchKey(this.#batch % batchMarks), batchValue(this.#batch));
      batch.put(checkpointKey, Buffer.from(JSON.stringify(checkpoint)));
    } catch (error) {
      await batch.close();
      throw error;
    }
    await batch.write({ sync: true });
    this.#batch++;
  }

  /** Up to `limit` entries with values, ids ascending, after `after`. */
  async list(after: RecordId, limit: number): Promise<(readonly [RecordId, Entry])[]> {
    return await this.#read(async (level) => {
      const found: (readonly [RecordId, Entry])[] = [];
      await using iterator = level.iterator({ gt: Buffer.from(after, 'hex'), lt: Buffer.from([batchPrefix]), limit });
      while (found.length < limit) {
        const step = await iterator.nextv(Math.min(stepKeys, limit - found.length));
        if (step.length === 0) break;
        for (const [key, value] of step) found.push([key.toString('hex'), this.#decodeOrLost(key, value)!]);
      }
      return found;
    });
  }

  /** Reads, anew where LevelDB was closed meanwhile so as to be opened again: that is no damage. */
  async #read<T>(work: (level: Level) => Promise<T>): Promise<T> {
    for (;;) {
      await this.#reopening?.catch(() => {});
      const level = this.#level;
      try {
        return await work(level);
      } catch (error) {
        if (level === this.#level && this.#reopening === undefined) return this.#damaged(error);
      }
    }
  }

  /** Up to where the index reaches; undefined in a new one. */
  async checkpoint(): Promise<Checkpoint | undefined> {
    const value = await this.#level.get(checkpointKey);
    return value === undefined ? undefined : (JSON.parse(value.toString()) as Checkpoint);
  }

  async segments(): Promise<SegmentStats[]> {
    const stats: SegmentStats[] = [];
    for await (const [key, value] of this.#level.iterator({ gte: Buffer.from([segmentPrefix]), lt: Buffer.from([segmentPrefix + 1]) })) {
      // An earlier version did not count marks.
      const { live, tombstones, lost = 0 } = JSON.parse(value.toString()) as Omit<SegmentStats, 'number' | 'lost'> & Partial<SegmentStats>;
      stats.push({ number: key.readUInt32BE(1), live, tombstones, lost });
    }
    return stats;
  }

  /** Bytes that the file system lacks for the index to be opened again. */
  async lackingBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory);
    const logs = (await readdir(this.#directory)).filter((name) => name.endsWith('.log'));
    const sizes = await Promise.all(logs.map(async (name) => (await stat(path.join(this.#directory, name)).catch(() => undefined))?.size ?? 0));
    return Math.max(0, openBytes + sizes.reduce((sum, size) => sum + size, 0) - bavail * bsize);
  }

  /** After an error LevelDB refuses all writes; opening it again is its way back. */
  async reopen(): Promise<void> {
    this.#reopening ??= (async () => {
      try {
        // Without room it could not be opened again, while as it is it still answers reads.
        const lacking = await this.lackingBytes();
        if (lacking > 0) throw new InfinitError('disk-full', `the index in ${this.#directory} lacks ${lacking} free bytes to take writes again`);
        await this.#level.close();
        this.#level = await openLevel(this.#directory);
      } finally {
        this.#reopening = undefined;
      }
    })();
    await this.#reopening;
  }

  close(): Promise<void> {
    return this.#level.close();
  }

  #decode(key: Buffer, value: Buffer | undefined): Entry | undefined {
    if (value === undefined) return undefined;
    const entry = decodeEntry(key, value);
    if (entry === undefined) return this.#damaged(new InfinitError('damaged', `the index entry of ${key.toString('hex')} is damaged`));
    return entry;
  }

  #decodeOrLost(key: Buffer, value: Buffer | undefined): Entry | undefined {
    try {
      return this.#decode(key, value);
    } catch {
      return { type: recordTypes.lost, segment: 0, offset: 0, length: 0 };
    }
  }

  #damaged(cause: unknown): never {
    if (isPassing(cause)) throw new InfinitError('overloaded', `the index cannot be read now: ${messageOf(cause)}`, { cause });
    this.onDamage?.(messageOf(cause));
    this.onDamage = undefined;
    if (cause instanceof InfinitError) throw cause;
    throw new InfinitError('damaged', `the index cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** The number of the next batch. @throws InfinitError `damaged` where one of the last ones is missing. */
async function nextBatch(level: Level): Promise<number> {
  const numbers: number[] = [];
  for await (const value of level.values({ gte: batchKey(0), lt: Buffer.from([batchPrefix + 1]) })) numbers.push(value.readDoubleLE(0));
  if (numbers.length === 0) return 0;
  numbers.sort((a, b) => a - b);
  const last = numbers.at(-1)!;
  const expected = Math.min(last + 1, batchMarks);
  if (numbers.length !== expected || numbers[0] !== last - expected + 1)
    throw new InfinitError('damaged', `the index lost some of its batches: ${numbers.length} of the last ${expected} are there`);
  return last + 1;
}

async function openLevel(directory: string): Promise<Level> {
  await insistOnIndex(directory);
  const level: Level = new ClassicLevel(directory, {
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    compression: false,
    writeBufferSize: writeBufferBytes,
    maxFileSize: 8 * 1024 * 1024,
    cacheSize: cacheBytes,
  });
  try {
    await level.open();
    return level;
  } catch (error) {
    const cause = (error as { cause?: { code?: string } }).cause ?? error;
    const { code } = cause as { code?: string };
    if (code === 'LEVEL_LOCKED') throw new InfinitError('locked', messageOf(cause), { cause });
    // A file of it that is missing or cannot be read is damage, as against a lack of rights, descriptors or room.
    if (code === 'LEVEL_CORRUPTION' || /No such file|Input\/output error|Is a directory/.test(messageOf(cause)))
      throw new InfinitError('damaged', messageOf(cause), { cause });
    throw cause;
  }
}

/** LevelDB opens what lies there whatever it is: a FIFO would keep it, and with it the start, for ever. @throws InfinitError `damaged`. */
async function insistOnIndex(directory: string): Promise<void> {
  const found = await readdir(directory, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOTDIR') throw new InfinitError('damaged', `${directory} is no directory`, { cause: error });
    return [];
  });
  const other = found.find((entry) => entry.isFIFO() || entry.isSocket() || entry.isCharacterDevice() || entry.isBlockDevice());
  if (other !== undefined) throw new InfinitError('damaged', `${directory} holds ${other.name}, which has to be a file`);
}

function segmentKey(number: number): Buffer {
  return numberedKey(segmentPrefix, number);
}

function batchKey(number: number): Buffer {
  return numberedKey(batchPrefix, number);
}

function batchValue(number: number): Buffer {
  const value = Buffer.allocUnsafe(8);
  value.writeDoubleLE(number);
  return value;
}

function numberedKey(prefix: number, number: number): Buffer {
  const key = Buffer.from([prefix, 0, 0, 0, 0]);
  key.writeUInt32BE(number, 1);
  return key;
}

function encodeEntry(key: Buffer, entry: Entry): Buffer {
  const value = Buffer.allocUnsafe(entryBytes);
  value[0] = entry.type;
  value.writeUInt32LE(entry.segment, 1);
  value.writeUInt32LE(entry.offset, 5);
  value.writeUInt32LE(entry.length, 9);
  value.writeUInt32LE(crc32(value.subarray(0, 13), crc32(key)), 13);
  return value;
}

/** Undefined where it does not match its CRC. */
function decodeEntry(key: Buffer, value: Buffer): Entry | undefined {
  if (value.length !== entryBytes || value.readUInt32LE(13) !== crc32(value.subarray(0, 13), crc32(key))) return undefined;
  return {
    type: value[0] as Entry['type'],
    segment: value.readUInt32LE(1),
    offset: value.readUInt32LE(5),
    length: value.readUInt32LE(9),
  };
}
