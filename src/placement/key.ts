import { hash } from 'node:crypto';

import { type Address, addressBytes } from '../block/index.ts';

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/**
 * A place in the space of keys: 32 characters of one byte each. As text it is compact, and its order as text is its order
 * as a number.
 */
export type Key = string;

/**
 * Where a host stands: SHA-256 of the bytes of its peer id, as in libp2p's Kademlia, so that its look-up of an address finds
 * the very hosts that placement takes for the neighbourhood.
 */
export function memberKey(peer: string): Key {
  return hash('sha256', base58Bytes(peer) ?? peer, 'binary');
}

const addressScratch = Buffer.alloc(addressBytes);

/** Where an address stands: Kademlia hashes what it is asked for, so that kinds of blocks spread evenly. */
export function addressKey(address: Address): Key {
  addressScratch.write(address, 'hex');
  return hash('sha256', addressScratch, 'binary');
}

/** Bits 32 × `index` and on of a key, as a signed number. */
export function keyWord(key: Key, index: number): number {
  const at = index * 4;
  return (key.charCodeAt(at) << 24) | (key.charCodeAt(at + 1) << 16) | (key.charCodeAt(at + 2) << 8) | key.charCodeAt(at + 3);
}

/** The bytes of a base58btc text (a peer id); undefined for any other name, which then stands for itself. */
function base58Bytes(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const character of text) {
    let carry = alphabet.indexOf(character);
    if (carry < 0) return undefined;
    for (let index = 0; index < bytes.length; index++) {
      carry += bytes[index]! * 58;
      bytes[index] = carry & 0xff;
      carry >>= 8;
    }
    if (carry > 0) bytes.push(carry);
  }
  for (let index = 0; text[index] === '1'; index++) bytes.push(0);
  return Uint8Array.from(bytes.toReversed());
}
