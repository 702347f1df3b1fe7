import assert from 'node:assert/strict';
import { test } from 'node:test';

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
