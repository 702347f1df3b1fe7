import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';

import { kindOf, Sealer } from '../../src/block/index.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import { PortStore, servePort } from '../../src/store/port/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, contentOf, errnoOf, open, pattern, put, readAt, root, user } from './harness.ts';

const mebibyte = 1024 * 1024;

test('a large file written in order becomes blocks of 1 MiB, each put once', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const data = pattern(10 * mebibyte + 4096, 1);
  const { attributes, handle } = await volume.create(root, 'f', 0o644, 0, 2, user);
  const { inode } = attributes;
  for (let at = 0; at < data.length; at += mebibyte) await volume.write(inode, handle, at, data.subarray(at, at + mebibyte), false);
  assert.ok(data.equals(await contentOf(volume, inode)), 'read back before it is flushed');
  await volume.fsync(inode, handle, false);
  assert.ok(store.counts.puts <= 13, `${store.counts.puts} puts`);
  assert.ok(data.equals(await contentOf(volume, inode)), 'read back after');
  assert.equal((await volume.getattr(inode)).blocks, data.length / 512);
  store.restart();
  volume = await open(store);
  assert.ok(data.equals(await contentOf(volume, inode)), 'read back after a crash');
});

/** Waits until the store has all full blocks that were written. */
async function stored(volume: Volume): Promise<void> {
  while (volume.memory.dirtyBytes > 0) await new Promise((resolve) => setImmediate(resolve));
}

test('what the store has of a file is no longer in memory, whether its inode followed or not', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', '');
  const data = pattern(4 * mebibyte, 21);
  await volume.write(inode, 0, 0, data, false);
  await stored(volume);
  const before = store.counts.gets;
  assert.ok(data.equals(await contentOf(volume, inode)));
  assert.equal(store.counts.gets - before, 4);
});

test('an fsync of the last bytes of a block that the store has already', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const data = pattern(mebibyte, 22);
  const inode = await put(volume, root, 'f', '', true);
  for (let at = 0; at < mebibyte; at += 32_768) {
    await volume.write(inode, 0, at, data.subarray(at, at + 32_768), false);
    // The last one fills the block, which goes into the store at once.
    if (at + 32_768 === mebibyte) await stored(volume);
    await volume.fsync(inode, 0, false);
  }
  store.restart();
  volume = await open(store);
  assert.ok(data.equals(await contentOf(volume, inode)));
});

test('a file cut short to what fits into its inode, when the store has its block', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', '', true);
  const data = pattern(mebibyte, 23);
  await volume.write(inode, 0, 0, data, false);
  await stored(volume);
  await volume.setattr(inode, { size: 1000 });
  await volume.fsync(inode, 0, false);
  assert.ok(data.subarray(0, 1000).equals(await contentOf(volume, inode)));
  store.restart();
  volume = await open(store);
  assert.ok(data.subarray(0, 1000).equals(await contentOf(volume, inode)));
});

test('small writes to several files in turn, some appended to, some cut, stay apart in memory', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inodes = await Promise.all(['a', 'b', 'c'].map((name) => put(volume, root, name, '')));
  const expected = inodes.map(() => Buffer.alloc(400_000));
  const sizes = inodes.map(() => 0);
  for (let round = 0; round < 60; round++) {
    for (const [file, inode] of inodes.entries()) {
      const length = 1 + ((round * 977 + file * 331) % 5000);
      // Mostly at the end, now and then over what is there.
      const at = round % 5 === 4 ? (round * 613) % sizes[file]! : sizes[file]!;
      const data = pattern(5000, round * 3 + file).subarray(0, length);
      data.copy(expected[file]!, at);
      sizes[file] = Math.max(sizes[file]!, at + length);
      await volume.write(inode, 0, at, data, false);
    }
  }
  const check = async (): Promise<void> => {
    for (const [file, inode] of inodes.entries()) assert.ok(expected[file]!.subarray(0, sizes[file]).equals(await contentOf(volume, inode)));
  };
  await check();
  await volume.close();
  volume = await open(store);
  await check();
});

