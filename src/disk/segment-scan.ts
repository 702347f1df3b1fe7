import { type Files, isPassing, unlessPassing } from './files.ts';
import {
  isIntact,
  maxValueBytes,
  readRecordHeader,
  recordAlignment,
  recordBytes,
  type RecordHeader,
  recordHeaderBytes,
  recordMagic,
  valueOffset,
} from './record.ts';

/** A record as found in a segment. */
export interface ScannedRecord extends RecordHeader {
  readonly segment: number;
  readonly offset: number;
  /** False where the value does not match its CRC. */
  readonly intact: boolean;
  /** The value; shares a buffer with its neighbours. */
  readonly bytes: Buffer;
  readonly table: Buffer;
}

/** Bytes that are no record though they should be, up to the next record or the end. */
export interface ScannedGap {
  readonly segment: number;
  readonly offset: number;
  readonly intact: false;
  readonly bytes?: undefined;
}

export type ScannedItem = ScannedRecord | ScannedGap;

export interface ScanSource {
  readonly files: Files;
  readonly file: number;
  readonly segment: number;
  readonly seed: number;
  readonly from: number;
  readonly size: number;
}

const chunkBytes = 512 * 1024;
/** The piece that is given up when the medium cannot read it. */
const sectorBytes = 4096;
const zeros = Buffer.alloc(64 * 1024);

/**
 * Walks a segment and yields what it finds, a chunk's worth at a time. Takes nothing on trust: a header counts only with its CRC,
 * so a garbage length can neither run away nor hide the records after it; after damage the walk finds the next record by its magic.
 * Zeros up to the end are not a gap: that is room made ahead.
 */
export async function* scanSegment(source: ScanSource): AsyncGenerator<ScannedItem[]> {
  let window: Buffer = Buffer.alloc(0);
  let base = source.from;
  let at = source.from;
  let gap: number | undefined;
  let items: ScannedItem[] = [];
  for (;;) {
    const here = at - base;
    const header = window.length - here >= recordHeaderBytes ? readRecordHeader(window, here, source.seed, at) : undefined;
    const need = header === undefined ? recordHeaderBytes : recordBytes(header.length);
    const fits = at + need <= source.size;
    if (fits && window.length - here < need) {
      if (items.length > 0) yield items;
      items = [];
      window = await load(source, window.subarray(here), at, Math.max(need, chunkBytes));
      base = at;
      continue;
    }
    if (header !== undefined && fits) {
      if (gap !== undefined) items.push({ segment: source.segment, offset: gap, intact: false });
      gap = undefined;
      const start = here + valueOffset(header.length);
      const table = window.subarray(here + recordHeaderBytes, start);
      const bytes = window.subarray(start, start + header.length);
      items.push({ ...header, segment: source.segment, offset: at, intact: isIntact(bytes, table, header.crc), bytes, table });
      at += need;
      continue;
    }
    const next = nextCandidate(window, here, base);
    if (gap === undefined && !isZero(window, here, next - base)) gap = at;
    at = next;
    if (at + recordHeaderBytes > source.size) break;
  }
  if (gap !== undefined) items.push({ segment: source.segment, offset: gap, intact: false });
  if (items.length > 0) yield items;
}

/** The next aligned place after `from` where a record may begin: at the magic, or the end of the window. */
function nextCandidate(window: Buffer, from: number, base: number): number {
  let found = from;
  for (;;) {
    found = window.indexOf(recordMagic, found + 1);
    if (found < 0) break;
    if ((base + found) % recordAlignment === 0) return base + found;
  }
  // The last bytes may be the start of a magic: the next chunk begins with them.
  const end = base + window.length - (recordMagic.length - 1);
  return Math.max(base + from + recordAlignment, Math.ceil(end / recordAlignment) * recordAlignment);
}

function isZero(window: Buffer, from: number, to: number): boolean {
  const end = Math.min(to, window.length);
  for (let at = from; at < end; at += zeros.length) {
    const length = Math.min(zeros.length, end - at);
    if (window.compare(zeros, 0, length, at, at + length) !== 0) return false;
  }
  return true;
}

/** The window that begins at `at`: what is left of the last one, and what follows it in the file. */
async function load(source: ScanSource, rest: Buffer, at: number, bytes: number): Promise<Buffer> {
  const length = Math.min(bytes, source.size - at, recordBytes(maxValueBytes) + recordHeaderBytes);
  const window = Buffer.allocUnsafeSlow(Math.max(length, rest.length));
  rest.copy(window);
  const wanted = window.subarray(rest.length);
  try {
    const count = await source.files.read(source.file, wanted, at + rest.length);
    wanted.fill(0, count);
  } catch (error) {
    if (isPassing(error)) throw error;
    // The medium cannot read some of it: take what can be had, sector by sector.
    for (let offset = 0; offset < wanted.length; offset += sectorBytes) {
      const sector = wanted.subarray(offset, offset + sectorBytes);
      const count = await source.files.read(source.file, sector, at + rest.length + offset).catch(unlessPassing);
      sector.fill(0, count);
    }
  }
  return window;
}
