import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { collectWhenIdle } from '../../src/base/index.ts';

test('what a burst of work leaves behind is collected once the thread rests', { timeout: 300_000 }, async () => {
  const before = process.memoryUsage().heapUsed;
  collectWhenIdle({ intervalMs: 50 });
  // Old enough to lie where only a full collection looks.
  let left: object[] | undefined = Array.from({ length: 500_000 }, (_, index) => ({ index, text: `${index}` }));
  await setTimeout(20);
  assert.ok(left.length > 0);
  left = undefined;
  while (process.memoryUsage().heapUsed > before + 20 * 1024 * 1024) await setTimeout(100);
});

test('after each burst what malloc kept is released, though V8 holds no more than before', { timeout: 300_000 }, async () => {
  let released = 0;
  collectWhenIdle({ intervalMs: 50, release: () => released++ });
  for (let burst = 1; burst <= 3; burst++) {
    while (released < burst) await setTimeout(20);
    const until = process.threadCpuUsage().user + 200_000;
    while (process.threadCpuUsage().user < until);
  }
});

test('a thread that always has a little to do is at rest all the same once it does no more than that', { timeout: 300_000 }, async () => {
  const intervalMs = 250;
  let released = 0;
  collectWhenIdle({ intervalMs, release: () => released++ });
  // Some four hundredths of a processor, as heartbeats of many hosts take.
  while (released === 0) {
    const until = process.threadCpuUsage().user + 10_000;
    while (process.threadCpuUsage().user < until);
    await setTimeout(intervalMs);
  }
});
