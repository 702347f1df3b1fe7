import { InfinitError, transientMemory } from '../base/index.ts';
import type { PeerId } from './ballot.ts';
import { maxCount, maxNameLength } from './limits.ts';

/** Bytes of everything but the value: grows to the largest message, which the limits bound. */
let scratch = Buffer.allocUnsafe(4096);

/** Bytes up to which a head is copied one by one. */
const shortHead = 128;

/** Hosts whose names are kept as bytes and as text: far more than there are in a cluster. */
const maxKnownPeers = 1024;
/** Every message names the same few hosts. */
const peerBytes = new Map<PeerId, Buffer>();
/** By some of its bytes: a name that comes again is the same string, so that what is kept shares it and comparing it is comparing pointers. */
const peerNames: ({ readonly name: PeerId; readonly bytes: Buffer } | undefined)[] = Array.from({ length: maxKnownPeers });

function bytesOfPeer(peer: PeerId): Buffer {
  let bytes = peerBytes.get(peer);
  if (bytes === undefined) {
    if (peerBytes.size >= maxKnownPeers) peerBytes.clear();
    bytes = Buffer.from(peer, 'latin1');
    peerBytes.set(peer, bytes);
  }
  return bytes;
}

/**
 * Writes the head of a message or state. One at a time: finish it before the next is begun. Numbers are LEB128; a peer is written out at its
 * first mention and by its index afterwards, for the same few peers come again and again.
 */
export class Writer {
  #at = 0;
  #peers: PeerId[] = [];

