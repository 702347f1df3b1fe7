import { assert, InfinitError } from '../base/index.ts';
import { type Address, addressBytes, addressFromBytes, addressToBytes } from '../block/index.ts';
import type { Key } from './types.ts';

/** What a node is, without its entries. */
export interface NodeFrame {
  readonly level: number;
  /** It never changes again: it is being absorbed by its left neighbour, or by the root. */
  readonly frozen: boolean;
  /** '' is below all keys. Never changes in a node's life: a node only grows to the right (absorbing) or shrinks on the right (splitting). */
  readonly low: Key;
  /** Undefined: without end. */
  readonly high: Key | undefined;
  /** The node of the same level that goes on at `high`. */
  readonly right: Address | undefined;
}

/**
 * A node of the tree, as one mutable block. It covers the keys from `low` up to, not including, `high`. At level 0 values are the
 * callers'; above, they are the addresses of children, each under the low key of what it leads to.
 *
 * Instances are never changed. Each has its encoded form, so that an edit copies runs of bytes and values are views of it.
 */
export interface TreeNode extends NodeFrame {
  /** Strictly ascending. */
  readonly keys: readonly Key[];
  /** The encoded form. */
  readonly body: Uint8Array;
  /** Where each entry starts in it; one more at the end. */
  readonly starts: Uint32Array;
  /** Addresses of children that were asked for, so that each is spelled out once. */
  readonly children: (Address | undefined)[];
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
/** Keys up to this length are copied faster one by one than by a native call. */
const shortKey = 24;

/** Bytes that an entry takes in its node. */
export function entryBytes(key: Key, value: Uint8Array): number {
  return entryOverheadBytes + key.length + value.length;
}

/** A value, as a view of the node's body. */
export function valueAt(node: TreeNode, index: number): Uint8Array {
  return node.body.subarray(node.starts[index]! + entryOverheadBytes + node.keys[index]!.length, node.starts[index + 1]);
}

/** The address of the i-th child of an inner node. */
export function childAt(node: TreeNode, index: number): Address {
  return (node.children[index] ??= addressFromBytes(node.body, node.starts[index]! + entryOverheadBytes + node.keys[index]!.length));
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
export function isBeyond(node: NodeFrame, key: Key): boolean {
  return node.high !== undefined && key >= node.high;
}

/** Entries kept from a node, or one new entry. */
type Part = { readonly node: TreeNode; readonly from: number; readonly to: number } | { readonly key: Key; readonly value: Uint8Array };

/** Makes a node of entries of others and new ones, given in order. */
export class NodeBuilder {
  readonly #parts: Part[] = [];
  #count = 0;
  #bytes = 0;

  /** Takes entries [from, to) of a node over. */
  keep(node: TreeNode, from: number = 0, to: number = node.keys.length): this {
    if (from >= to) return this;
    this.#parts.push({ node, from, to });
    this.#count += to - from;
    this.#bytes += node.starts[to]! - node.starts[from]!;
    return this;
  }

  /** Adds an entry; the value is copied by {@link build}. */
  add(key: Key, value: Uint8Array): this {
    this.#parts.push({ key, value });
    this.#count++;
    this.#bytes += entryBytes(key, value);
    return this;
  }

  build(frame: NodeFrame): TreeNode {
    const start = headerBytes + frame.low.length + (frame.high?.length ?? 0) + (frame.right === undefined ? 0 : addressBytes);
    const body = Buffer.allocUnsafeSlow(start + this.#bytes);
    writeFrame(body, frame, this.#count);
    const starts = new Uint32Array(this.#count + 1);
    const keys: Key[] = [];
    let at = start;
    for (const part of this.#parts) {
      if ('node' in part) {
        const { node, from, to } = part;
        const shift = at - node.starts[from]!;
        for (let i = from; i < to; i++) {
          starts[keys.length] = node.starts[i]! + shift;
          keys.push(node.keys[i]!);
        }
        body.set(node.body.subarray(node.starts[from], node.starts[to]), at);
        at = node.starts[to]! + shift;
      } else {
        starts[keys.length] = at;
        keys.push(part.key);
        at = writeEntry(body, at, part.key, part.value);
      }
    }
    assert(at === body.length, 'a node encodes to the bytes it counts');
    starts[keys.length] = at;
    const { level, frozen, low, high, right } = frame;
    return { level, frozen, low, high, right, keys, body: new Uint8Array(body.buffer, body.byteOffset, body.length), starts, children: [] };
  }
}

/** The same entries in another frame. */
export function reframe(node: TreeNode, changes: Partial<NodeFrame>): TreeNode {
  return new NodeBuilder().keep(node).build({ ...node, ...changes });
}

/** A leaf without entries that covers all keys: the root of an empty tree. */
export const emptyNode: TreeNode = new NodeBuilder().build({ level: 0, frozen: false, low: '', high: undefined, right: undefined });

function writeFrame(into: Buffer, { level, frozen, low, high, right }: NodeFrame, count: number): void {
  into[0] = format;
  into[1] = level;
  into[2] = (frozen ? flagFrozen : 0) | (high === undefined ? 0 : flagHigh) | (right === undefined ? 0 : flagRight);
  into[3] = 0;
  into.writeUInt32LE(count, 4);
  into.writeUInt16LE(low.length, 8);
  into.writeUInt16LE(high?.length ?? 0, 10);
  let at = headerBytes;
  at += into.write(low, at, 'latin1');
  if (high !== undefined) at += into.write(high, at, 'latin1');
  if (right !== undefined) into.write(right, at, 'hex');
}

function writeEntry(into: Buffer, start: number, key: Key, value: Uint8Array): number {
  into.writeUInt16LE(key.length, start);
  into.writeUInt16LE(value.length, start + 2);
  let at = start + entryOverheadBytes;
  if (key.length <= shortKey) for (let i = 0; i < key.length; i++) into[at + i] = key.charCodeAt(i);
  else into.write(key, at, 'latin1');
  at += key.length;
  into.set(value, at);
  return at + value.length;
}

/** The node in `body`, which it aliases. `address` names it in errors. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeNode(address: Address, body: Uint8Array): TreeNode {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length < headerBytes) throw damaged(address);
  if (bytes[0] !== format)
    throw new InfinitError('wrong-version', `tree node ${address} has format ${bytes[0]}; this host reads ${format}: upgrade it`);
  const level = bytes[1]!;
  const flags = bytes[2]!;
  const count = bytes.readUInt32LE(4);
  const lowEnd = headerBytes + bytes.readUInt16LE(8);
  const highEnd = lowEnd + bytes.readUInt16LE(10);
  const start = highEnd + ((flags & flagRight) === 0 ? 0 : addressBytes);
  if (level > maxLevel || start + count * entryOverheadBytes > bytes.length) throw damaged(address);
  // One native call for all keys; short slices of a string are copies, long ones share it.
  const text = bytes.toString('latin1', start);
  const keys: Key[] = [];
  const starts = new Uint32Array(count + 1);
  let at = start;
  for (let i = 0; i < count; i++) {
    starts[i] = at;
    if (at + entryOverheadBytes > bytes.length) throw damaged(address);
    const keyStart = at + entryOverheadBytes;
    const keyEnd = keyStart + bytes[at]! + bytes[at + 1]! * 256;
    at = keyEnd + bytes[at + 2]! + bytes[at + 3]! * 256;
    keys.push(text.slice(keyStart - start, keyEnd - start));
  }
  if (at !== bytes.length) throw damaged(address);
  starts[count] = at;
  return {
    level,
    frozen: (flags & flagFrozen) !== 0,
    low: bytes.toString('latin1', headerBytes, lowEnd),
    high: (flags & flagHigh) === 0 ? undefined : bytes.toString('latin1', lowEnd, highEnd),
    right: (flags & flagRight) === 0 ? undefined : addressFromBytes(bytes, highEnd),
    keys,
    body: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    starts,
    children: [],
  };
}

function damaged(address: Address): InfinitError {
  return new InfinitError('damaged', `tree node ${address} does not decode`);
}
