import { hash, randomFillSync } from 'node:crypto';

import { InfinitError } from '../base/index.ts';
import { blake3Hex } from './content-hash.ts';

/**
 * The name of a block: 32 bytes, written as 64 lower-case hex digits, so that it is a map key, prints, and goes into JSON.
 * Byte 0 is format version (high nibble) and kind (low nibble); the other 31 say which block of that kind.
 *
 * - immutable: truncated BLAKE3 of the sealed bytes, so any host can verify and any host can serve (docs/decisions/content-hash.md);
 * - mutable: random;
 * - named: truncated SHA-256 of (owner, name): two hosts that mean the same thing meet at the same block.
 */
export type Address = string & { readonly __brand: 'Address' };

export type BlockKind = 'immutable' | 'mutable' | 'named';

/** Length of an address in bytes. */
export const addressBytes = 32;

/** The one address format so far. */
export const addressVersion = 1;

const kindNibble: Record<BlockKind, number> = { immutable: 0, mutable: 2, named: 3 };
const prefix: Record<BlockKind, string> = { immutable: '10', mutable: '12', named: '13' };
/** Of immutable blocks by SHA-256, as they were written before 28 November 2026: they are read, and none is made. */
const sha256Prefix = '11';
const textLength = 2 * addressBytes;
/** The values of lower-case hex digits by their character codes; of all other characters more than 15. */
const digitValue = new Uint8Array(128).fill(16);
for (let value = 0; value < 16; value++) digitValue[value.toString(16).charCodeAt(0)] = value;

/** Where addresses of immutable blocks end: those of registers are greater. */
export const lastImmutableAddress = (sha256Prefix + 'f'.repeat(textLength - 2)) as Address;

/** The address of an immutable block, from its sealed bytes. */
export function immutableAddress(sealed: Uint8Array): Address {
  return (prefix.immutable + blake3Hex(sealed).slice(0, 62)) as Address;
}

/** Whether these are the sealed bytes of the immutable block of that address. */
export function hashesTo(address: Address, sealed: Uint8Array): boolean {
  const made = address.startsWith(sha256Prefix) ? sha256Prefix + hash('sha256', sealed, 'hex').slice(0, 62) : immutableAddress(sealed);
  return made === address;
}

/** The address that (owner, name) stand for. `owner` is an identity of any length: a volume, a bucket, a cluster. */
export function namedAddress(owner: string, name: string): Address {
  // The length prefix keeps ("ab", "c") and ("a", "bc") apart.
  return (prefix.named + hash('sha256', `${Buffer.byteLength(owner)}:${owner}${name}`, 'hex').slice(0, 62)) as Address;
}

/** A fresh mutable address. `random` (31 bytes) is given by whoever must be deterministic. */
export function mutableAddress(random: Uint8Array = randomFillSync(new Uint8Array(31))): Address {
  return (prefix.mutable + Buffer.from(random).toString('hex').padStart(62, '0').slice(0, 62)) as Address;
}

/** What kind of block an address names. */
export function kindOf(address: Address): BlockKind {
  const nibble = address.charCodeAt(1) - 0x30;
  return nibble === kindNibble.mutable ? 'mutable' : nibble === kindNibble.named ? 'named' : 'immutable';
}

/** True for text that is an address of this format version. */
export function isAddress(text: unknown): text is Address {
  // Each write is checked at each host, often before a regular expression would have been compiled.
  if (typeof text !== 'string' || text.length !== textLength || text.charCodeAt(0) !== 0x30 + addressVersion) return false;
  if (!isKind(text.charCodeAt(1) - 0x30)) return false;
  for (let at = 2; at < textLength; at++) if (!(digitValue[text.charCodeAt(at)]! < 16)) return false;
  return true;
}

function isKind(nibble: number): boolean {
  return nibble >= kindNibble.immutable && nibble <= kindNibble.named;
}

/** True for the address of a block that is a register: mutable, or found by its name. */
export function isRegisterAddress(text: unknown): text is Address {
  return isAddress(text) && kindOf(text) !== 'immutable';
}

/** The address in a text from outside. @throws InfinitError `bad-argument` that names the text. */
export function parseAddress(text: string): Address {
  if (isAddress(text)) return text;
  throw new InfinitError('bad-argument', `"${text.slice(0, 80)}" is not a block address (64 hex digits, the first two 10 to 13)`);
}

/** The 32 bytes of an address, for codecs. */
export function addressToBytes(address: Address): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(addressBytes);
  for (let at = 0; at < addressBytes; at++) bytes[at] = (digitValue[address.charCodeAt(2 * at)]! << 4) | digitValue[address.charCodeAt(2 * at + 1)]!;
  return bytes;
}

/** The address in 32 bytes at `offset`. @throws InfinitError `bad-argument`. */
export function addressFromBytes(bytes: Uint8Array, offset = 0): Address {
  // Checked here: what lies behind the view in its buffer is not the caller's.
  if (bytes.length - offset < addressBytes)
    throw new InfinitError('bad-argument', `a block address has ${addressBytes} bytes, not ${Math.max(0, bytes.length - offset)}`);
  const text =
    bytes instanceof Buffer
      ? bytes.toString('hex', offset, offset + addressBytes)
      : Buffer.from(bytes.buffer, bytes.byteOffset + offset, addressBytes).toString('hex');
  const first = bytes[offset]!;
  return first >> 4 === addressVersion && isKind(first & 0xf) ? (text as Address) : parseAddress(text);
}
