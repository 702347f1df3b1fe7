import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';

/** Level 1: the level at which compressing keeps up with disks. */
const options = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** Smaller bodies gain less than a disk's sector. */
const minBytes = 512;
/** What compressing must save to be worth the time of every later read: one part in so many. */
const worthwhilePart = 16;

/** The body as a zstd frame; undefined where that does not pay. */
export function compressed(body: Uint8Array): Uint8Array | undefined {
  if (body.length < minBytes) return undefined;
  const frame = zstdCompressSync(body, options);
  return frame.length <= body.length - body.length / worthwhilePart ? frame : undefined;
}

/** The body of a frame. @throws where it is no frame of exactly `length` bytes; never makes more than that. */
export function decompressed(frame: Uint8Array, length: number): Uint8Array {
  const body = zstdDecompressSync(frame, { maxOutputLength: length });
  if (body.length !== length) throw new RangeError(`${body.length} bytes came out, not ${length}`);
  return body;
}
