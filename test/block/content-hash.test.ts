import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blake3Hex, portableBlake3 } from '../../src/block/content-hash.ts';

test('native code and JavaScript agree, across all borders of chunks and subtrees, also in shared memory', async () => {
  const portable = await portableBlake3();
  // As in the test vectors of the reference implementation: bytes that count to 250.
  const shared = new Uint8Array(new SharedArrayBuffer(300_001));
  for (let at = 0; at < shared.length; at++) shared[at] = at % 251;
  for (const length of [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 4096, 5121, 16_384, 31_744, 102_400, 300_000]) {
    const bytes = shared.subarray(1, length + 1);
    assert.equal(blake3Hex(bytes), portable(Uint8Array.from(bytes)), `${length} bytes`);
  }
});

test('the reference implementation’s vectors', () => {
  assert.equal(blake3Hex(new Uint8Array(0)), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
  assert.equal(blake3Hex(Uint8Array.of(0)), '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213');
});

test('what is hashed is not changed, and one after another do not mix', () => {
  const bytes = Uint8Array.of(1, 2, 3);
  const first = blake3Hex(bytes);
  blake3Hex(Uint8Array.of(9));
  assert.equal(blake3Hex(bytes), first);
  assert.deepEqual([...bytes], [1, 2, 3]);
});
