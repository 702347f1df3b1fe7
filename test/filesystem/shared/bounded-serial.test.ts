import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { deserialize, serialize } from 'node:v8';

import * as fc from 'fast-check';

import { isBoundedSerial } from '../../../src/filesystem/shared/bounded-serial.ts';
import { decodeAnswer, decodeCall, encodeCall, encodeResult } from '../../../src/filesystem/shared/calls.ts';

const head = serialize(0).subarray(0, 2);

function number(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    bytes.push(left < 128 ? left : (left % 128) | 128);
    if (left < 128) return Buffer.from(bytes);
  }
}

const said = (...parts: readonly (string | number)[]): Buffer =>
  Buffer.concat([head, ...parts.map((part) => (typeof part === 'number' ? number(part) : Buffer.from(part, 'latin1')))]);

test('whatever calls and answers are made of passes', () => {
  const holey = Array.from<unknown>({ length: 3 });
  holey[2] = 'x';
  const shared = { a: 1 };
  const values = [
    undefined,
    null,
    true,
    2 ** 53,
    -1,
    2 ** 31,
    1.5,
    Infinity,
    '',
    'ü',
    '漢字',
    new Uint8Array(100_000),
    Buffer.from('x'),
    holey,
    [shared, shared],
    {},
  ];
  for (const value of [...values, values, { value: values }]) assert.ok(isBoundedSerial(serialize(value)), inspect(value));
  assert.deepEqual(decodeCall(encodeCall('write', [1, 2, 3, new Uint8Array(1_000_000), false])).args.length, 5);
  assert.deepEqual(decodeAnswer(encodeResult(values)).value, deserialize(serialize(values)));
});

test('any value of such parts passes, and no byte of it that is another one has V8 take more room than the message has bytes', () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constant(undefined),
      fc.integer(),
      fc.double(),
      fc.string(),
      fc.uint8Array(),
      fc.array(tie('any')),
      fc.dictionary(fc.string(), tie('any')),
    ),
  })).any;
  fc.assert(
    fc.property(value, fc.nat(), fc.nat(255), (some, place, byte) => {
      const bytes = serialize(some);
      assert.ok(isBoundedSerial(bytes));
      bytes[2 + (place % (bytes.length - 2))] = byte;
      if (!isBoundedSerial(bytes)) return;
      try {
        deserialize(bytes);
      } catch {
        // It may be nonsense all the same.
      }
    }),
  );
});

test('arrays that are said to be longer than the message are refused before V8 makes room for them', () => {
  const long = 30_000_000;
  const sparse = ['a', long, '@', 0, long] as const;
  assert.equal(isBoundedSerial(said(...sparse)), false);
  assert.equal(isBoundedSerial(said('A', 2, ...sparse, ...sparse, '$', 0, 2)), false);
  // Each for itself no longer than the message.
  const within = Array.from({ length: 20 }, () => ['A', 1000]).flat();
  assert.equal(isBoundedSerial(said(...within, '_'.repeat(5000))), false);
  assert.equal(isBoundedSerial(said('A\x01'.repeat(100_000))), false);
  assert.throws(() => decodeCall(said(...sparse)), { code: 'bad-argument' });
});

test('what no call has in it is refused: maps, regular expressions, buffers that may grow', () => {
  for (const value of [new Map(), new Set(), /x/, 1n, new ArrayBuffer(1, { maxByteLength: 2 ** 30 })])
    assert.equal(isBoundedSerial(serialize(value)), false);
  for (const bytes of [said(), said('"', 5, 'x'), said('o"\x01a'), new Uint8Array(0)]) assert.equal(isBoundedSerial(bytes), false);
});
