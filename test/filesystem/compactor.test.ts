import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Volume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, open, pattern, put, root, TestClock } from './harness.ts';

const mebibyte = 1024 * 1024;

test('a file that is put in order has nothing that a crash could take', async () => {
  const store = new MemoryBlockStore();
  const clock = new TestClock();
  const dirtied: number[] = [];
  const volume = await open(store, { flushDelayMs: 1 }, { clock, onDirty: (inode) => dirtied.push(inode) });
  const expected = Buffer.alloc(2 * mebibyte, 1);
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

/** Small writes all over a file of 2 MiB, each flushed alone; `expected` follows. */
async function scatter(volume: Volume, inode: number, expected: Buffer): Promise<void> {
  for (let round = 0; round < 40; round++) {
    const offset = ((round * 7919) % 500) * 4096;
    const data = pattern(4096, round);
    data.copy(expected, offset);
    await volume.write(inode, 0, offset, data, false);
    await volume.syncfs();
  }
}

test('scattered writes are put in order again in a quiet moment', async () => {
  const store = new MemoryBlockStore();
  const clock = new TestClock();
  const volume = await open(store, { flushDelayMs: 1 }, { clock });
  const expected = pattern(2 * mebibyte, 8);
  const inode = await put(volume, root, 'f', expected, true);
  await scatter(volume, inode, expected);
  const before = store.immutableAddresses().size;
  clock.now += 60_000;
  const deadline = Date.now() + 10_000;
  while (store.immutableAddresses().size > 6 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(before > 30 && store.immutableAddresses().size <= 6, `${before} blocks before, ${store.immutableAddresses().size} after`);
  assert.ok(expected.equals(await contentOf(volume, inode)));
  await volume.close();
  assert.ok(expected.equals(await contentOf(await open(store), inode)));
});

/** The first read of a data block from {@link hold} on waits until it is let go on. */
class HeldReads extends MemoryBlockStore {
  readonly reached = Promise.withResolvers<void>();
  readonly #let = Promise.withResolvers<void>();
  #holds = false;

  hold(): void {
    this.#holds = true;
  }

  letGo(): void {
    this.#let.resolve();
  }

  override async get(...call: Parameters<MemoryBlockStore['get']>): Promise<Uint8Array> {
    if (this.#holds) {
      this.reached.resolve();
      await this.#let.promise;
    }
    return super.get(...call);
  }
}

test('writers that fill the memory while files are put in order do not wait for ever', async () => {
  const store = new HeldReads();
  const clock = new TestClock();
  const volume = await open(store, { flushDelayMs: 1, maxDirtyBytes: mebibyte }, { clock });
  const expected = pattern(2 * mebibyte, 8);
  const [inode, other] = [await put(volume, root, 'f', expected, true), await put(volume, root, 'other', '', true)];
  await scatter(volume, inode, expected);
  // So that its blocks have to be read; only inodes in memory are put in order.
  await volume.recall();
  for (const number of [inode, other]) await volume.getattr(number);
  store.hold();
  clock.now += 60_000;
  await store.reached.promise;
  // Far apart, so that none of it becomes a block of its own and leaves by itself.
  let waiting: number | Promise<number> = 0;
  for (let at = 0; typeof waiting === 'number'; at += 8192) waiting = volume.write(other, 0, at, new Uint8Array(4096), false);
  store.letGo();
  await waiting;
  assert.ok(expected.equals(await contentOf(volume, inode)));
  await volume.close();
  assert.ok(expected.equals(await contentOf(await open(store), inode)));
});
