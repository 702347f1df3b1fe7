import { hash } from 'node:crypto';

import { type Address, addressToBytes } from '../block/index.ts';

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/**
 * Where a host stands in the space of keys: SHA-256 of the bytes of its peer id, as in libp2p's Kademlia, so that its
 * look-up of an address finds the very hosts that {@link neighbourhood} would.
 */
export function memberKey(peer: string): Buffer {
  return hash('sha256', base58Bytes(peer) ?? Buffer.from(peer), 'buffer');
}

/** Where an address stands in the space of keys: Kademlia hashes what it is asked for, so that kinds spread evenly. */
export function addressKey(address: Address): Buffer {
  return hash('sha256', addressToBytes(address), 'buffer');
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
