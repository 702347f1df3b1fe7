import assert from 'node:assert/strict';
import { test } from 'node:test';

import { transientMemory } from '../../src/base/index.ts';

test('no two pieces of transient memory overlap, and many share one buffer', () => {
  const pieces = Array.from({ length: 300 }, (_, index) => transientMemory((index * 379) % 9000).fill(index % 251));
  for (const [index, piece] of pieces.entries()) {
    assert.equal(piece.length, (index * 379) % 9000);
    assert.ok(piece.every((byte) => byte === index % 251));
  }
  const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
  const buffers = new Set(pieces.map(({ buffer }) => buffer));
  assert.ok(buffers.size < pieces.length / 5);
  assert.ok([...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0) < 2 * bytes);
});

test('a long piece has memory of its own', () => {
  const long = transientMemory(20_000);
  assert.deepEqual([long.length, long.buffer.byteLength, long.byteOffset], [20_000, 20_000, 0]);
});
