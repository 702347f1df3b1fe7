import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { collectWhenIdle } from '../../src/base/index.ts';

test('what a burst of work leaves behind is collected once the thread rests', { timeout: 30_000 }, async () => {
  const before = process.memoryUsage().heapUsed;
  collectWhenIdle(50);
  // Old enough to lie where only a full collection looks.
  let left: object[] | undefined = Array.from({ length: 500_000 }, (_, index) => ({ index, text: `${index}` }));
  await setTimeout(20);
  assert.ok(left.length > 0);
  left = undefined;
  while (process.memoryUsage().heapUsed > before + 20 * 1024 * 1024) await setTimeout(100);
});
