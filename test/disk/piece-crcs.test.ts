import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';

import { offerPieceCrcs } from '../../src/disk/index.ts';
import { pieceCrcs } from '../../src/disk/piece-crcs.ts';
import { fastCrcs } from '../../src/fuse/index.ts';

test('a way that says something else than zlib is not taken', () => {
  assert.equal(
    offerPieceCrcs((_bytes, _pieceBytes, into) => void into.fill(7)),
    false,
  );
});

test('the fast way says of every length, at every place in memory, what zlib says', () => {
  const fast = fastCrcs();
  // Not on this processor.
  if (fast === undefined) return;
  assert.equal(offerPieceCrcs(fast), true);
  const memory = randomBytes(70_000);
  const into = Buffer.alloc(4);
  for (let length = 1; length < 1200; length++) {
    const bytes = memory.subarray(length % 17, (length % 17) + length);
    pieceCrcs(bytes, length, into);
    assert.equal(into.readUInt32LE(0), crc32(bytes), `${length} bytes`);
  }
  for (const [length, pieceBytes] of [
    [65_536, 16_384],
    [65_537, 16_384],
    [70_000, 4093],
  ] as const) {
    const table = Buffer.alloc(4 * Math.ceil(length / pieceBytes));
    pieceCrcs(memory.subarray(0, length), pieceBytes, table);
    for (let at = 0; at < length; at += pieceBytes)
      assert.equal(table.readUInt32LE((4 * at) / pieceBytes), crc32(memory.subarray(at, Math.min(length, at + pieceBytes))));
  }
});