  byte(value: number): void {
    this.#reserve(1);
    scratch[this.#at++] = value;
  }

  /** A whole number from 0 to {@link maxCount}. */
  number(value: number): void {
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      scratch[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    scratch[this.#at++] = rest;
  }

  name(value: string): void {
    const { length } = value;
    this.#reserve(length + 2);
    this.number(length);
    this.#at += scratch.write(value, this.#at, length, 'latin1');
  }

  peer(peer: PeerId): void {
    const index = this.#peers.indexOf(peer);
    this.number(index + 1);
    if (index >= 0) return;
    this.#peers.push(peer);
    const bytes = bytesOfPeer(peer);
    this.#reserve(bytes.length + 2);
    this.number(bytes.length);
    scratch.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  peers(peers: readonly PeerId[]): void {
    this.number(peers.length);
    for (const peer of peers) this.peer(peer);
  }

  /** The head alone, in memory that it shares with other short-lived things. */
  finish(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.#at);
    this.#copyTo(bytes);
    return bytes;
  }

  /** The head and the value in one piece; in memory as {@link finish}. */
  finishWith(value: Uint8Array): Uint8Array {
    const bytes = transientMemory(this.#at + value.length);
    this.#copyTo(bytes);
    if (value.length > 0) bytes.set(value, this.#at);
    return bytes;
  }

  /** Heads are short mostly: a loop is faster then than calls that leave the engine's code. */
  #copyTo(bytes: Uint8Array): void {
    const length = this.#at;
    if (length > shortHead) bytes.set(scratch.subarray(0, length));
    else for (let index = 0; index < length; index++) bytes[index] = scratch[index]!;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= scratch.length) return;
    const larger = Buffer.allocUnsafe(Math.max(scratch.length * 2, this.#at + bytes));
    scratch.copy(larger);
    scratch = larger;
  }
}

/** What becomes of a value that was read: it lies in the bytes that are read, which may be of a larger buffer. */
export type Keep = (value: Uint8Array) => Uint8Array;
const asItIs: Keep = (value) => value;

const nobody: readonly PeerId[] = [];
/** Sets of hosts that are kept: of few hosts there are few, though blocks name them in different orders. */
const maxKnownSets = 256;
/** By the ends of its names: a set that comes again is the same array, which all kept records with it share. */
const peerSets: (readonly PeerId[] | undefined)[] = Array.from({ length: maxKnownSets });

const printable = /^[!-~]*$/;

/** Refuses what is not laid out as a {@link Writer} would, byte for byte. Everything thrown is an InfinitError. */
export class Reader {
  readonly #bytes: Buffer;
  readonly #what: string;
  readonly #keep: Keep;
  #at = 0;
  #peers: PeerId[] = [];

  constructor(bytes: Uint8Array, what: string, keep: Keep = asItIs) {
    this.#keep = keep;
    this.#bytes = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#what = what;
  }

  refuse(why: string): never {
    throw new InfinitError('bad-argument', `${this.#what}: ${why} at byte ${this.#at}`);
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) this.refuse('cut short');
    this.#at++;
    return value;
  }

  flag(): boolean {
    const value = this.byte();
    if (value > 1) this.refuse('a flag is neither 0 nor 1');
    return value === 1;
  }

  number(max = maxCount): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (value > max) this.refuse(`a number is over its limit of ${max}`);
      if (byte < 0x80) {
        if (byte === 0 && scale > 1) this.refuse('a number has a needless digit');
        return value;
      }
      if (scale > maxCount) this.refuse('a number has too many digits');
    }
  }

  name(): string {
    return this.#text(this.#endOfName());
  }

  #endOfName(): number {
    const length = this.number(maxNameLength);
    const end = this.#at + length;
    if (length === 0) this.refuse('an empty name');
    if (end > this.#bytes.length) this.refuse('cut short');
    return end;
  }

  #text(end: number): string {
    const text = this.#bytes.toString('latin1', this.#at, end);
    if (!printable.test(text)) this.refuse('a name is not printable ASCII');
    this.#at = end;
    return text;
  }

  peer(): PeerId {
    const index = this.number(this.#peers.length);
    if (index > 0) return this.#peers[index - 1]!;
    const peer = this.#peerName();
    if (this.#peers.includes(peer)) this.refuse('a peer is written out twice');
    this.#peers.push(peer);
    return peer;
  }

  #peerName(): PeerId {
    const end = this.#endOfName();
    // What precedes the name's last byte is there: its length at the least.
    const place = (this.#bytes[end - 1]! | (this.#bytes[end - 2]! << 8)) % maxKnownPeers;
    const known = peerNames[place];
    if (known !== undefined && this.#isNext(known.bytes, end)) {
      this.#at = end;
      return known.name;
    }
    const bytes = Buffer.from(this.#bytes.subarray(this.#at, end));
    const name = this.#text(end);
    peerNames[place] = { name, bytes };
    return name;
  }

  #isNext(bytes: Buffer, end: number): boolean {
    const from = this.#at;
    const { length } = bytes;
    if (from + length !== end) return false;
    for (let at = 0; at < length; at++) if (this.#bytes[from + at] !== bytes[at]) return false;
    return true;
  }

  /** Peers, none of them twice. */
  peers(min: number, max: number): readonly PeerId[] {
    const count = this.number(max);
    if (count < min) this.refuse('a set of peers is too small');
    if (count === 0) return nobody;
    const peers: PeerId[] = [];
    let place = 0;
    for (let index = 0; index < count; index++) {
      const peer = this.peer();
      if (peers.includes(peer)) this.refuse('a peer is in a set twice');
      peers.push(peer);
      place = (place * 31 + peer.charCodeAt(peer.length - 1)) % maxKnownSets;
    }
    const known = peerSets[place];
    if (known !== undefined && areSame(known, peers)) return known;
    peerSets[place] = peers;
    return peers;
  }

  /** The rest: what `keep` makes of it. */
  rest(length: number): Uint8Array {
    if (this.#bytes.length - this.#at !== length) this.refuse('the value has another length than announced');
    const value = new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + this.#at, length);
    this.#at = this.#bytes.length;
    return this.#keep(value);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) this.refuse('bytes after the end');
  }
}

function areSame(a: readonly PeerId[], b: readonly PeerId[]): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
