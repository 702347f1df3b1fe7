import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';

import { type CallTag, encodeCall, maxAskedBytes } from '../../../src/filesystem/shared/calls.ts';
import { largeAnswerTo } from '../../../src/filesystem/shared/large-answers.ts';

const mebibyte = 1024 * 1024;
const tag: CallTag = { asker: 'a', number: 2 ** 40, again: false, memory: '', gave: [1, 2 ** 40], calls: 1, answered: [] };

test('what asks for much is known by its method and numbers, with a tag and a term or without', () => {
  for (const [own, term] of [
    [undefined, undefined],
    [tag, undefined],
    [undefined, 'term'],
    [tag, 'term'],
  ] as const) {
    assert.deepEqual(largeAnswerTo(encodeCall('read', [2 ** 50, 7, 2 ** 44, mebibyte], own, term)), { sort: 'read', bytes: mebibyte });
    assert.deepEqual(largeAnswerTo(encodeCall('readLent', [1, 'loan', 0, mebibyte], own, term)), { sort: 'readLent', bytes: mebibyte });
    assert.deepEqual(largeAnswerTo(encodeCall('images', [[1, 2, 3], mebibyte], own, term)), { sort: 'images', bytes: 3 * mebibyte });
    assert.equal(largeAnswerTo(encodeCall('read', [1, 2, 0, 4096], own, term)), undefined);
    assert.equal(largeAnswerTo(encodeCall('write', [1, 2, 0, new Uint8Array(mebibyte), false], own, term)), undefined);
    assert.equal(largeAnswerTo(encodeCall('getattr', [1], own, term)), undefined);
    assert.equal(largeAnswerTo(encodeCall('read', [1, 2, 0, 2 * maxAskedBytes], own, term)), undefined, 'it is refused, which is a small answer');
  }
});

test('a call that is written in another way counts for as much as there can be', () => {
  const plain = encodeCall('read', [1, 2, 0, mebibyte]);
  const most = { sort: '', bytes: maxAskedBytes };
  // The name in two bytes a letter; the length of the array in more bytes than it takes; padding before it.
  const name = Buffer.concat([Buffer.from('c'), Buffer.from([8]), Buffer.from('read', 'utf16le')]);
  assert.deepEqual(largeAnswerTo(Buffer.concat([plain.subarray(0, 4), name, plain.subarray(10)])), most);
  assert.deepEqual(largeAnswerTo(Buffer.concat([plain.subarray(0, 3), Buffer.from([0x85, 0]), plain.subarray(4)])), most);
  assert.deepEqual(largeAnswerTo(Buffer.concat([plain.subarray(0, 2), Buffer.from([0]), plain.subarray(2)])), most);
  for (const bytes of [new Uint8Array(0), serialize({}), plain.subarray(0, 3)]) assert.deepEqual(largeAnswerTo(bytes), most);
});