test('scattered small writes are packed into few blocks', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', pattern(4 * mebibyte, 2), true);
  const expected = pattern(4 * mebibyte, 2);
  const before = store.counts.puts;
  for (let index = 0; index < 200; index++) {
    const offset = ((index * 7919) % 1000) * 4096;
    const data = pattern(4096, index);
    data.copy(expected, offset);
    await volume.write(inode, 0, offset, data, false);
  }
  await volume.fsync(inode, 0, false);
  assert.ok(store.counts.puts - before <= 8, `${store.counts.puts - before} puts`);
  await volume.recall();
  assert.ok(expected.equals(await contentOf(volume, inode)));
});

test('a sparse file of 16 TiB costs what was written; beyond is EFBIG', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', '');
  const size = 2 ** 44;
  await volume.setattr(inode, { size });
  await volume.write(inode, 0, size - 5, bytes('final'), false);
  await volume.write(inode, 0, 2 ** 40, bytes('middle'), false);
  assert.equal(await errnoOf(() => volume.write(inode, 0, size - 1, bytes('xx'), false)), 'EFBIG');
  assert.equal(await errnoOf(() => volume.setattr(inode, { size: size + 1 })), 'EFBIG');
  await volume.close();
  volume = await open(store);
  assert.equal((await volume.getattr(inode)).size, size);
  assert.ok((await volume.getattr(inode)).blocks <= 16);
  assert.equal((await readAt(volume, inode, size - 8, 100)).toString('latin1'), '\0\0\0final');
  assert.equal(await volume.lseek(inode, 0, 0, 3), 2 ** 40);
  assert.equal(await volume.lseek(inode, 0, 2 ** 40, 4), 2 ** 40 + 6);
  assert.equal(await volume.lseek(inode, 0, 2 ** 40 + 6, 3), size - 5);
  assert.equal(await errnoOf(() => volume.lseek(inode, 0, size, 3)), 'ENXIO');
});

test('a hole ends where data begins, and zeros are read from it', async () => {
  const volume = await open(new MemoryBlockStore());
  const inode = await put(volume, root, 'f', pattern(3 * mebibyte, 3), true);
  await volume.fallocate(inode, 0, 3, mebibyte, mebibyte);
  for (const flushed of [false, true]) {
    if (flushed) await volume.recall();
    assert.equal(await volume.lseek(inode, 0, 0, 4), mebibyte);
    assert.equal(await volume.lseek(inode, 0, mebibyte, 3), 2 * mebibyte);
    assert.equal(await volume.lseek(inode, 0, 2 * mebibyte, 4), 3 * mebibyte);
    assert.ok((await readAt(volume, inode, mebibyte, mebibyte)).equals(Buffer.alloc(mebibyte)));
  }
  assert.equal((await volume.getattr(inode)).blocks, (2 * mebibyte) / 512);
});

test('what a truncate cut off does not come back when the file grows', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', Buffer.alloc(2 * mebibyte, 7), true);
  await volume.setattr(inode, { size: 100 });
  await volume.setattr(inode, { size: 50_000 });
  await volume.close();
  volume = await open(store);
  const content = await contentOf(volume, inode);
  assert.ok(content.subarray(0, 100).equals(Buffer.alloc(100, 7)));
  assert.ok(content.subarray(100).equals(Buffer.alloc(49_900)));
});

