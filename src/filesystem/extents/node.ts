import { assert, InfinitError } from '../../base/index.ts';
import { type Address, addressBytes, addressFromBytes } from '../../block/index.ts';
import type { SealedBlock } from '../../store/index.ts';
import type { RecordCodec } from './records.ts';

/** A node of a copy-on-write tree. Never changed once made, except that its children come to have addresses. */
export type ExtentNode<R> = ExtentLeaf<R> | ExtentBranch<R>;

export interface ExtentLeaf<R> {
  readonly level: 0;
  /** Strictly ascending. */
  readonly keys: readonly number[];
  readonly records: readonly R[];
}

export interface ExtentBranch<R> {
  readonly level: number;
  /** The least key in each child. */
  readonly keys: readonly number[];
  readonly children: readonly Child<R>[];
}

/** A reference to a node: stored (an address alone), or new (with the node itself, until a commit with it is durable). */
export interface Child<R> {
  /** Summed over all records below. */
  readonly weight: number;
  /** Snapshot epoch in which the node was (or is to be) written. */
  epoch: number;
  address: Address | undefined;
  node: ExtentNode<R> | undefined;
  /** The block as sealed for a commit whose success is not known yet: it may be stored. */
  sealed: SealedBlock | undefined;
}

/**
 * The encoded form, little-endian (docs/trees.md): `u8 format, u8 kind, u8 level, u8 0, u32 count`, then entries of `f64 key` and,
 * in a leaf, the record, above it `32 B address, u32 epoch, f64 weight`.
 */
const format = 1;
const headerBytes = 8;
const keyBytes = 8;
const childBytes = keyBytes + addressBytes + 4 + 8;
const maxLevel = 32;

/** Entries of a node of at most `bytes`. */
export function capacityOf(bytes: number, level: number, codec: RecordCodec<unknown>): number {
  return Math.floor((bytes - headerBytes) / (level === 0 ? keyBytes + codec.bytes : childBytes));
}

export function isLeaf<R>(node: ExtentNode<R>): node is ExtentLeaf<R> {
  return node.level === 0;
}

/** A new reference to a new node. */
export function newChild<R>(node: ExtentNode<R>, codec: RecordCodec<R>): Child<R> {
  let weight = 0;
  if (isLeaf(node)) for (const record of node.records) weight += codec.weightOf(record);
  else for (const child of node.children) weight += child.weight;
  return { weight, epoch: 0, address: undefined, node, sealed: undefined };
}

/** The node's bytes; all its children must have addresses. */
export function encodeExtentNode<R>(node: ExtentNode<R>, codec: RecordCodec<R>): Uint8Array {
  const entryBytes = isLeaf(node) ? keyBytes + codec.bytes : childBytes;
  const into = Buffer.allocUnsafe(headerBytes + node.keys.length * entryBytes);
  into[0] = format;
  into[1] = codec.kind;
  into[2] = node.level;
  into[3] = 0;
  into.writeUInt32LE(node.keys.length, 4);
  for (let i = 0, at = headerBytes; i < node.keys.length; i++, at += entryBytes) {
    into.writeDoubleLE(node.keys[i]!, at);
    if (isLeaf(node)) codec.write(node.records[i]!, into, at + keyBytes);
    else writeChild(node.children[i]!, into, at + keyBytes);
  }
  return into;
}

function writeChild(child: Child<unknown>, into: Buffer, at: number): void {
  assert(child.address !== undefined, 'children are sealed before their parent');
  into.write(child.address, at, 'hex');
  into.writeUInt32LE(child.epoch, at + addressBytes);
  into.writeDoubleLE(child.weight, at + addressBytes + 4);
}

/** The node in `body`. `address` names it in errors. @throws InfinitError `damaged`, `wrong-version`. */
export function decodeExtentNode<R>(address: Address, body: Uint8Array, codec: RecordCodec<R>): ExtentNode<R> {
  const from = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (from.length >= 1 && from[0] !== format)
    throw new InfinitError('wrong-version', `extent node ${address} has format ${from[0]}; this host reads ${format}: upgrade it`);
  const level = from[2] ?? 0;
  const entryBytes = level === 0 ? keyBytes + codec.bytes : childBytes;
  if (from.length < headerBytes || from[1] !== codec.kind || level > maxLevel || from.length !== headerBytes + from.readUInt32LE(4) * entryBytes)
    throw new InfinitError('damaged', `extent node ${address} does not decode`);
  const keys: number[] = [];
  const records: R[] = [];
  const children: Child<R>[] = [];
  for (let at = headerBytes; at < from.length; at += entryBytes) {
    const key = from.readDoubleLE(at);
    if (!(Number.isSafeInteger(key) && key >= 0 && (keys.length === 0 || key > keys.at(-1)!)))
      throw new InfinitError('damaged', `extent node ${address} has a key out of order`);
    keys.push(key);
    if (level === 0) records.push(codec.read(key, from, at + keyBytes));
    else children.push(readChild(from, at + keyBytes));
  }
  return level === 0 ? { level, keys, records } : { level, keys, children };
}

function readChild<R>(from: Buffer, at: number): Child<R> {
  return storedChild(addressFromBytes(from, at), from.readUInt32LE(at + addressBytes), from.readDoubleLE(at + addressBytes + 4));
}

/** A reference to a stored node. */
export function storedChild<R>(address: Address, epoch: number, weight: number): Child<R> {
  return { weight, epoch, address, node: undefined, sealed: undefined };
}

/** Index of the last key that is at most `key`; -1 where all are greater. */
export function floorIndex(keys: readonly number[], key: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
