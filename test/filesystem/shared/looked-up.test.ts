import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LookedUp } from '../../../src/filesystem/shared/looked-up.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, put, root } from '../harness.ts';
import { attributesOf, Serving } from './serving.ts';

test('what a guest’s kernel looked up it can open and read, though others replaced the file meanwhile', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const [reader, writer] = [serving.guest('reader'), serving.guest('writer')];
  const before = await put(serving.volume, root, 'f', 'before', true);
  serving.volume.forget(before, 1);
  assert.equal((await reader.lookup(root, 'f'))!.inode, before);
  for (const by of [writer, serving.own]) {
    await put(serving.volume, root, 'new', 'after', true);
    await by.rename(root, 'new', root, 'f', 0);
  }
  const handle = await reader.open(before, 0);
  const read = await reader.read(before, handle, 0, 100);
  assert.equal(Buffer.concat([...read]).toString(), 'before');
  await reader.release(before, handle);
  await serving.server.drain();
  assert.equal(await attributesOf(serving.volume, before), undefined);
});

test('a file that a guest looked up only to remove its name goes at once', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const guest = serving.guest('guest');
  const inode = await put(serving.volume, root, 'f', 'f', true);
  serving.volume.forget(inode, 1);
  await guest.lookup(root, 'f');
  await guest.unlink(root, 'f');
  assert.equal(await attributesOf(serving.volume, inode), undefined);
});

test('what was looked up is expected for a while only, and of much that was, what was looked up first is not', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const ended: number[] = [];
  const lookedUp = new LookedUp((inode) => () => ended.push(inode));
  lookedUp.add(1);
  t.mock.timers.tick(999);
  assert.deepEqual(ended, []);
  for (const ms of [1, 1000]) t.mock.timers.tick(ms);
  assert.deepEqual(ended, [1]);
  for (let inode = 2; inode < 10_000; inode++) lookedUp.add(inode);
  assert.ok(ended.length > 8000);
  lookedUp.close();
  lookedUp.add(10_000);
  assert.deepEqual(
    ended,
    Array.from({ length: 9999 }, (_, index) => index + 1),
  );
});
