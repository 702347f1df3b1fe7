import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { codeOf, commitLeavesUnchanged, errorCodes, InfinitError, leavesUnchanged, messageOf } from '../../src/base/index.ts';

test('every error code is explained in docs/errors.md', () => {
  const page = readFileSync('docs/errors.md', 'utf8');
  const missing = Object.keys(errorCodes).filter((code) => !page.includes(`\`${code}\``));
  assert.deepEqual(missing, []);
});

test('what may have been done is never said to have changed nothing', () => {
  for (const code of ['unknown-outcome', 'bug', 'closed', 'damaged'] as const) {
    assert.equal(leavesUnchanged(code), false, code);
    assert.equal(commitLeavesUnchanged(code), false, code);
  }
  // A store's commit is cancelled before it begins; another call may have been sent before.
  assert.deepEqual([leavesUnchanged('cancelled'), commitLeavesUnchanged('cancelled')], [false, true]);
});

test('what is not ours counts as a bug', () => {
  assert.equal(codeOf(new TypeError('x')), 'bug');
  assert.equal(codeOf(new InfinitError('locked', 'x')), 'locked');
  assert.equal(messageOf('text'), 'text');
});
