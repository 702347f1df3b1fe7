import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject } from 'node:crypto';

import { assert, copyBytes, InfinitError, readU64, writeU64 } from '../base/index.ts';
import { type Address, hashesTo, immutableAddress } from './address.ts';
import { compressed, decompressed } from './compression.ts';

/**
 * What lies in a sealed block, little-endian (docs/on-disk-format.md):
 *
 * ```
 *  0  u8   format version (1)          8  16 B  volume (bucket) id
 *  1  u8   suite: 0 plain, 1 AES-GCM   24 u64   inode number
 *  2  u8   compression: 0, 1 zstd      32 u32   snapshot epoch
 *  3  u8   0                           36 u32   writer session
 *  4  u32  length of the open body     40 u64   sequence number in that session
 * 48  body | 12 B nonce, ciphertext, 16 B tag
 * ```
 *
 * A compressed body is one zstd frame, made before it is encrypted. The 48 bytes are in the clear, so that scrub can tell whose block it is without a key, and are authenticated (AAD) under AES.
 * (session, sequence) makes each sealed block unique: a block has exactly one owner and can be dropped without counting references.
 */
export interface OwnerTag {
  /** 16 bytes. */
  readonly volume: Uint8Array;
  /** Below 2^53. */
  readonly inode: number;
  readonly epoch: number;
  /** Number of the writer's mount session. */
  readonly session: number;
  /** Counts the blocks that this session sealed; below 2^53. */
  readonly sequence: number;
}

/** An open block. */
export interface OpenBlock {
  readonly owner: OwnerTag;
  readonly body: Uint8Array;
}

/** Bytes that {@link ownerOf} reads. */
export const headerBytes = 48;
const ownerOffset = 8;
const nonceBytes = 12;
const tagBytes = 16;
/** What sealing adds to a body at the most. */
export const sealOverheadBytes = headerBytes + nonceBytes + tagBytes;

const suitePlain = 0;
const suiteAesGcm = 1;
const compressionNone = 0;
const compressionZstd = 1;
const formatVersion = 1;
/** The longest body that a compressed block may claim: memory is reserved on its word. */
const maxUnpackedBytes = 4 * 1024 * 1024;
/** Below this a copy is cheaper than memory of its own. */
const minSharedBytes = 32 * 1024;
/** HKDF without a salt takes as many zeroes as a hash has bytes. */
const noSalt = Buffer.alloc(32);
/** Derived keys kept at hand. */
const maxCachedKeys = 4096;

/**
 * Seals and opens the blocks of one volume (or bucket). Without a key the suite is plain: hashed and checked, not secret.
 * With one it is AES-256-GCM under a key derived for each inode, so that a host that holds blocks can neither read nor forge them.
 */
export class Sealer {
  /** What HKDF extracts from the volume's key. */
  readonly #extracted: KeyObject | undefined;
  readonly #compress: boolean;
  readonly #keys = new Map<number, Buffer>();

  /**
   * @param volumeKey 32 bytes, or undefined for the plain suite.
   * @param compress whether immutable blocks that shrink by it are compressed; what was compressed is opened either way.
   */
  constructor(volumeKey?: Uint8Array, compress = false) {
    if (volumeKey !== undefined && volumeKey.length !== 32)
      throw new InfinitError('bad-argument', `a volume key has 32 bytes, not ${volumeKey.length}`);
    this.#extracted = volumeKey === undefined ? undefined : createSecretKey(createHmac('sha256', noSalt).update(volumeKey).digest());
    this.#compress = compress;
  }

  /** Where an open body begins in each of the volume's immutable blocks; undefined where bodies do not lie open in them. */
  get bareOffset(): number | undefined {
    return this.#extracted === undefined && !this.#compress ? headerBytes : undefined;
  }

  /** The sealed immutable block of a body, with its address; in `memory` where that has room. */
  seal(owner: OwnerTag, body: Uint8Array, memory?: Uint8Array): { address: Address; sealed: Uint8Array } {
    const frame = this.#compress ? compressed(body) : undefined;
    const sealed = this.#seal(owner, body, '', frame, memory);
    return { address: immutableAddress(sealed), sealed };
  }

