import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { askedBy } from '../../src/filesystem/miss.ts';
import type { BlockStore } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, open, put, root } from './harness.ts';

test('what is durable of a file is one state that it was in, though it changes while that is being written', async () => {
  const store = new MemoryBlockStore();
  let meanwhile: (() => unknown) | undefined;
  const way: BlockStore = {
    get: (address) => store.get(address),
    fetch: (address) => store.fetch(address),
    commit: async (stages) => {
      const now = meanwhile;
      meanwhile = undefined;
      await now?.();
      return store.commit(stages);
    },
  };
  const volume = await open(way);
  const inode = await put(volume, root, 'f', 'before', true);
  await volume.write(inode, 0, 0, Buffer.from('synced'), false);
  const { changed, modified, mode } = await volume.getattr(inode);
  meanwhile = async () => {
    await volume.write(inode, 0, 0, Buffer.from('later!'), false);
    await volume.setattr(inode, { mode: 0o600, modified: { seconds: 7, nanoseconds: 0 } });
    await volume.setxattr(inode, 'user.a', Buffer.from('b'), 0, false);
  };
  await volume.fsync(inode, 0, false);
  assert.equal(meanwhile, undefined);
  await volume.abandon();
  store.restart();
  const after = await open(store);
  const seen = await after.getattr(inode);
  assert.deepEqual([seen.changed, seen.modified, seen.mode], [changed, modified, mode]);
  assert.equal((await contentOf(after, inode)).toString(), 'synced');
  assert.deepEqual(await after.listxattr(inode), []);
});

test('content that is written later than it was cut, since that failed, goes with the attributes and the calls of its time', async () => {
  const store = new MemoryBlockStore();
  let next: 'works' | 'fails' | 'dies' = 'works';
  const died = Promise.withResolvers<void>();
  const way: BlockStore = {
    get: (...what) => store.get(...what),
    fetch: (address) => store.fetch(address),
    commit: async (stages) => {
      if (next === 'fails') throw new InfinitError('unavailable', 'the store is out of reach');
      const result = await store.commit(stages);
      // With the content, and not with the figures that come before it.
      if (next !== 'dies' || stages.every((stage) => stage.put === undefined)) return result;
      died.resolve();
      return new Promise<never>(() => {});
    },
  };
  const volume = await open(store);
  const inode = await put(volume, root, 'f', 'x'.repeat(40_000), true);
  await volume.close();
  const again = await open(way);
  const call = (number: number): { host: string; asker: string; number: number } => ({ host: 'host', asker: 'asker', number });
  const append = async (number: number, bytes: number): Promise<void> => {
    const { size } = await again.getattr(inode);
    await askedBy({ asker: undefined, call: call(number) }, () => again.write(inode, 0, size, Buffer.alloc(bytes, number), false));
  };
  await append(1, 100_000);
  const { changed } = await again.getattr(inode);
  next = 'fails';
  await assert.rejects(async () => again.fsync(inode, 0, false));
  await append(2, 100_000);
  next = 'dies';
  void again.fsync(inode, 0, false);
  await died.promise;
  const after = await open(store);
  const seen = await after.getattr(inode);
  assert.deepEqual([seen.size, seen.changed], [140_000, changed]);
  assert.equal(await after.callOutcome(inode, call(1), after.calls.memory), 'done');
  assert.equal(await after.callOutcome(inode, call(2), after.calls.memory), 'not done');
});
