import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Volume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { look, open, put, readAt, root } from './harness.ts';

const size = 64 * 1024;
const synced = Buffer.alloc(100, 2);

interface Files {
  readonly volume: Volume;
  readonly removed: number;
  readonly other: number;
}

/** Two files in their place, too large for their records. */
async function twoFiles(store: MemoryBlockStore): Promise<Files> {
  const volume = await open(store);
  const removed = await put(volume, root, 'f', Buffer.alloc(size, 1), true);
  const other = await put(volume, root, 'g', Buffer.alloc(size, 1), true);
  await volume.syncfs();
  return { volume, removed, other };
}

async function sync(volume: Volume, inode: number, value: number, offset = 0): Promise<void> {
  await volume.write(inode, 0, offset, Buffer.alloc(100, value), false);
  await volume.fsync(inode, 0, true);
}

async function remove({ volume, removed }: Files): Promise<void> {
  await volume.unlink(root, 'f');
  volume.forget(removed, 2);
}

/** The host dies, and its redo log with it. */
async function crash(store: MemoryBlockStore, volume: Volume): Promise<Volume> {
  await volume.abandon();
  store.restart();
  return open(store);
}

async function isThere(volume: Volume): Promise<boolean> {
  const inode = await look(volume, root, 'f');
  if (inode !== undefined) assert.ok(synced.equals(await readAt(volume, inode, 0, 100)), 'the file is there with less than was synced');
  return inode !== undefined;
}

test('a crash that brings a removed file back brings back what was synced of it', async () => {
  const store = new MemoryBlockStore();
  const files = await twoFiles(store);
  await sync(files.volume, files.removed, 2);
  await remove(files);
  for (let value = 3; value < 6; value++) await sync(files.volume, files.other, value);
  assert.ok(await isThere(await crash(store, files.volume)));
});

test('so it does where the file was removed while its fsync was on its way', async () => {
  let slow = false;
  const store = new MemoryBlockStore({ delay: () => (slow ? new Promise((resolve) => setImmediate(resolve)) : Promise.resolve()) });
  const files = await twoFiles(store);
  const { volume, removed, other } = files;
  await volume.write(removed, 0, 0, synced, false);
  slow = true;
  const done = volume.fsync(removed, 0, true);
  await new Promise((resolve) => setImmediate(resolve));
  await remove(files);
  await done;
  slow = false;
  await sync(volume, other, 3);
  await sync(volume, other, 4);
  assert.ok(await isThere(await crash(store, volume)));
});

async function removal(files: Files): Promise<void> {
  const { volume, other } = files;
  await remove(files);
  await sync(volume, other, 3);
  await sync(volume, other, 4, 1000);
  await volume.fsyncdir(root, 0);
  await sync(volume, other, 5, 2000);
  await sync(volume, other, 6);
  await volume.syncfs();
  await sync(volume, other, 7);
}

test('a crash between any two block writes of a removal shows no file, or one with all that was synced', async () => {
  const seen = new Set<boolean>();
  for (let writes = 0; ; writes++) {
    const store = new MemoryBlockStore();
    const files = await twoFiles(store);
    await sync(files.volume, files.removed, 2);
    store.crashAfter(writes);
    await removal(files).catch(() => {});
    const { crashed } = store;
    seen.add(await isThere(await crash(store, files.volume)));
    if (!crashed) break;
  }
  assert.deepEqual([...seen], [true, false]);
});

test('files that were removed hold the ring no longer than their names do', async () => {
  const store = new MemoryBlockStore();
  const files = await twoFiles(store);
  const { volume, removed, other } = files;
  await sync(volume, removed, 2);
  await remove(files);
  // More than the ring has: what finds no room goes into its place, and nothing waits for the names.
  for (let round = 0; round < 1100; round++) await sync(volume, other, 3, (round * 100) % 60_000);
  await volume.fsyncdir(root, 0);
  await volume.syncfs();
  const { puts, updates } = store.counts;
  for (let round = 0; round < 1000; round++) await sync(volume, other, 4, round % 2);
  assert.deepEqual([store.counts.puts - puts, store.counts.updates - updates], [0, 1000], 'each fsync is one small write again');
  assert.equal(await isThere(await crash(store, volume)), false);
});