  /** Checks and opens what {@link seal} made. @throws InfinitError `damaged`, `wrong-key`, `wrong-version`. */
  open(address: Address, sealed: Uint8Array): OpenBlock {
    if (!hashesTo(address, sealed)) throw new InfinitError('damaged', `block ${address} does not hash to its address`);
    return this.#open(address, sealed, '');
  }

  /**
   * Opens what the block store's `get` gave: it has checked the bytes already, against the hash where they came from another host,
   * against the record's CRC where they come from this host's disk. Hashing 1 MiB again would cost more than all else of a read.
   */
  openChecked(address: Address, sealed: Uint8Array): OpenBlock {
    return this.#open(address, sealed, '');
  }

  /** The payload of a mutable or named block, in `memory` where that has room; under AES it is bound to the address, so that no host can serve one block as another. */
  sealPayload(address: Address, owner: OwnerTag, body: Uint8Array, memory?: Uint8Array): Uint8Array {
    return this.#seal(owner, body, address, undefined, memory);
  }

  /** Opens what {@link sealPayload} made. @throws InfinitError `damaged`, `wrong-key`, `wrong-version`. */
  openPayload(address: Address, payload: Uint8Array): OpenBlock {
    return this.#open(address, payload, address);
  }

  #seal(owner: OwnerTag, body: Uint8Array, binding: string, frame?: Uint8Array, memory?: Uint8Array): Uint8Array {
    const secret = this.#extracted !== undefined;
    const kept = frame ?? body;
    const bytes = headerBytes + kept.length + (secret ? nonceBytes + tagBytes : 0);
    const sealed =
      memory === undefined || memory.length < bytes ? allocate(bytes, binding === '') : Buffer.from(memory.buffer, memory.byteOffset, bytes);
    writeHeader(sealed, secret ? suiteAesGcm : suitePlain, frame === undefined ? compressionNone : compressionZstd, owner, body.length);
    if (!secret) {
      copyBytes(kept, sealed, headerBytes);
      return sealed;
    }
    // A session never repeats a sequence number and the key is the inode's own: the nonce is unique without randomness.
    const nonce = sealed.subarray(headerBytes, headerBytes + nonceBytes);
    sealed.copy(nonce, 0, 36, 48);
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(owner.inode), nonce);
    cipher.setAAD(Buffer.concat([sealed.subarray(0, headerBytes), Buffer.from(binding)]));
    copyBytes(cipher.update(kept), sealed, headerBytes + nonceBytes);
    cipher.final();
    cipher.getAuthTag().copy(sealed, sealed.length - tagBytes);
    return sealed;
  }

  #open(address: Address, sealed: Uint8Array, binding: string): OpenBlock {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (bytes.length < headerBytes) throw new InfinitError('damaged', `block ${address} is cut short: ${bytes.length} bytes`);
    if (bytes[0] !== formatVersion)
      throw new InfinitError('wrong-version', `block ${address} has format ${bytes[0]}; this host reads ${formatVersion}: upgrade it`);
    // Under a key these bytes are authenticated; without one, what this release does not know must not pass for plain.
    if (bytes[1]! > suiteAesGcm || bytes[2]! > compressionZstd || bytes[3] !== 0)
      throw new InfinitError(
        'wrong-version',
        `block ${address} has suite ${bytes[1]}, compression ${bytes[2]}, which this host does not read: upgrade it`,
      );
    const owner = readOwner(bytes);
    const length = bytes.readUInt32LE(4);
    const secret = bytes[1] === suiteAesGcm;
    const packed = bytes[2] === compressionZstd;
    const kept = bytes.length - headerBytes - (secret ? nonceBytes + tagBytes : 0);
    if (packed ? kept <= 0 || kept >= length || length > maxUnpackedBytes : kept !== length)
      throw new InfinitError('damaged', `block ${address} has a wrong length`);
    if (!secret) {
      if (this.#extracted !== undefined)
        throw new InfinitError('wrong-key', `block ${address} is not encrypted, its volume is: refused as a forgery`);
      const body = bytes.subarray(headerBytes);
      return { owner, body: packed ? unpack(address, body, length) : body };
    }
    if (this.#extracted === undefined) throw new InfinitError('wrong-key', `block ${address} is encrypted: the volume's key is needed`);
    const start = headerBytes + nonceBytes;
    const decipher = createDecipheriv('aes-256-gcm', this.#keyOf(owner.inode), bytes.subarray(headerBytes, start));
    decipher.setAAD(Buffer.concat([bytes.subarray(0, headerBytes), Buffer.from(binding)]));
    decipher.setAuthTag(bytes.subarray(bytes.length - tagBytes));
    let body: Uint8Array;
    try {
      body = decipher.update(bytes.subarray(start, bytes.length - tagBytes));
      decipher.final();
    } catch (cause) {
      throw new InfinitError('wrong-key', `block ${address} does not open: wrong key or forged`, { cause });
    }
    return { owner, body: packed ? unpack(address, body, length) : body };
  }

  /** HKDF-SHA-256 with the info `infinit inode <number>`: its first step once, its second, which is one HMAC, for each inode. `hkdfSync` takes three times as long. */
  #keyOf(inode: number): Buffer {
    let key = this.#keys.get(inode);
    if (key === undefined) {
      assert(this.#extracted !== undefined, 'keys are derived only for encrypted volumes');
      if (this.#keys.size >= maxCachedKeys) this.#keys.clear();
      key = createHmac('sha256', this.#extracted).update(`infinit inode ${inode}\x01`, 'latin1').digest();
      this.#keys.set(inode, key);
    }
    return key;
  }
}

function unpack(address: Address, frame: Uint8Array, length: number): Uint8Array {
  try {
    return decompressed(frame, length);
  } catch (cause) {
    throw new InfinitError('damaged', `block ${address} cannot be decompressed`, { cause });
  }
}

/** The open body within sealed bytes, where it stands there as it is: neither encrypted nor compressed. */
export function bareBody(sealed: Uint8Array): Uint8Array | undefined {
  return sealed[1] === suitePlain && sealed[2] === compressionNone ? sealed.subarray(headerBytes) : undefined;
}

/**
 * Large immutable blocks lie in shared memory: they cross to the thread of the disk without a copy. Payloads of mutable ones do not: there they are kept until a newer one comes, and V8
 * counts shared memory in no thread's heap, so whatever amount of it is garbage is no reason to collect.
 */
function allocate(bytes: number, immutable: boolean): Buffer<ArrayBufferLike> {
  return !immutable || bytes < minSharedBytes ? Buffer.allocUnsafeSlow(bytes) : Buffer.from(new SharedArrayBuffer(bytes));
}

/** Whose block it is, from the clear header of sealed bytes: what scrub reads. @throws InfinitError `damaged`. */
export function ownerOf(sealed: Uint8Array): OwnerTag {
  if (sealed.length < headerBytes || sealed[0] !== formatVersion) throw new InfinitError('damaged', 'not a sealed block of this format');
  return readOwner(Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength));
}

/** Whether sealed bytes carry the owner's tag. What is no sealed block belongs to nobody. */
export function isOwnedBy(sealed: Uint8Array, volume: Uint8Array): boolean {
  if (sealed.length < headerBytes || sealed[0] !== formatVersion) return false;
  for (let at = 0; at < volume.length; at++) if (sealed[ownerOffset + at] !== volume[at]) return false;
  return true;
}

function writeHeader(into: Buffer, suite: number, compression: number, owner: OwnerTag, length: number): void {
  assert(owner.volume.length === 16, 'a volume id has 16 bytes');
  into[0] = formatVersion;
  into[1] = suite;
  into[2] = compression;
  into[3] = 0;
  into.writeUInt32LE(length, 4);
  into.set(owner.volume, ownerOffset);
  writeU64(into, owner.inode, 24);
  into.writeUInt32LE(owner.epoch, 32);
  into.writeUInt32LE(owner.session, 36);
  writeU64(into, owner.sequence, 40);
}

function readOwner(bytes: Buffer): OwnerTag {
  return {
    volume: bytes.subarray(ownerOffset, 24),
    inode: readU64(bytes, 24),
    epoch: bytes.readUInt32LE(32),
    session: bytes.readUInt32LE(36),
    sequence: readU64(bytes, 40),
  };
}
