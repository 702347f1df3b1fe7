import assert from 'node:assert/strict';
import { test } from 'node:test';

import { checkNewVolumeName, checkVolumeName } from '../../src/api/index.ts';

const check: (name: unknown) => void = checkVolumeName;

test('names as Docker users know them are accepted, up to 255 characters', () => {
  for (const name of ['a', 'data', 'my_app-db.1', '0'.repeat(64), 'x'.repeat(255), 'a..b']) check(name);
});

test('what cannot be a directory of its own is refused, and the message says what is allowed', () => {
  for (const name of ['.', '..', '../x', 'a/b', '/etc', 'a\0b', ' a', 'a b', '-a', '_a', 'ü', 'a\n', 'a:b']) {
    assert.throws(() => check(name), { code: 'bad-argument', message: /letters, digits/ }, JSON.stringify(name));
  }
  assert.throws(() => check('x'.repeat(256)), { code: 'bad-argument', message: /256 characters: at most 255/ });
  for (const none of ['', undefined]) assert.throws(() => check(none), { code: 'bad-argument', message: 'a volume needs a name' });
  for (const name of [null, 7, {}, []]) assert.throws(() => check(name), { code: 'bad-argument', message: /must be a string/ });
});

test('a new volume has a name that `docker run -v` does not take for a drive', () => {
  const checkNew: (name: unknown) => void = checkNewVolumeName;
  checkNew('db');
  assert.throws(() => checkNew('d'), { code: 'bad-argument', message: /"d" is too short .* at least 2 characters/ });
  assert.throws(() => checkNew('a b'), { code: 'bad-argument', message: /letters, digits/ });
});
