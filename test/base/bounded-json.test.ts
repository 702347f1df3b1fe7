import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { boundedJson } from '../../src/base/index.ts';

const parsed = (text: string): unknown => boundedJson(Buffer.from(text));
const tooLarge = { code: 'bad-argument', message: /more fields, elements or lists/ };

test('what is JSON is read as JSON, whatever its texts hold', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 8 }), (text) => {
      assert.deepEqual(parsed(text), JSON.parse(text));
    }),
  );
  const texts = ['"', '\\', '\\"', '[[[[[[[[[[[[[[[[[[[[[', '{"a":', '\\\\"[', 'ü[', ''];
  assert.deepEqual(parsed(JSON.stringify({ texts })), { texts });
});

test('what is none is refused', () => {
  for (const text of ['', '{', '"', '"\\"', '[1,]', '\u0000']) assert.throws(() => parsed(text), { code: 'bad-argument', message: /no JSON/ }, text);
});

test('what takes long to take apart is refused before that is tried', (t) => {
  const parse = t.mock.method(JSON, 'parse');
  const repeated = (text: string, count: number): string => text.repeat(count);
  assert.throws(() => parsed(repeated('[', 17) + repeated(']', 17)), tooLarge);
  assert.throws(() => parsed(repeated('[', 2_500_000)), tooLarge);
  assert.throws(() => parsed(`[${repeated('[],', 300_000)}0]`), tooLarge);
  assert.throws(() => parsed(`{${repeated('"a":0,', 70_000)}"b":0}`), tooLarge);
  const objects = Array.from({ length: 9000 }, (_, index) => ({ [`name${index}`]: 0 }));
  assert.throws(() => parsed(JSON.stringify(objects)), tooLarge);
  assert.throws(() => parsed(`[${repeated(String.raw`"\n\"",`, 40_000)}0]`), tooLarge);
  assert.equal(parse.mock.callCount(), 0);
});

test('a list of many objects of one shape is read, and an object with a field for each host', () => {
  const list = Array.from({ length: 8192 }, (_, index) => ({
    id: String(index),
    rights: ['store'],
    expiresMs: index,
    uses: 1,
    revoked: false,
    hosts: ['a "host"'],
    peers: [],
  }));
  assert.deepEqual(parsed(JSON.stringify(list)), list);
  const byHost = Object.fromEntries(Array.from({ length: 4096 }, (_, index) => [`12D3KooW${index}`, { most: index }]));
  assert.deepEqual(parsed(JSON.stringify(byHost)), byHost);
});

test('a summary of the largest roster, with all that may be revoked and used, is read', () => {
  const summary = {
    members: Array.from({ length: 4096 }, (_, index) => [`12D3KooW${String(index).padStart(44, 'x')}`, 1, index]),
    revoked: Array.from({ length: 10_000 }, (_, index) => `host:12D3KooW${String(index).padStart(44, 'x')}`),
    used: Array.from({ length: 4096 }, (_, index) => `0123456789abcdef 12D3KooW${String(index).padStart(44, 'x')}`),
  };
  assert.deepEqual(parsed(JSON.stringify(summary)), summary);
});
