import assert from 'node:assert/strict';
import { test } from 'node:test';

import { addressOfName, resolveBlock } from '../../src/api/block-reference.ts';

test('names that look alike are names of different blocks', () => {
  const names = ['\u00e9', 'e\u0301', 'E', 'e', 'e\u200b', 'e ', 'e.', '\ufffd', '\u0000', '__proto__'];
  assert.equal(new Set(names.map((name) => addressOfName(name))).size, names.length);
});

test('a name with half of a character is none: it would be the name of the same block as any other half', () => {
  for (const name of ['\ud800', 'a\udfffb', '\ude00\ud83d']) {
    assert.throws(() => addressOfName(name), { code: 'bad-argument', message: /no well-formed text/ });
    assert.throws(() => resolveBlock(`@${name}`), { code: 'bad-argument' });
  }
  assert.equal(resolveBlock('@\ud83d\ude00'), addressOfName('😀'));
});

test('who forgets the @ of a named block is told of it', () => {
  assert.throws(() => resolveBlock('visits'), {
    code: 'bad-argument',
    message: /"visits" is neither a block address .* nor a named block, which is @NAME/,
  });
});
