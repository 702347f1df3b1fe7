import { InfinitError, readU64, writeU64 } from '../../base/index.ts';
import type { Key } from '../../tree/index.ts';

/** What a name stands for. */
export interface Dentry {
  readonly inode: number;
  /** The S_IFMT bits of its mode. */
  readonly type: number;
}

export interface NamedDentry extends Dentry {
  readonly name: string;
}

const two32 = 2 ** 32;
const fixedBytes = 10;
/** Names with the same 52-bit hash in one directory; one more is refused. */
export const maxBucketNames = 32;

/** The tree key of a position: 8 bytes, big-endian, so that keys sort as positions do. */
export function keyOf(position: number): Key {
  const high = Math.floor(position / two32);
  const low = position >>> 0;
  return String.fromCharCode(
    0,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  );
}

export function positionOf(key: Key): number {
  const high = (key.charCodeAt(1) << 16) | (key.charCodeAt(2) << 8) | key.charCodeAt(3);
  const low = (key.charCodeAt(4) << 24) | (key.charCodeAt(5) << 16) | (key.charCodeAt(6) << 8) | key.charCodeAt(7);
  return high * two32 + (low >>> 0);
}

/** The value of a key: all names of one hash, each u8 length, name, u64 inode (little-endian), u8 type >> 12. */
export function encodeBucket(entries: readonly NamedDentry[]): Uint8Array {
  let bytes = 0;
  for (const { name } of entries) bytes += fixedBytes + name.length;
  const into = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const { name, inode, type } of entries) {
    into[at] = name.length;
    into.write(name, at + 1, 'latin1');
    at += 1 + name.length;
    writeU64(into, inode, at);
    into[at + 8] = type >>> 12;
    at += 9;
  }
  return into;
}

/** @throws InfinitError `damaged`. */
export function decodeBucket(value: Uint8Array): NamedDentry[] {
  const from = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const entries: NamedDentry[] = [];
  for (let at = 0; at < from.length;) {
    const end = at + 1 + from[at]!;
    if (end + 9 > from.length) throw new InfinitError('damaged', 'a directory entry is cut short');
    entries.push({
      name: from.toString('latin1', at + 1, end),
      inode: readU64(from, end),
      type: from[end + 8]! << 12,
    });
    at = end + 9;
  }
  return entries;
}
