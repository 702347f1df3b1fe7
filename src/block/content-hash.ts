import { InfinitError } from '../base/index.ts';

/** Native code that hashes; its module throws where it has no build for this platform. */
interface Hasher {
  reset(): void;
  update(bytes: Uint8Array): unknown;
  digest(format: 'hex'): string;
}

/**
 * BLAKE3 (O’Connor and others, 2020) of some bytes, as 64 hex digits: with the processor's widest instructions some 9 GB/s, where SHA-256 with
 * those made for it does 1.8 (docs/decisions/content-hash.md).
 */
export const blake3Hex: (bytes: Uint8Array) => string = await nativeBlake3()
  .catch(portableBlake3)
  .catch(() => noBlake3);

async function nativeBlake3(): Promise<(bytes: Uint8Array) => string> {
  const { Blake3Hasher } = await import('@napi-rs/blake-hash');
  // Used again for each block: to make one costs as much as to hash 64 KiB.
  const hasher: Hasher = new Blake3Hasher();
  return (bytes) => {
    hasher.reset();
    hasher.update(bytes);
    return hasher.digest('hex');
  };
}

/** The same in JavaScript, for platforms without a native build: right, and a hundred times slower. */
export async function portableBlake3(): Promise<(bytes: Uint8Array) => string> {
  const { blake3 } = await import('@noble/hashes/blake3.js');
  return (bytes) => Buffer.from(blake3(bytes)).toString('hex');
}

/** The client of programs elsewhere has no dependencies, and nothing to hash: the daemon does. */
function noBlake3(): never {
  throw new InfinitError('bug', 'a program without the modules that hash hashes a block');
}
