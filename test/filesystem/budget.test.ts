/** What is held in memory, and what a quota counts, of files that are not written out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import { maxUnwrittenXattrBytes } from '../../src/filesystem/inodes/unwritten-xattrs.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { BlockedStore } from './blocked-store.ts';
import { contentOf, errnoOf, open, put, root } from './harness.ts';
import { SmallStore } from './small-store.ts';

const mebibyte = 1024 * 1024;
const heavyBytes = 45 * 1024;

test('blocks that the store refused count as held in memory until it has them, or their file is gone', async () => {
  const store = new SmallStore(mebibyte / 2);
  const volume = await open(store);
  const [file, other] = [await put(volume, root, 'f', '', true), await put(volume, root, 'g', '', true)];
  for (const inode of [file, other]) await volume.write(inode, 0, 0, Buffer.alloc(2 * mebibyte, 1), false);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(volume.memory.dirtyBytes, 4 * mebibyte);
  assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'ENOSPC');
  assert.equal(volume.memory.dirtyBytes, 4 * mebibyte);
  await volume.unlink(root, 'g');
  volume.forget(other, 1);
  assert.equal(volume.memory.dirtyBytes, 2 * mebibyte);
  store.capacity = Infinity;
  await volume.fsync(file, 0, false);
  assert.equal(volume.memory.dirtyBytes, 0);
  await volume.close();
});

for (const length of [20_000, mebibyte])
  test(`what is written over while the store has no room for it is in memory no longer, ${length} bytes at once`, async () => {
    const store = new SmallStore(Infinity);
    const volume = await open(store);
    const file = await put(volume, root, 'f', Buffer.alloc(100_000, 1), true);
    store.capacity = store.immutableBytes;
    for (let time = 0; time < 5; time++) {
      await volume.setattr(file, { size: 0 });
      await volume.write(file, 0, 0, Buffer.alloc(length, time), false);
      assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'ENOSPC');
      assert.equal(volume.memory.dirtyBytes, length);
    }
    store.capacity = Infinity;
    await volume.fsync(file, 0, false);
    assert.equal(volume.memory.dirtyBytes, 0);
    assert.ok((await contentOf(volume, file)).equals(Buffer.alloc(length, 4)));
    await volume.close();
  });

test('while a block is put, or scattered writes are, each byte counts once', async () => {
  const gate = Promise.withResolvers<void>();
  let isOpen = true;
  const store = new MemoryBlockStore({ delay: () => (isOpen ? undefined : gate.promise) });
  const volume = await open(store);
  const file = await put(volume, root, 'f', Buffer.alloc(100_000, 1), true);
  isOpen = false;
  await volume.write(file, 0, 0, Buffer.alloc(mebibyte, 2), false);
  await volume.write(file, 0, 2 * mebibyte, Buffer.alloc(100_000, 3), false);
  const synced = volume.fsync(file, 0, false);
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(volume.memory.dirtyBytes, mebibyte + 100_000);
  isOpen = true;
  gate.resolve();
  await synced;
  assert.equal(volume.memory.dirtyBytes, 0);
  await volume.close();
});

/** A file with about as many bytes of extended attributes as one may have; what that ended with. */
async function putHeavy(volume: Volume, index: number): Promise<string> {
  const inode = await put(volume, root, `x${index}`, '');
  return errnoOf(() => volume.setxattr(inode, 'user.x', Buffer.alloc(heavyBytes, index), 0, false));
}

test('extended attributes that are in no record yet are bounded: whoever sets more waits until the store took some', async () => {
  const volume = await open(new MemoryBlockStore());
  // Nothing is written out before it is time to: the harness' timer goes off in an hour.
  for (let index = 0; index < (3 * maxUnwrittenXattrBytes) / heavyBytes; index++) {
    assert.equal(await putHeavy(volume, index), 'none');
    assert.ok(volume.memory.unwrittenXattrBytes <= maxUnwrittenXattrBytes);
  }
  await volume.syncfs();
  assert.equal(volume.memory.unwrittenXattrBytes, 0);
  await volume.close();
});

test('extended attributes that the store has no room for are refused once memory is full of them, and files are written on', async () => {
  const store = new BlockedStore();
  const volume = await open(store, { flushDelayMs: 1 });
  const other = await put(volume, root, 'other', 'old', true);
  store.blocked = (inode) => (inode <= other ? undefined : Promise.reject(new InfinitError('disk-full', 'refused')));
  let set = 0;
  let ended = 'none';
  while (ended === 'none' && set < (4 * maxUnwrittenXattrBytes) / heavyBytes) ended = await putHeavy(volume, set++);
  assert.equal(ended, 'ENOSPC');
  assert.ok(volume.memory.unwrittenXattrBytes <= maxUnwrittenXattrBytes + 2 * heavyBytes);
  await volume.write(other, 0, 0, Buffer.from('new'), false);
  assert.equal(await errnoOf(() => volume.fsync(other, 0, false)), 'none');
  store.blocked = () => undefined;
  await volume.syncfs();
  assert.equal(volume.memory.unwrittenXattrBytes, 0);
  assert.equal(await putHeavy(volume, set), 'none');
  await volume.close();
});

test('what was written to a file and not written out is room again as soon as the file is removed', async () => {
  const volume = await open(new MemoryBlockStore(), { sizeBytes: 4 * mebibyte });
  const other = await put(volume, root, 'other', 'x', true);
  const file = await put(volume, root, 'file', Buffer.alloc(mebibyte, 1), true);
  await volume.write(file, 0, mebibyte, Buffer.alloc(2.5 * mebibyte, 2), false);
  await volume.unlink(root, 'file');
  volume.forget(file, 1);
  await volume.write(other, 0, 0, Buffer.alloc(3.5 * mebibyte, 3), false);
  assert.ok((await contentOf(volume, other)).every((byte) => byte === 3));
  assert.equal(await errnoOf(() => volume.write(other, 0, 3.5 * mebibyte, Buffer.alloc(mebibyte, 4), false)), 'ENOSPC');
  await volume.close();
});

test('where more write at once than there is memory for, and nothing is amiss, they wait for each other', async () => {
  const gate = Promise.withResolvers<void>();
  let isOpen = true;
  const store = new MemoryBlockStore({ delay: () => (isOpen ? undefined : gate.promise) });
  const limit = mebibyte;
  const volume = await open(store, { maxDirtyBytes: limit });
  const file = await put(volume, root, 'f', '', true);
  isOpen = false;
  // A thread each, past the kernel's cache: none of them has an answer yet.
  const size = limit / 4;
  const writes = Array.from({ length: 32 }, (_, index) => errnoOf(() => volume.write(file, 0, index * size, Buffer.alloc(size, index + 1), false)));
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(volume.memory.dirtyBytes <= 2 * limit + size, `${volume.memory.dirtyBytes}`);
  isOpen = true;
  gate.resolve();
  assert.deepEqual(new Set(await Promise.all(writes)), new Set(['none']));
  const content = await contentOf(volume, file);
  for (let index = 0; index < 32; index++) assert.equal(content[(index + 1) * size - 1], index + 1);
  await volume.close();
});
