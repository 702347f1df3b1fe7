import { readU64, writeU64 } from '../base/index.ts';
import { crc32 } from 'node:zlib';

import { pieceCrcs } from './piece-crcs.ts';

/**
 * What the log is made of (docs/on-disk-format.md): a header of 96 bytes, for a large value the table of its pieces' CRCs, the value, zeros
 * up to a multiple of 8.
 *
 * ```
 *  0  u32  magic                         16 u64  sequence number, consecutive through the whole log
 *  4  u32  CRC of header bytes 8..95     24 u32  how many records before this one were not durable yet when it was written
 *  8  u32  length of the value           28 u8   type; 3 bytes of zeros
 * 12  u32  CRC of the value or table             32 32 B id                    64 32 B id of the record before it
 * ```
 *
 * The header's CRC is seeded with the store, the segment and the offset, so that bytes of a log that lie inside a value, or were
 * left over by an earlier file, never pass for records. The id of the record before makes it possible to say what was lost when a
 * header is damaged. The count at 24 tells a torn tail (was never acknowledged) from damage (was).
 */
export interface RecordHeader {
  readonly type: RecordType;
  readonly id: RecordId;
  /** Bytes of the value. */
  readonly length: number;
  /** See {@link checksumOf}. */
  readonly crc: number;
  readonly sequence: number;
  /** All records below this sequence number were on stable storage before this one was written. */
  readonly durable: number;
  /** {@link noId} where it is not known. */
  readonly previous: RecordId;
}

/** 64 hex digits: a block's address, or `00` and the hash of a meta key. */
export type RecordId = string;

export const recordTypes = {
  /** The id has this value now. */
  put: 1,
  /** The id has no value any more. */
  delete: 2,
  /** The id had a value which damage took away: reading it must say so until it is written or deleted again. */
  lost: 3,
} as const;
export type RecordType = (typeof recordTypes)[keyof typeof recordTypes];

export const noId: RecordId = '0'.repeat(64);
export const recordHeaderBytes = 96;
export const recordAlignment = 8;
/** Far above any block; what is longer is garbage, not a length. */
export const maxValueBytes = 64 * 1024 * 1024;
/** The first bytes of each record: "IFR1". */
export const recordMagic = Buffer.from('IFR1', 'latin1');

const magicNumber = recordMagic.readUInt32LE(0);

/** Values up to this have one CRC; larger ones one for each piece, so that a part can be read and checked without the rest. */
const maxWholeBytes = 64 * 1024;
/** A piece of a large value. */
export const pieceBytes: number = 16 * 1024;
const noTable = new Uint8Array();

/** Bytes of the table before a value of this length. */
export function tableBytes(length: number): number {
  return length <= maxWholeBytes ? 0 : Math.ceil(length / pieceBytes) * 4;
}

/** Where in its record a value of this length begins. */
export function valueOffset(length: number): number {
  return recordHeaderBytes + tableBytes(length);
}

/** Bytes that a record with a value of this length takes in the log. */
export function recordBytes(length: number): number {
  return (valueOffset(length) + length + recordAlignment - 1) & -recordAlignment;
}

/** What a record says of its value: a CRC of it; of a large one the CRCs of its pieces as a table, and the CRC of that. */
export interface Checksum {
  readonly crc: number;
  /** Empty for a value that is checked as a whole. */
  readonly table: Uint8Array;
}

export function checksumOf(value: Uint8Array): Checksum {
  const bytes = tableBytes(value.length);
  if (bytes === 0) return { crc: crc32(value), table: noTable };
  const table = Buffer.allocUnsafe(bytes);
  pieceCrcs(value, pieceBytes, table);
  return { crc: crc32(table), table };
}

/** Does the value match what its record says, and the table as well? */
export function isIntact(value: Uint8Array, table: Uint8Array, crc: number): boolean {
  return checksumOf(value).crc === crc && (table.length === 0 || crc32(table) === crc);
}

