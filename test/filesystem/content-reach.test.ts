/** Blocks of the journal of contents that are out of reach: an fsync goes another way, and a mount does without those that it does not need. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress } from '../../src/block/index.ts';
import { contentSlots } from '../../src/filesystem/journal/content-journal-codec.ts';
import { errnoOf, open, put, readAt, root, TestClock, volumeId } from './harness.ts';
import { UnreadableStore } from './unreadable-store.ts';

const slots = Array.from({ length: contentSlots }, (_, slot) => namedAddress(volumeId, `content:${slot}`));

test('an fsync goes into its place while the next block of the journal is out of reach, nobody waits for that again, and it goes there once that is back', async () => {
  const store = new UnreadableStore();
  const clock = new TestClock();
  const volume = await open(store, {}, { clock });
  const inode = await put(volume, root, 'f', Buffer.alloc(64 * 1024, 1), true);
  await volume.syncfs();
  const sync = async (value: number): Promise<{ readonly errno: string; readonly updates: number }> => {
    const { updates } = store.counts;
    await volume.write(inode, 0, 100 * value, Buffer.alloc(100, value), false);
    const errno = await errnoOf(() => volume.fsync(inode, 0, false));
    return { errno, updates: store.counts.updates - updates };
  };
  assert.equal((await sync(1)).errno, 'none');
  const lost = new Set(slots);
  let asked = 0;
  store.lacks = (address) => {
    if (!lost.has(address)) return undefined;
    asked++;
    return 'unavailable';
  };
  for (let value = 2; value < 6; value++) assert.equal((await sync(value)).errno, 'none');
  // The one that failed, and a look.
  assert.ok(asked <= 2, `${asked} times`);
  clock.now += 1000;
  assert.equal((await sync(6)).errno, 'none');
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(asked <= 3, `${asked} times`);
  store.lacks = () => undefined;
  clock.now += 1000;
  await sync(7);
  await new Promise((resolve) => setImmediate(resolve));
  // A block of the journal, and nothing else.
  assert.deepEqual(
    [await sync(8), await sync(9)],
    Array.from({ length: 2 }, () => ({ errno: 'none', updates: 1 })),
  );
  store.restart();
  const after = await open(store);
  for (let value = 1; value < 10; value++) assert.ok((await readAt(after, inode, 100 * value, 100)).equals(Buffer.alloc(100, value)));
});

test('a mount needs those blocks of the journal that have something, the next one and the first', async () => {
  for (const synced of [0, 1, 30, 700, contentSlots + 5]) {
    const store = new UnreadableStore();
    const before = await open(store);
    const inode = await put(before, root, 'f', Buffer.alloc(64 * 1024, 1), true);
    await before.syncfs();
    for (let count = 0; count < synced; count++) {
      await before.write(inode, 0, count, Buffer.alloc(1, 7), false);
      await before.fsync(inode, 0, false);
      if (count % 64 === 0) await before.syncfs();
    }
    store.restart();
    const needed = new Set<string>([slots[0]!]);
    for (let count = Math.max(0, synced - 64); count <= synced; count++) needed.add(slots[count % contentSlots]!);
    const lost = new Set(slots.filter((address, slot) => !needed.has(address) && slot % 10 < 7));
    store.lacks = (address) => (lost.has(address) ? 'unavailable' : undefined);
    const after = await open(store);
    if (synced > 0) assert.ok((await readAt(after, inode, 0, synced)).equals(Buffer.alloc(synced, 7)), `${synced}`);
    await after.abandon();
  }
});
