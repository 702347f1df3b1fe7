import assert from 'node:assert/strict';
import { test } from 'node:test';

import { retryPauseMs } from '../../src/base/index.ts';

test('a little that is left is tried again soon, however often it was in vain', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 100].map((tries) => retryPauseMs(tries, 1)),
    [100, 200, 400, 800, 1000, 1000],
  );
});

test('the more is left the longer is the pause, and none is endless', () => {
  assert.equal(retryPauseMs(1, 1000), 2000);
  assert.equal(retryPauseMs(100, 1_000_000), 15_000);
});
