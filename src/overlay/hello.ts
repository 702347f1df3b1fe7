import { InfinitError } from '../base/index.ts';
import type { Channel } from './transport.ts';

/**
 * The first frame of either side on a stream: who speaks, in which version, for which session. Little-endian:
 *
 * ```
 *  0  4 B  "INFT"                8  u64  session, chosen by the dialler
 *  4  u8   major version        16  u64  incarnation of the process
 *  5  u8   minor version        24  8 B  nonce of the process
 *  6  u8   channel              32  u64  wall clock, milliseconds
 *  7  u8   0                    40  fields of later minor versions, skipped
 * ```
 */
export interface Hello {
  readonly channel: Channel;
  /** Hex of 8 random bytes: the two streams of one session carry the same. */
  readonly session: string;
  readonly process: ProcessId;
  readonly wallMs: number;
  readonly minor: number;
}

/** One run of a host's daemon. */
export interface ProcessId {
  /** Counts the starts with one state directory; below 2^53. */
  readonly incarnation: number;
  /** Hex of 8 random bytes: tells two processes apart that claim to be the same. */
  readonly nonce: string;
}

/**
 * Hosts of one major version understand each other. 2: addresses by BLAKE3, which hosts of before take for damaged (docs/decisions/content-hash.md); the streams
 * keep their ids, so that each side reads the other's hello and says what is the matter.
 */
export const majorVersion = 2;
/** Raised with each addition that older hosts may ignore. */
export const minorVersion = 0;

const magic = Buffer.from('INFT');
const helloBytes = 40;
const channels: readonly Channel[] = ['control', 'bulk'];

export function encodeHello(hello: Omit<Hello, 'minor'>): Uint8Array {
  const bytes = Buffer.alloc(helloBytes);
  magic.copy(bytes);
  bytes[4] = majorVersion;
  bytes[5] = minorVersion;
  bytes[6] = channels.indexOf(hello.channel);
  bytes.write(hello.session, 8, 8, 'hex');
  bytes.writeBigUInt64LE(BigInt(hello.process.incarnation), 16);
  bytes.write(hello.process.nonce, 24, 8, 'hex');
  bytes.writeBigUInt64LE(BigInt(Math.max(0, Math.floor(hello.wallMs))), 32);
  return bytes;
}

/** @throws InfinitError `wrong-version` for another major version, `bad-argument` for anything else that is no hello. */
export function decodeHello(body: Uint8Array): Hello {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.length < 6 || !magic.equals(bytes.subarray(0, 4))) throw new InfinitError('bad-argument', 'the peer does not speak this protocol');
  if (bytes[4] !== majorVersion)
    throw new InfinitError(
      'wrong-version',
      `the peer speaks wire version ${bytes[4]}.${bytes[5]}, this host ${majorVersion}.${minorVersion}: upgrade the older one`,
    );
  const channel = channels[bytes[6] ?? 255];
  if (bytes.length < helloBytes || channel === undefined) throw new InfinitError('bad-argument', 'the peer sent a broken hello');
  return {
    channel,
    session: bytes.toString('hex', 8, 16),
    process: { incarnation: Number(bytes.readBigUInt64LE(16)), nonce: bytes.toString('hex', 24, 32) },
    wallMs: Number(bytes.readBigUInt64LE(32)),
    minor: bytes[5]!,
  };
}
