import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { codeOf, errorCodes, InfinitError, messageOf } from '../../src/base/index.ts';

test('every error code is explained in docs/errors.md', () => {
  const page = readFileSync('docs/errors.md', 'utf8');
  const missing = Object.keys(errorCodes).filter((code) => !page.includes(`\`${code}\``));
  assert.deepEqual(missing, []);
});

test('what is not ours counts as a bug', () => {
  assert.equal(codeOf(new TypeError('x')), 'bug');
  assert.equal(codeOf(new InfinitError('locked', 'x')), 'locked');
  assert.equal(messageOf('text'), 'text');
});
