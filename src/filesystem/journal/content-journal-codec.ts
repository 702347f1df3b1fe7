import { InfinitError, readU64, writeU64 } from '../../base/index.ts';
import { readTime, writeTime } from '../inodes/fields.ts';
import { decodeCalls, encodeCalls, type InodeCalls } from '../inodes/inode-calls.ts';
import type { JournaledAttributes } from '../inodes/journaled-attributes.ts';

/**
 * One block of the content journal: bytes that an fsync made durable before they are in their place. Little-endian:
 *
 * ```
 *  0 u8 version (1), u8 0, u16 entries | 4 u32 session | 8 u32 number of the block in the session | 12 u64 position | 20 u64 tail
 * 28 entries: u64 inode, u32 mode, u32 uid, u32 gid, u64 size, 3 × (i64 seconds, u32 nanoseconds): accessed, modified, changed,
 *             u16 pieces, u16 0, pieces: u64 offset, u32 length, bytes
 *    for each entry that includes calls of other hosts: u16 its index, u16 length, calls (inode-calls.ts)
 * ```
 */
export interface ContentBlock {
  readonly stamp: Stamp;
  /** Counts the blocks of the ring, without gaps. */
  readonly position: number;
  /** The oldest position that was still needed when this block was written. */
  readonly tail: number;
  readonly entries: readonly ContentEntry[];
}

/** When something was journaled: sessions only grow, and a session never uses a number twice, whatever became of the block. */
export interface Stamp {
  readonly session: number;
  readonly count: number;
}

export interface ContentEntry extends JournaledAttributes {
  readonly pieces: readonly ContentPiece[];
  /** Calls of other hosts that the inode includes. */
  readonly calls: InodeCalls | undefined;
}

export interface ContentPiece {
  readonly offset: number;
  /** The bytes, in slices. */
  readonly slices: readonly Uint8Array[];
  readonly length: number;
}

const formatVersion = 1;
const headBytes = 28;
const entryBytes = 68;
const pieceBytes = 12;
const callsHeadBytes = 4;
/** Bytes of a block at the most. */
const maxBytes = 60 * 1024;
/** Entries in a block at the most. */
export const maxContentEntries = 256;

/** Room for entries in a block. */
export const maxContentBytes: number = maxBytes - headBytes;

/** Blocks of the ring. Files are written out well before they run out. */
export const contentSlots = 1024;

/** What an entry takes. */
export function entryCost(pieces: number, bytes: number, calls: number): number {
  return entryBytes + pieces * pieceBytes + bytes + (calls === 0 ? 0 : callsHeadBytes + calls);
}

/** What was stamped at `stamp` is covered by everything up to `mark`. */
export function isCovered(stamp: Stamp, mark: Stamp): boolean {
  return stamp.session < mark.session || (stamp.session === mark.session && stamp.count <= mark.count);
}

let scratch = Buffer.alloc(0);

/** Encodes into a scratch buffer that the next call reuses: seal it at once. */
export function encodeContentBlock(block: ContentBlock): Uint8Array {
  if (scratch.length === 0) scratch = Buffer.allocUnsafeSlow(maxBytes);
  const into = scratch;
  into[0] = formatVersion;
  into[1] = 0;
  into.writeUInt16LE(block.entries.length, 2);
  into.writeUInt32LE(block.stamp.session, 4);
  into.writeUInt32LE(block.stamp.count, 8);
  writeU64(into, block.position, 12);
  writeU64(into, block.tail, 20);
  let at = headBytes;
  for (const entry of block.entries) {
    writeU64(into, entry.inode, at);
    into.writeUInt32LE(entry.mode, at + 8);
    into.writeUInt32LE(entry.uid, at + 12);
    into.writeUInt32LE(entry.gid, at + 16);
    writeU64(into, entry.size, at + 20);
    writeTime(into, entry.accessed, at + 28);
    writeTime(into, entry.modified, at + 40);
    writeTime(into, entry.changed, at + 52);
    into.writeUInt16LE(entry.pieces.length, at + 64);
    into.writeUInt16LE(0, at + 66);
    at += entryBytes;
    for (const { offset, length, slices } of entry.pieces) {
      writeU64(into, offset, at);
      into.writeUInt32LE(length, at + 8);
      at += pieceBytes;
      for (const slice of slices) {
        into.set(slice, at);
        at += slice.length;
      }
    }
  }
  block.entries.forEach(({ calls }, index) => {
    if (calls === undefined) return;
    const encoded = encodeCalls(calls);
    into.writeUInt16LE(index, at);
    into.writeUInt16LE(encoded.length, at + 2);
    into.set(encoded, at + callsHeadBytes);
    at += callsHeadBytes + encoded.length;
  });
  return into.subarray(0, at);
}

/** Reads what {@link encodeContentBlock} wrote; the bytes are slices of it. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeContentBlock(body: Uint8Array): ContentBlock {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (from[0] !== formatVersion)
    throw new InfinitError('wrong-version', `the content journal has format ${from[0]}; this host reads ${formatVersion}: upgrade it`);
  try {
    return read(from);
  } catch (cause) {
    throw new InfinitError('damaged', 'a block of the content journal cannot be decoded', { cause });
  }
}

function read(from: Buffer): ContentBlock {
  const entries: ContentEntry[] = [];
  let at = headBytes;
  for (let left = from.readUInt16LE(2); left > 0; left--) {
    const start = at;
    const pieces: ContentPiece[] = [];
    at += entryBytes;
    for (let more = from.readUInt16LE(start + 64); more > 0; more--) {
      const length = from.readUInt32LE(at + 8);
      const end = at + pieceBytes + length;
      if (end > from.length) throw new RangeError(`a piece of ${length} bytes at ${at} ends beyond ${from.length}`);
      pieces.push({ offset: readU64(from, at), length, slices: [from.subarray(at + pieceBytes, end)] });
      at = end;
    }
    entries.push({
      inode: readU64(from, start),
      mode: from.readUInt32LE(start + 8),
      uid: from.readUInt32LE(start + 12),
      gid: from.readUInt32LE(start + 16),
      size: readU64(from, start + 20),
      accessed: readTime(from, start + 28),
      modified: readTime(from, start + 40),
      changed: readTime(from, start + 52),
      pieces,
      calls: undefined,
    });
  }
  while (at < from.length) {
    const index = from.readUInt16LE(at);
    const end = at + callsHeadBytes + from.readUInt16LE(at + 2);
    entries[index] = { ...entries[index]!, calls: decodeCalls(from.subarray(at + callsHeadBytes, end)) };
    at = end;
  }
  return {
    stamp: { session: from.readUInt32LE(4), count: from.readUInt32LE(8) },
    position: readU64(from, 12),
    tail: readU64(from, 20),
    entries,
  };
}
