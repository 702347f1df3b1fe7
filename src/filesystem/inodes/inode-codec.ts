import { assert, InfinitError, readU64, writeU64 } from '../../base/index.ts';
import type { Stamp } from '../journal/content-journal-codec.ts';
import { readTime, writeTime } from './fields.ts';
import type { FileTime } from '../file-system.ts';
import { callsBytes, decodeCalls, encodeCalls, type InodeCalls } from './inode-calls.ts';

/**
 * What lies in an inode's block, little-endian:
 *
 * ```
 *  0 u8  format version (2)     8 u32 uid        28 u32 snapshot epoch
 *  1 u8  parts (bits below)    12 u32 gid        32 u64 size
 *  2 u16 count of xattrs       16 u32 links      40 u64 allocated bytes
 *  4 u32 mode                  20 u32 device     48 u64 parent directory (directories)
 *                              24 u32 reserved   56 3 × (i64 seconds, u32 nanoseconds): accessed, modified, changed
 *                                                92 u32 session and u32 number of the content journal that it covers
 * 100 parts, in the order of their bits, each u32 length and bytes; an xattr is u8 length, name, u32 length, value; behind those calls of other hosts that it
 *     includes (inode-calls.ts): u32 length and bytes, where versions that know nothing of them do not look
 * ```
 */
export interface InodeRecord {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly device: number;
  /** Snapshot epoch that the record was written in. */
  readonly epoch: number;
  readonly size: number;
  /** Bytes of data kept for it. */
  readonly allocated: number;
  /** Of a directory: the one that holds it. */
  readonly parent: number;
  readonly accessed: FileTime;
  readonly modified: FileTime;
  readonly changed: FileTime;
  /** Target of a symbolic link, one character a byte. */
  readonly target: string | undefined;
  readonly xattrs: ReadonlyMap<string, Uint8Array> | undefined;
  /** The content of a small file; shorter than `size` where the rest is a hole. */
  readonly inline: Uint8Array | undefined;
  /** The root of the extent map of a larger one. */
  readonly extents: Uint8Array | undefined;
  /** Its map still reaches beyond `size`: a large truncation was under way. What lies there is to be cut off before the file grows again. */
  readonly truncating: boolean;
  /** Everything that the content journal had of it up to there is in this record. */
  readonly journaled: Stamp;
  /** The record as an older snapshot epoch left it: address of an immutable block, 32 bytes. */
  readonly previous: Uint8Array | undefined;
  /** Calls of other hosts that it includes. */
  readonly calls: InodeCalls | undefined;
}

const formatVersion = 2;
const fixedBytes = 100;
const hasTarget = 1;
const hasInline = 2;
const hasExtents = 4;
const hasPrevious = 8;
const isTruncating = 16;
const hasCalls = 32;

/** An upper bound of the encoded size. */
function boundOf(record: InodeRecord): number {
  let bytes =
    fixedBytes +
    20 +
    callsBytes(record.calls) +
    (record.target?.length ?? 0) +
    (record.inline?.length ?? 0) +
    (record.extents?.length ?? 0) +
    (record.previous?.length ?? 0);
  if (record.xattrs !== undefined) for (const [name, value] of record.xattrs) bytes += 5 + name.length + value.length;
  return bytes;
}

