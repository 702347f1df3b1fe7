import assert from 'node:assert/strict';
import { test } from 'node:test';

import { sharedTime } from '../../src/node/members/shared-time.ts';

test('one clock that is far off, or that nobody can read, makes no difference among three', () => {
  assert.equal(sharedTime([100, 101, 1e12]), 101);
  assert.equal(sharedTime([1e12, 0, 101]), 101);
  assert.equal(sharedTime([100, NaN, 102]), 100);
});

test('in the middle of two the later counts where it is asked for, and of three the same one', () => {
  assert.equal(sharedTime([100, 1e12], 'later'), 1e12);
  assert.equal(sharedTime([0, 100, 1e12], 'later'), 100);
  assert.equal(sharedTime([100], 'later'), 100);
});

test('of two the earlier counts, of one its own, of none no time has come', () => {
  assert.equal(sharedTime([100, 1e12]), 100);
  assert.equal(sharedTime([100]), 100);
  assert.equal(sharedTime([]), -Infinity);
});
