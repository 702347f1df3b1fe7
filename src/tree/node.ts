import { assert, InfinitError } from '../base/index.ts';
import { type Address, addressBytes, addressFromBytes, addressToBytes } from '../block/index.ts';
import type { Key } from './types.ts';

/**
 * A node of the tree, as one mutable block. It covers the keys from `low` ('' is below all keys) up to, not including, `high`
 * (undefined: without end), and `right` is the node of the same level that goes on at `high`.
 *
 * - At level 0 values are the callers'; above, they are the addresses of children, each under the low key of what it leads to.
 * - `low` never changes in a node's life: a node only grows to the right (by absorbing) or shrinks on the right (by splitting).
 * - A `frozen` node never changes again: it is being absorbed by its left neighbour, or by the root.
 *
 * Instances are never changed: an edit makes another one.
 */
export interface TreeNode {
  readonly level: number;
  readonly frozen: boolean;
  readonly low: Key;
  readonly high: Key | undefined;
  readonly right: Address | undefined;
  /** Strictly ascending. */
  readonly keys: readonly Key[];
  readonly values: readonly Uint8Array[];
  /** Bytes of the encoded form. */
  readonly bytes: number;
}

/**
 * The encoded form, little-endian (docs/trees.md):
 * `u8 format, u8 level, u8 flags, u8 0, u32 count, u16 low length, u16 high length, low, high, [32 B right], entries`;
 * an entry is `u16 key length, u16 value length, key, value`.
 */
const format = 1;
const headerBytes = 12;
const entryOverheadBytes = 4;
const flagFrozen = 1;
const flagHigh = 2;
const flagRight = 4;
/** Levels that a tree can have; at the lowest fan-out more entries than there are addresses. */
const maxLevel = 64;

/** Bytes that an entry takes in its node. */
export function entryBytes(key: Key, value: Uint8Array): number {
  return entryOverheadBytes + key.length + value.length;
}

/** Bytes of a node without its entries. */
export function frameBytes(low: Key, high: Key | undefined, right: Address | undefined): number {
  return headerBytes + low.length + (high?.length ?? 0) + (right === undefined ? 0 : addressBytes);
}

/** A node from its parts; counts the bytes. */
export function makeNode(parts: Omit<TreeNode, 'bytes'>): TreeNode {
  let bytes = frameBytes(parts.low, parts.high, parts.right);
  for (let i = 0; i < parts.keys.length; i++) bytes += entryBytes(parts.keys[i]!, parts.values[i]!);
  return { ...parts, bytes };
}

/** A leaf without entries that covers all keys: the root of an empty tree. */
export const emptyNode: TreeNode = makeNode({ level: 0, frozen: false, low: '', high: undefined, right: undefined, keys: [], values: [] });

/** The address of the i-th child of an inner node. */
export function childAt(node: TreeNode, index: number): Address {
  return addressFromBytes(node.values[index]!);
}

/** The value under which a parent keeps a child. */
export function childValue(address: Address): Uint8Array {
  return addressToBytes(address);
}

/** Index of the first key that is not less than `key`. */
export function lowerBound(keys: readonly Key[], key: Key): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of `key`, or -1. */
export function indexOf(keys: readonly Key[], key: Key): number {
  const index = lowerBound(keys, key);
  return index < keys.length && keys[index] === key ? index : -1;
}

/** Whether `key` lies right of what the node covers. */
export function isBeyond(node: TreeNode, key: Key): boolean {
  return node.high !== undefined && key >= node.high;
}

/** The node's bytes. */
export function encodeNode(node: TreeNode): Uint8Array {
  const bytes = Buffer.allocUnsafe(node.bytes);
  bytes[0] = format;
  bytes[1] = node.level;
  bytes[2] = (node.frozen ? flagFrozen : 0) | (node.high === undefined ? 0 : flagHigh) | (node.right === undefined ? 0 : flagRight);
  bytes[3] = 0;
  bytes.writeUInt32LE(node.keys.length, 4);
  bytes.writeUInt16LE(node.low.length, 8);
  bytes.writeUInt16LE(node.high?.length ?? 0, 10);
  let at = headerBytes;
  at += bytes.write(node.low, at, 'latin1');
  if (node.high !== undefined) at += bytes.write(node.high, at, 'latin1');
  if (node.right !== undefined) at += bytes.write(node.right, at, 'hex');
  for (let i = 0; i < node.keys.length; i++) {
    const key = node.keys[i]!;
    const value = node.values[i]!;
    bytes.writeUInt16LE(key.length, at);
    bytes.writeUInt16LE(value.length, at + 2);
    at += entryOverheadBytes;
    at += bytes.write(key, at, 'latin1');
    bytes.set(value, at);
    at += value.length;
  }
  assert(at === node.bytes, 'a node encodes to the bytes it counts');
  return bytes;
}

/** The node in `body`, whose values alias it. `address` names it in errors. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeNode(address: Address, body: Uint8Array): TreeNode {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length < headerBytes) throw damaged(address);
  if (bytes[0] !== format)
    throw new InfinitError('wrong-version', `tree node ${address} has format ${bytes[0]}; this host reads ${format}: upgrade it`);
  const level = bytes[1]!;
  const flags = bytes[2]!;
  const count = bytes.readUInt32LE(4);
  if (level > maxLevel || count * entryOverheadBytes > bytes.length) throw damaged(address);
  let at = headerBytes;
  const take = (length: number): number => {
    const start = at;
    at += length;
    if (at > bytes.length) throw damaged(address);
    return start;
  };
  const text = (length: number): Key => bytes.toString('latin1', take(length), at);
  const low = text(bytes.readUInt16LE(8));
  const highText = text(bytes.readUInt16LE(10));
  const high = (flags & flagHigh) === 0 ? undefined : highText;
  const right = (flags & flagRight) === 0 ? undefined : addressFromBytes(bytes, take(addressBytes));
  const keys: Key[] = [];
  const values: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const entry = take(entryOverheadBytes);
    keys.push(text(bytes.readUInt16LE(entry)));
    const start = take(bytes.readUInt16LE(entry + 2));
    values.push(new Uint8Array(bytes.buffer, bytes.byteOffset + start, at - start));
  }
  if (at !== bytes.length) throw damaged(address);
  return { level, frozen: (flags & flagFrozen) !== 0, low, high, right, keys, values, bytes: bytes.length };
}

function damaged(address: Address): InfinitError {
  return new InfinitError('damaged', `tree node ${address} does not decode`);
}