test('what a large truncate cut off does not come back when the file grows, wherever a crash ends its steps', async () => {
  const count = 6000;
  const spacing = 2 * mebibyte;
  const grown = count * spacing + 1;
  let between = 0;
  for (let steps = 1, whole = false; !whole; steps++) {
    const store = new MemoryBlockStore();
    let volume = await open(store);
    const inode = await put(volume, root, 'f', '', true);
    for (let index = 0; index < count; index++) await volume.write(inode, 0, index * spacing, Buffer.of(7), false);
    await volume.syncfs();
    // The truncation and the growth are one flush.
    await volume.setattr(inode, { size: spacing + 1 });
    await volume.setattr(inode, { size: grown });
    let commits = 0;
    const { commit } = store;
    store.commit = async (...stages) => {
      if (commits++ === steps) store.crashAfter(0);
      return commit.apply(store, stages);
    };
    whole = (await errnoOf(() => volume.fsync(inode, 0, false))) === 'none';
    store.commit = commit;
    await volume.abandon();
    store.restart();
    volume = await open(store);
    const { size } = await volume.getattr(inode);
    if (size === (count - 1) * spacing + 1) continue;
    if (!whole) between++;
    assert.ok(size === grown || (size === spacing + 1 && !whole), `after ${steps} commits its size is ${size}`);
    for (let index = 0; index * spacing < size; index++)
      assert.equal((await readAt(volume, inode, index * spacing, 1))[0], index <= 1 ? 7 : 0, `after ${steps} commits, at ${index}`);
    await volume.close();
  }
  assert.ok(between > 0, 'a crash came between two steps');
});

test('fallocate: size, keep size, zero range, and what is not supported', async () => {
  const volume = await open(new MemoryBlockStore());
  const inode = await put(volume, root, 'f', 'abcdef');
  await volume.fallocate(inode, 0, 1, 0, 1000);
  assert.equal((await volume.getattr(inode)).size, 6);
  await volume.fallocate(inode, 0, 16, 2, 2);
  assert.equal((await contentOf(volume, inode)).toString('latin1'), 'ab\0\0ef');
  await volume.fallocate(inode, 0, 0, 0, 1000);
  assert.equal((await volume.getattr(inode)).size, 1000);
  await volume.fallocate(inode, 0, 16, 900, 200);
  assert.equal((await volume.getattr(inode)).size, 1100);
  assert.equal(await errnoOf(() => volume.fallocate(inode, 0, 8, 0, 4096)), 'EOPNOTSUPP');
  assert.equal(await errnoOf(() => volume.fallocate(inode, 0, 0, 0, 0)), 'EINVAL');
});

test('copy_file_range copies, also within a file, but not onto itself', async () => {
  const volume = await open(new MemoryBlockStore());
  const data = pattern(3 * mebibyte, 4);
  const from = await put(volume, root, 'from', data);
  const to = await put(volume, root, 'to', '');
  assert.equal(await volume.copyFileRange(from, 0, 0, to, 0, 0, 100 * mebibyte), data.length);
  assert.ok(data.equals(await contentOf(volume, to)));
  assert.equal(await volume.copyFileRange(to, 0, 0, to, 0, 3 * mebibyte, 1000), 1000);
  assert.equal(await errnoOf(() => volume.copyFileRange(to, 0, 0, to, 0, 10, 1000)), 'EINVAL');
});

test('a full volume says ENOSPC, can be overwritten, and has room again after a removal', async () => {
  const volume = await open(new MemoryBlockStore(), { sizeBytes: 4 * mebibyte });
  const inode = await put(volume, root, 'f', pattern(3 * mebibyte, 5), true);
  const other = await put(volume, root, 'g', '');
  assert.equal(await errnoOf(() => volume.write(other, 0, 0, new Uint8Array(2 * mebibyte), false)), 'ENOSPC');
  for (let round = 0; round < 3; round++) await volume.write(inode, 0, 0, new Uint8Array(mebibyte).fill(round), false);
  assert.equal(volume.statfs().blocks, 1024);
  await volume.unlink(root, 'f');
  volume.forget(inode, 1);
  await volume.recall();
  await volume.write(other, 0, 0, new Uint8Array(2 * mebibyte), false);
  await volume.close();
  assert.equal(volume.statfs().freeBlocks, 512);
});

