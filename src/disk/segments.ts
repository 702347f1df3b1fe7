import { assert } from '../base/index.ts';
import type { Files } from './files.ts';
import type { LevelIndex } from './level-index.ts';
import { Pace } from './pace.ts';
import { segmentSeed } from './record.ts';
import type { StoreDirectory } from './store-directory.ts';

/** Open descriptors of sealed segments kept at hand. */
export const maxOpenSegments = 256;
/** Reads up to this size are tried on the event loop: a mutable block of the usual size, and both pieces of a large value that a page lies across. */
const maxReadNowBytes = 32 * 1024;
/** Files looked at together when a store opens. */
const filesAtOnce = 64;

/** One file of the log. */
export class Segment {
  readonly number: number;
  /** Seeds the CRCs of its record headers. */
  readonly seed: number;
  /** Where the next record goes, or the end of a sealed one. */
  size: number;
  sealed = true;
  /** Bytes that indexed entries hold here. */
  live = 0;
  /** Bytes of records that only say what is gone; they must outlive what they cancel in older segments. */
  tombstones = 0;
  /** Indexed entries that say of an id that it was damaged here: they are to outlive the segment. */
  lost = 0;
  /** False where the file is missing although the index points into it. */
  present = true;
  file: Promise<number> | undefined;
  /** Its descriptor, once it is open. */
  descriptor: number | undefined;
  readers = 0;

  constructor(number: number, seed: number, size: number) {
    this.number = number;
    this.seed = seed;
    this.size = size;
  }
}

/** All the segments of a store, with few of them open. */
export class Segments {
  readonly #files: Files;
  readonly #directory: StoreDirectory;
  readonly #segments = new Map<number, Segment>();
  #highest = 0;
  /** Segments with a descriptor, least recently opened first. */
  readonly #open = new Set<Segment>();
  readonly #pace = new Pace();
  /** Bytes of all segments. */
  usedBytes = 0;

  constructor(files: Files, directory: StoreDirectory) {
    this.#files = files;
    this.#directory = directory;
  }

  get(number: number): Segment | undefined {
    return this.#segments.get(number);
  }

  /** Ascending by number, which is the order in which they came into the table. */
  all(): Segment[] {
    return [...this.#segments.values()];
  }

  get count(): number {
    return this.#segments.size;
  }

  /** Takes a file of the log into the table. */
  add(number: number, size: number, file?: number): Segment {
    assert(number > this.#highest, 'segments come in the order of their numbers');
    this.#highest = number;
    const segment = new Segment(number, segmentSeed(this.#directory.storeId, number), size);
    this.#segments.set(number, segment);
    this.usedBytes += size;
    if (file !== undefined) this.adopt(segment, file);
    return segment;
  }

  /** Takes over a descriptor of a segment: reads use it, and it is closed with the table. */
  adopt(segment: Segment, file: number): void {
    void segment.file?.then((other) => this.#files.close(other)).catch(() => {});
    segment.file = Promise.resolve(file);
    segment.descriptor = file;
    this.#open.add(segment);
  }

  /** Notes that records were added at the end, or that the end was cut. */
  resize(segment: Segment, size: number): void {
    this.usedBytes += size - segment.size;
    segment.size = size;
  }

  /** Reads from a segment, a few bytes at once where that is fast. Undefined where the segment is not there. */
  async read(number: number, into: Uint8Array, position: number): Promise<number | undefined> {
    const segment = this.#segments.get(number);
    if (segment === undefined || !segment.present) return undefined;
    const { descriptor } = segment;
    if (descriptor !== undefined && into.length <= maxReadNowBytes) {
      const read = this.#pace.run(() => this.#files.readNow(descriptor, into, position));
      if (read !== undefined) return read.result;
    }
    segment.readers++;
    try {
      const file = await (segment.file ?? this.#openFile(segment));
      return await this.#files.read(file, into, position);
    } finally {
      segment.readers--;
    }
  }

  /** Of the files of the log one that nobody here took away, and that is not in its directory any more. */
  async findLost(): Promise<string | undefined> {
    const known = this.all().filter(({ present }) => present);
    const there = new Set(await this.#directory.segments(this.#files));
    const lost = known.find(({ number }) => !there.has(number) && this.#segments.has(number));
    return lost && this.#directory.segment(lost.number);
  }

  /** Removes a segment and its file. Reads under way finish first, since the kernel keeps an open file. */
  async remove(segment: Segment): Promise<void> {
    this.#segments.delete(segment.number);
    this.usedBytes -= segment.size;
    await this.#files.unlink(this.#directory.segment(segment.number));
    while (segment.readers > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    await this.#closeFile(segment);
  }

  async close(): Promise<void> {
    for (const segment of this.#open) await this.#closeFile(segment);
  }

  #openFile(segment: Segment): Promise<number> {
    if (this.#open.size >= maxOpenSegments) {
      for (const other of this.#open) {
        if (other.readers > 0 || !other.sealed) continue;
        void this.#closeFile(other);
        break;
      }
    }
    const file = this.#files.open(this.#directory.segment(segment.number), 'read');
    segment.file = file;
    this.#open.add(segment);
    file.then(
      (descriptor) => {
        if (segment.file === file) segment.descriptor = descriptor;
      },
      () => {
        segment.file = undefined;
        this.#open.delete(segment);
      },
    );
    return file;
  }

  async #closeFile(segment: Segment): Promise<void> {
    const { file } = segment;
    segment.file = undefined;
    segment.descriptor = undefined;
    this.#open.delete(segment);
    // What cannot be closed is lost anyway; the data was made durable by the write itself.
    if (file !== undefined) await file.then((number) => this.#files.close(number)).catch(() => {});
  }
}

/** Takes the files of the log into the table. @returns how many segments are missing that hold values. */
export async function loadSegments(files: Files, directory: StoreDirectory, segments: Segments, index: LevelIndex): Promise<number> {
  const sizes = new Map<number, number>();
  const numbers = await directory.segments(files);
  for (let start = 0; start < numbers.length; start += filesAtOnce) {
    await Promise.all(
      numbers.slice(start, start + filesAtOnce).map(async (number) => {
        const file = await files.open(directory.segment(number), 'read');
        try {
          sizes.set(number, await files.size(file));
        } finally {
          await files.close(file);
        }
      }),
    );
  }
  const stats = new Map((await index.segments()).map((stat) => [stat.number, stat]));
  let missing = 0;
  for (const number of [...new Set([...numbers, ...stats.keys()])].sort((a, b) => a - b)) {
    const { live, tombstones, lost } = stats.get(number) ?? { live: 0, tombstones: 0, lost: 0 };
    const size = sizes.get(number);
    if (size === undefined && live === 0) continue;
    const segment = segments.add(number, size ?? 0);
    segment.live = live;
    segment.tombstones = tombstones;
    segment.lost = lost;
    if (size !== undefined) continue;
    segment.present = false;
    missing++;
  }
  return missing;
}