/** Encodes into a scratch buffer that the next call reuses: seal it at once. */
export function encodeInode(record: InodeRecord): Uint8Array {
  const bound = boundOf(record);
  if (scratch.length < bound) scratch = Buffer.allocUnsafeSlow(bound * 2);
  const into = scratch;
  into[0] = formatVersion;
  into[1] =
    (record.target === undefined ? 0 : hasTarget) |
    (record.inline === undefined ? 0 : hasInline) |
    (record.extents === undefined ? 0 : hasExtents) |
    (record.previous === undefined ? 0 : hasPrevious) |
    (record.truncating ? isTruncating : 0) |
    (record.calls === undefined ? 0 : hasCalls);
  into.writeUInt16LE(record.xattrs?.size ?? 0, 2);
  into.writeUInt32LE(record.mode, 4);
  into.writeUInt32LE(record.uid, 8);
  into.writeUInt32LE(record.gid, 12);
  into.writeUInt32LE(record.links, 16);
  into.writeUInt32LE(record.device, 20);
  into.writeUInt32LE(0, 24);
  into.writeUInt32LE(record.epoch, 28);
  writeU64(into, record.size, 32);
  writeU64(into, record.allocated, 40);
  writeU64(into, record.parent, 48);
  writeTime(into, record.accessed, 56);
  writeTime(into, record.modified, 68);
  writeTime(into, record.changed, 80);
  into.writeUInt32LE(record.journaled.session, 92);
  into.writeUInt32LE(record.journaled.count, 96);
  let at = fixedBytes;
  const part = (bytes: Uint8Array | undefined): void => {
    if (bytes === undefined) return;
    into.writeUInt32LE(bytes.length, at);
    into.set(bytes, at + 4);
    at += 4 + bytes.length;
  };
  if (record.target !== undefined) {
    into.writeUInt32LE(record.target.length, at);
    into.write(record.target, at + 4, 'latin1');
    at += 4 + record.target.length;
  }
  part(record.inline);
  part(record.extents);
  part(record.previous);
  if (record.xattrs !== undefined) {
    for (const [name, value] of record.xattrs) {
      assert(name.length < 256, 'the name of an xattr has at most 255 bytes');
      into[at] = name.length;
      into.write(name, at + 1, 'latin1');
      at += 1 + name.length;
      part(value);
    }
  }
  part(record.calls && encodeCalls(record.calls));
  return into.subarray(0, at);
}

let scratch = Buffer.allocUnsafeSlow(80 * 1024);

/** Reads what {@link encodeInode} wrote; byte fields are copies. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeInode(body: Uint8Array, what: string): InodeRecord {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (from[0] !== formatVersion)
    throw new InfinitError('wrong-version', `${what} has record format ${from[0]}; this host reads ${formatVersion}: upgrade it`);
  try {
    return read(from);
  } catch (cause) {
    throw new InfinitError('damaged', `${what} cannot be decoded`, { cause });
  }
}

function read(from: Buffer): InodeRecord {
  const parts = from[1]!;
  const count = from.readUInt16LE(2);
  let at = fixedBytes;
  const take = (): Uint8Array => {
    const length = from.readUInt32LE(at);
    const end = at + 4 + length;
    if (end > from.length) throw new RangeError(`a part of ${length} bytes at ${at} ends beyond ${from.length}`);
    const bytes = Uint8Array.prototype.slice.call(from, at + 4, end);
    at = end;
    return bytes;
  };
  const target = (parts & hasTarget) === 0 ? undefined : Buffer.from(take()).toString('latin1');
  const inline = (parts & hasInline) === 0 ? undefined : take();
  const extents = (parts & hasExtents) === 0 ? undefined : take();
  const previous = (parts & hasPrevious) === 0 ? undefined : take();
  let xattrs: Map<string, Uint8Array> | undefined;
  for (let i = 0; i < count; i++) {
    const length = from.readUInt8(at);
    const name = from.toString('latin1', at + 1, at + 1 + length);
    at += 1 + length;
    (xattrs ??= new Map()).set(name, take());
  }
  const calls = (parts & hasCalls) === 0 ? undefined : decodeCalls(take());
  return {
    mode: from.readUInt32LE(4),
    uid: from.readUInt32LE(8),
    gid: from.readUInt32LE(12),
    links: from.readUInt32LE(16),
    device: from.readUInt32LE(20),
    epoch: from.readUInt32LE(28),
    size: readU64(from, 32),
    allocated: readU64(from, 40),
    parent: readU64(from, 48),
    accessed: readTime(from, 56),
    modified: readTime(from, 68),
    changed: readTime(from, 80),
    journaled: { session: from.readUInt32LE(92), count: from.readUInt32LE(96) },
    target,
    xattrs,
    inline,
    extents,
    previous,
    calls,
    truncating: (parts & isTruncating) !== 0,
  };
}