test('writers wait while too much is buffered', async () => {
  const store = new MemoryBlockStore({ delay: () => new Promise((resolve) => setTimeout(resolve, 1)) });
  const volume = await open(store, { maxDirtyBytes: 4 * mebibyte });
  const inode = await put(volume, root, 'f', '');
  const data = new Uint8Array(mebibyte);
  let waits = 0;
  for (let index = 0; index < 32; index++) {
    const answer = volume.write(inode, 0, index * mebibyte, data, false);
    if (answer instanceof Promise) waits++;
    await answer;
    assert.ok(volume.memory.dirtyBytes <= 6 * mebibyte, `${volume.memory.dirtyBytes} bytes dirty`);
  }
  assert.ok(waits > 0);
  await volume.close();
});

test('a file that outgrows its inode keeps its first bytes', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', pattern(8192, 6), true);
  await volume.write(inode, 0, 9000, bytes('more'), false);
  await volume.write(inode, 0, 4, bytes('over'), false);
  const expected = Buffer.alloc(9004);
  pattern(8192, 6).copy(expected);
  expected.write('more', 9000);
  expected.write('over', 4);
  assert.ok(expected.equals(await contentOf(volume, inode)));
  await volume.close();
  volume = await open(store);
  assert.ok(expected.equals(await contentOf(volume, inode)));
});

test('an encrypted volume reads back, and shows nothing of it in the store', async () => {
  const store = new MemoryBlockStore();
  const more = { sealer: new Sealer(new Uint8Array(32).fill(9)) };
  let volume = await open(store, {}, more);
  const data = Buffer.alloc(2 * mebibyte + 100, 'secret words ');
  const inode = await put(volume, root, 'confidential', data, true);
  const small = await put(volume, root, 'small', 'secret words', true);
  assert.ok(data.equals(await contentOf(volume, inode)));
  await volume.close();
  for (const address of [...store.immutableAddresses(), ...store.mutableAddresses()]) {
    const sealed = kindOf(address) === 'immutable' ? await store.get(address) : store.peek(address)!.payload;
    const text = Buffer.from(sealed).toString('latin1');
    assert.ok(!text.includes('secret') && !text.includes('confidential'));
  }
  volume = await open(store, {}, more);
  assert.ok(data.equals(await contentOf(volume, inode)));
  assert.equal((await contentOf(volume, small)).toString(), 'secret words');
});

test('the memory of large blocks is used again, and no read ever sees another block in it', async () => {
  // As in the daemon: the store is behind a port, and memory crosses it.
  const channel = new MessageChannel();
  servePort(channel.port1, new MemoryBlockStore({ delay: () => new Promise((resolve) => setImmediate(resolve)), verify: false }));
  const volume = await open(new PortStore(channel.port2), { maxDirtyBytes: 8 * mebibyte, maxCachedBytes: 3 * mebibyte });
  const inode = await put(volume, root, 'f', '');
  const count = 24;
  // Each 4 KiB says which it is; requests begin beside the grid, as the kernel's do.
  const whole = Buffer.alloc(count * mebibyte);
  for (let at = 0; at < whole.length; at += 4096) whole.fill(1 + ((at / 4096) % 251), at, at + 4096);
  for (let at = 0; at < whole.length; at += mebibyte) {
    const from = at === 0 ? 0 : at + 12_288;
    await volume.write(inode, 0, from, whole.subarray(from, at + mebibyte + 12_288), false);
    if (at % (8 * mebibyte) === 0) await volume.fsync(inode, 0, false);
  }
  await volume.fsync(inode, 0, false);
  await Promise.all(
    Array.from({ length: 12 }, async (_, reader) => {
      for (let round = 0; round < 12; round++) {
        const offset = ((reader * 7919 + round * 104_729) % (count * 250)) * 4096;
        const length = [4096, 100_000, mebibyte, 3 * mebibyte][(reader + round) % 4]!;
        assert.ok((await readAt(volume, inode, offset, length)).equals(whole.subarray(offset, offset + length)), `${length} at ${offset}`);
      }
    }),
  );
  await volume.close();
  channel.port2.close();
});
