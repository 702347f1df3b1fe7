import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, open, put, root, TestClock } from './harness.ts';

test('a file that is put in order has nothing that a crash could take', async () => {
  const store = new MemoryBlockStore();
  const clock = new TestClock();
  const dirtied: number[] = [];
  const volume = await open(store, { flushDelayMs: 1 }, { clock, onDirty: (inode) => dirtied.push(inode) });
  const expected = Buffer.alloc(2 * 1024 * 1024, 1);
  const inode = await put(volume, root, 'f', expected, true);
  // More blocks in one piece of file than it is left with.
  for (let at = 0; at < 16; at++) {
    expected.fill(at, at * 50_000, at * 50_000 + 100);
    await volume.write(inode, 0, at * 50_000, expected.subarray(at * 50_000, at * 50_000 + 100), false);
    await volume.syncfs();
  }
  dirtied.length = 0;
  const { puts } = store.counts;
  // Long untouched.
  clock.now += 60_000;
  while (store.counts.puts === puts) {
    await sleep(1);
    assert.deepEqual([...volume.unsynced()], []);
  }
  await volume.fsync(inode, 0, false);
  assert.deepEqual(dirtied, []);
  assert.ok(expected.equals(await contentOf(volume, inode)));
  await volume.close();
});
