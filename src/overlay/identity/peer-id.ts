import { InfinitError } from '../../base/index.ts';
import type { PeerId } from '../transport.ts';
import { keyBytes } from './key-pair.ts';

/**
 * libp2p's peer id of an Ed25519 key: base58btc over an identity multihash (0x00, length) of the key's protobuf (type 1, 32 bytes).
 * It contains the public key, so a peer id alone is enough to verify what its host signed.
 */
const prefix = Buffer.from('002408011220', 'hex');
const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** @param publicKey 32 bytes. */
export function peerIdOf(publicKey: Uint8Array): PeerId {
  return base58(Buffer.concat([prefix, publicKey]));
}

/** The public key within a peer id. @throws InfinitError `bad-argument` for what is no peer id of an Ed25519 key. */
export function publicKeyOf(peer: PeerId): Uint8Array {
  const bytes = fromBase58(peer, prefix.length + keyBytes);
  if (bytes === undefined || !prefix.equals(bytes.subarray(0, prefix.length)))
    throw new InfinitError('bad-argument', `"${peer.slice(0, 80)}" is not the id of a host`);
  return bytes.subarray(prefix.length);
}

function base58(bytes: Uint8Array): string {
  const digits: number[] = [];
  for (const byte of bytes) {
    let carry = byte;
    for (let index = 0; index < digits.length; index++) {
      carry += digits[index]! << 8;
      digits[index] = carry % 58;
      carry = Math.floor(carry / 58);
    }
    for (; carry > 0; carry = Math.floor(carry / 58)) digits.push(carry % 58);
  }
  let zeros = 0;
  while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
  return (
    '1'.repeat(zeros) +
    digits
      .toReversed()
      .map((digit) => alphabet[digit])
      .join('')
  );
}

function fromBase58(text: string, length: number): Uint8Array | undefined {
  // Base 58 needs at most 1.37 characters a byte; what is longer is not worth reading.
  if (text.length > length * 1.4) return undefined;
  const bytes = new Uint8Array(length);
  for (const character of text) {
    let carry = alphabet.indexOf(character);
    if (carry < 0) return undefined;
    for (let index = length - 1; index >= 0; index--) {
      carry += bytes[index]! * 58;
      bytes[index] = carry & 0xff;
      carry >>= 8;
    }
    if (carry > 0) return undefined;
  }
  return base58(bytes) === text ? bytes : undefined;
}