/**
 * Writes a header; `into` must have room for {@link recordHeaderBytes} at `at`. `offset` is the place in the segment.
 * @param before Where in `into` the header of the previous record is, if it is there: its id is copied, which is quicker than to write it out.
 */
export function writeRecordHeader(into: Buffer, at: number, header: RecordHeader, seed: number, offset: number, before = -1): void {
  into.writeUInt32LE(magicNumber, at);
  into.writeUInt32LE(header.length, at + 8);
  into.writeUInt32LE(header.crc, at + 12);
  writeU64(into, header.sequence, at + 16);
  into.writeUInt32LE(header.sequence - header.durable, at + 24);
  into.writeUInt32LE(header.type, at + 28);
  into.write(header.id, at + 32, 32, 'hex');
  if (before >= 0) into.copyWithin(at + 64, before + 32, before + 64);
  else into.write(header.previous, at + 64, 32, 'hex');
  into.writeUInt32LE(crc32(into.subarray(at + 8, at + recordHeaderBytes), seedAt(seed, offset)), at + 4);
}

/** The header at `at`, or undefined where there is none that is whole and belongs at this place of this segment. */
export function readRecordHeader(from: Buffer, at: number, seed: number, offset: number): RecordHeader | undefined {
  if (from.readUInt32LE(at) !== magicNumber) return undefined;
  if (from.readUInt32LE(at + 4) !== crc32(from.subarray(at + 8, at + recordHeaderBytes), seedAt(seed, offset))) return undefined;
  const length = from.readUInt32LE(at + 8);
  const type = from.readUInt32LE(at + 28);
  if (length > maxValueBytes || type < recordTypes.put || type > recordTypes.lost) return undefined;
  const sequence = readU64(from, at + 16);
  return {
    type: type as RecordType,
    id: from.toString('hex', at + 32, at + 64),
    length,
    crc: from.readUInt32LE(at + 12),
    sequence,
    durable: sequence - from.readUInt32LE(at + 24),
    previous: from.toString('hex', at + 64, at + 96),
  };
}

function seedAt(seed: number, offset: number): number {
  return (seed ^ Math.imul(offset, 0x9e3779b1)) >>> 0;
}

export const segmentHeaderBytes = 64;
export const segmentFormatVersion = 2;
const segmentMagic = 'INFINSEG';

/** What a segment file starts with. */
export interface SegmentHeader {
  readonly version: number;
  readonly number: number;
  /** All records below it were durable when the segment was begun, and lie in earlier segments. */
  readonly firstSequence: number;
}

/** The header of a segment: magic, version, number, store id, first sequence number, CRC. */
export function encodeSegmentHeader(storeId: Uint8Array, header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(segmentHeaderBytes);
  bytes.write(segmentMagic, 0, 'latin1');
  bytes.writeUInt32LE(header.version, 8);
  bytes.writeUInt32LE(header.number, 12);
  bytes.set(storeId, 16);
  writeU64(bytes, header.firstSequence, 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 60)), 60);
  return bytes;
}

/** The header, or undefined where it is damaged or another store's. Records can be read without it. */
export function decodeSegmentHeader(storeId: Uint8Array, bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < segmentHeaderBytes || bytes.toString('latin1', 0, 8) !== segmentMagic) return undefined;
  if (bytes.readUInt32LE(60) !== crc32(bytes.subarray(0, 60))) return undefined;
  if (!bytes.subarray(16, 32).equals(storeId)) return undefined;
  return {
    version: bytes.readUInt32LE(8),
    number: bytes.readUInt32LE(12),
    firstSequence: readU64(bytes, 32),
  };
}

/** What seeds the CRC of each record header in a segment. */
export function segmentSeed(storeId: Uint8Array, segment: number): number {
  const bytes = Buffer.alloc(20);
  bytes.set(storeId);
  bytes.writeUInt32LE(segment, 16);
  return crc32(bytes);
}
