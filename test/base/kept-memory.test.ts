import assert from 'node:assert/strict';
import { test } from 'node:test';

import { keptCopy, keptMemory } from '../../src/base/index.ts';

test('small things that are kept share memory, and none lies over another', () => {
  const copies = Array.from({ length: 200 }, (_, index) => keptCopy(new Uint8Array(300).fill(index)));
  for (const [index, copy] of copies.entries()) assert.deepEqual(copy, new Uint8Array(300).fill(index));
  assert.ok(new Set(copies.map(({ buffer }) => buffer)).size < copies.length / 10, 'several in one piece');
});

test('what is longer has memory of its own, so that it keeps nothing else alive', () => {
  assert.equal(keptMemory(4096).buffer.byteLength, 4096);
  assert.equal(keptCopy(new Uint8Array(0)).length, 0);
});
