import { InfinitError } from '../../base/index.ts';
import { type Address, addressBytes, addressFromBytes } from '../../block/index.ts';
import type { BlockRecord, Extent } from './records.ts';

/** A stored tree's root, as the map's root refers to it. */
export interface TreeRef {
  readonly address: Address;
  readonly epoch: number;
  readonly weight: number;
}

/** All that the root of a map says. */
export interface MapRoot {
  /** Snapshot epoch of the last change. */
  readonly epoch: number;
  /** The number that the next data block gets. */
  readonly nextBlock: number;
  readonly allocatedBytes: number;
  /** Room may be set aside in it. */
  readonly reserves: boolean;
  readonly extents: TreeRef | undefined;
  readonly blocks: TreeRef | undefined;
  /** Recent changes, sorted. */
  readonly recent: readonly Extent[];
  /** Blocks that the tree does not have yet, by number. */
  readonly added: readonly BlockRecord[];
  /** Live bytes of blocks that the tree has otherwise, by number; 0: gone. */
  readonly lives: ReadonlyMap<number, number>;
}

/**
 * The encoded form (docs/trees.md): `u8 format`, then varints (LEB128) and 32-byte addresses. Offsets and numbers are relative to the
 * one before, so that an extent takes about 8 bytes and a block about 40. A hole without end has length 0.
 */
const format = 1;
/** That of a map in which room is set aside: hosts that do not know of that leave it alone. */
const reservesFormat = 2;
/** A varint below 2^53 takes at most 8 bytes. */
const maxExtentBytes = 4 * 8;
const maxBlockBytes = addressBytes + 4 * 8;
const maxFixedBytes = 1 + 6 * 8 + 2 * (1 + addressBytes + 2 * 8);

/** The least bytes that so many recent changes can take. */
export function leastRootBytes(recent: number, added: number, lives: number): number {
  return recent * 3 + added * (addressBytes + 4) + lives * 2;
}

export function encodeRoot(root: MapRoot): Uint8Array {
  const out = new Writer(maxFixedBytes + root.recent.length * maxExtentBytes + root.added.length * maxBlockBytes + root.lives.size * 16);
  out.byte(root.reserves ? reservesFormat : format);
  out.number(root.epoch);
  out.number(root.nextBlock);
  out.number(root.allocatedBytes);
  out.tree(root.extents);
  out.tree(root.blocks);
  out.number(root.recent.length);
  let position = 0;
  for (const { offset, length, block, at } of root.recent) {
    out.number(offset - position);
    out.number(length === Infinity ? 0 : length);
    out.number(block);
    if (block !== 0) out.number(at);
    position = offset + length;
  }
  out.number(root.added.length);
  let number = 0;
  for (const { id, address, size, live, epoch } of root.added) {
    out.number(id - number);
    out.address(address);
    out.number(size);
    out.number(live);
    out.number(epoch);
    number = id;
  }
  out.number(root.lives.size);
  number = 0;
  for (const [id, live] of [...root.lives].toSorted(([a], [b]) => a - b)) {
    out.number(id - number);
    out.number(live);
    number = id;
  }
  return out.bytes();
}

/** @throws InfinitError `damaged`, `wrong-version`. */
export function decodeRoot(bytes: Uint8Array): MapRoot {
  const reserves = bytes[0] === reservesFormat;
  if (bytes[0] !== format && !reserves)
    throw new InfinitError('wrong-version', `the root of an extent map has format ${bytes[0]}; this host reads up to ${reservesFormat}: upgrade it`);
  const from = new Reader(bytes, 1);
  const head = { epoch: from.number(), nextBlock: from.number(), allocatedBytes: from.number(), extents: from.tree(), blocks: from.tree() };
  const recent: Extent[] = [];
  let position = 0;
  for (let left = from.count(); left > 0; left--) {
    const offset = position + from.number();
    const length = from.number() || Infinity;
    const block = from.number();
    recent.push({ offset, length, block, at: block === 0 ? 0 : from.number() });
    position = offset + length;
  }
  const added: BlockRecord[] = [];
  let number = 0;
  for (let left = from.count(); left > 0; left--) {
    number += from.number();
    added.push({ id: number, address: from.address(), size: from.number(), live: from.number(), epoch: from.number() });
  }
  const lives = new Map<number, number>();
  number = 0;
  for (let left = from.count(); left > 0; left--) {
    number += from.number();
    lives.set(number, from.number());
  }
  from.end();
  return { ...head, reserves, recent, added, lives };
}

class Writer {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(maxBytes: number) {
    this.#buffer = Buffer.allocUnsafe(maxBytes);
  }

  byte(value: number): void {
    this.#buffer[this.#at++] = value;
  }

  number(value: number): void {
    let rest = value;
    while (rest >= 128) {
      this.#buffer[this.#at++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#at++] = rest;
  }

  address(address: Address): void {
    this.#at += this.#buffer.write(address, this.#at, 'hex');
  }

  tree(ref: TreeRef | undefined): void {
    this.byte(ref === undefined ? 0 : 1);
    if (ref === undefined) return;
    this.address(ref.address);
    this.number(ref.epoch);
    this.number(ref.weight);
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || scale > Number.MAX_SAFE_INTEGER) throw damaged();
      value += (byte & 127) * scale;
      if (byte < 128) break;
    }
    if (!Number.isSafeInteger(value)) throw damaged();
    return value;
  }

  /** A number of things, each of which takes a byte at least. */
  count(): number {
    const count = this.number();
    if (count > this.#bytes.length - this.#at) throw damaged();
    return count;
  }

  address(): Address {
    if (this.#at + addressBytes > this.#bytes.length) throw damaged();
    const address = addressFromBytes(this.#bytes, this.#at);
    this.#at += addressBytes;
    return address;
  }

  tree(): TreeRef | undefined {
    const present = this.#bytes[this.#at++];
    if (present === 0) return undefined;
    if (present !== 1) throw damaged();
    return { address: this.address(), epoch: this.number(), weight: this.number() };
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw damaged();
  }
}

function damaged(): InfinitError {
  return new InfinitError('damaged', 'the root of an extent map does not decode');
}
