import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { copyBytes } from '../../src/base/index.ts';

test('bytes are copied whole, between memory of either kind, and touch nothing else', () => {
  for (const make of [(length: number) => new ArrayBuffer(length), (length: number) => new SharedArrayBuffer(length)]) {
    for (const [start, length] of [
      [0, 10],
      [3, 10_000],
      [0, 10_000],
      [5, 4096],
    ] as const) {
      for (const behind of [0, 7]) {
        const source = new Uint8Array(make(start + length + behind));
        source.set(randomBytes(source.length));
        const from = source.subarray(start, start + length);
        const target = new Uint8Array(new SharedArrayBuffer(length + 20)).fill(9);
        copyBytes(from, target, 11);
        assert.deepEqual(Array.from(target.subarray(11, 11 + length)), Array.from(from));
        assert.ok([...target.subarray(0, 11), ...target.subarray(11 + length)].every((byte) => byte === 9));
      }
    }
  }
  assert.throws(() => copyBytes(new Uint8Array(5000), new Uint8Array(5000), 1), /room/);
});
