import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

import { InfinitError } from '../../base/index.ts';

/** What precedes the 32 bytes of an Ed25519 key in its DER form (RFC 8410). */
const privatePrefix = Buffer.from('302e020100300506032b657004220420', 'hex');
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex');
export const keyBytes = 32;
export const signatureBytes = 64;

/** An Ed25519 key pair: a host's, a cluster's or an invitation's. The seed is the secret. */
export class KeyPair {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;
  readonly #seed: Uint8Array;

  /** @throws InfinitError `bad-argument` for a seed that has not 32 bytes. */
  constructor(seed: Uint8Array) {
    if (seed.length !== keyBytes) throw new InfinitError('bad-argument', `a key has ${keyBytes} bytes, not ${seed.length}`);
    this.#seed = Uint8Array.from(seed);
    this.#key = createPrivateKey({ key: Buffer.concat([privatePrefix, seed]), format: 'der', type: 'pkcs8' });
    this.publicKey = Uint8Array.from(createPublicKey(this.#key).export({ format: 'der', type: 'spki' }).subarray(publicPrefix.length));
  }

  /** The secret, 32 bytes, for the key file and for libp2p. Private fields do not show when an object is printed. */
  get seed(): Uint8Array {
    return this.#seed;
  }

  /** The 64 bytes of an Ed25519 signature. */
  sign(bytes: Uint8Array): Uint8Array {
    return sign(null, bytes, this.#key);
  }
}

/** Whether the signature over the bytes was made with the private half of an Ed25519 public key (32 bytes). */
export function verifySignature(publicKey: Uint8Array, bytes: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== keyBytes || signature.length !== signatureBytes) return false;
  try {
    return verify(null, bytes, createPublicKey({ key: Buffer.concat([publicPrefix, publicKey]), format: 'der', type: 'spki' }), signature);
  } catch {
    return false; // not a point on the curve
  }
}
