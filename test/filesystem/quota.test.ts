import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { KernelCache } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, errnoOf, open, put, root, user } from './harness.ts';

const mebibyte = 1024 * 1024;

function used(volume: Awaited<ReturnType<typeof open>>): number {
  const { blocks, freeBlocks, blockSize } = volume.statfs();
  return (blocks - freeBlocks) * blockSize;
}

test('blocks that are in the store before any commit count: a volume never takes more than its size', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store, { sizeBytes: 8 * mebibyte });
  const files = await Promise.all(['a', 'b'].map((name) => put(volume, root, name, '')));
  const refused = new Set<string>();
  for (let at = 0; at < 20; at++)
    for (const file of files) {
      refused.add(await errnoOf(() => volume.write(file, 0, at * mebibyte, Buffer.alloc(mebibyte, at + 1), false)));
      // The puts in the background end.
      await new Promise((resolve) => setImmediate(resolve));
    }
  assert.deepEqual([...refused], ['none', 'ENOSPC']);
  assert.equal(used(volume), 8 * mebibyte);
  for (const file of files) assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'none');
  assert.equal(used(volume), 8 * mebibyte);
  assert.ok(store.immutableBytes < 9 * mebibyte);
  await volume.close();
  assert.equal(used(volume), 8 * mebibyte);
});

test('many writes at once do not take more than the size either', async () => {
  const store = new MemoryBlockStore({ delay: () => new Promise((resolve) => setImmediate(resolve)) });
  const volume = await open(store, { sizeBytes: 4 * mebibyte });
  const file = await put(volume, root, 'f', '');
  const writes = Array.from({ length: 160 }, (_, at) => errnoOf(() => volume.write(file, 0, at * 65_536, Buffer.alloc(65_536, 1), false)));
  const taken = (await Promise.all(writes)).filter((errno) => errno === 'none').length;
  assert.equal(taken, 64);
  await volume.close();
  assert.equal(used(volume), 4 * mebibyte);
});

test('what is cut out of files and not written out yet makes room on a full volume', async () => {
  const volume = await open(new MemoryBlockStore(), { sizeBytes: 2 * mebibyte });
  const file = await put(volume, root, 'f', Buffer.alloc(2 * mebibyte, 1), true);
  assert.equal(await errnoOf(() => volume.write(file, 0, 2 * mebibyte, Buffer.alloc(1, 2), false)), 'ENOSPC');
  await volume.setattr(file, { size: 0 });
  await volume.write(file, 0, 0, Buffer.alloc(mebibyte, 2), false);
  assert.ok(Buffer.alloc(mebibyte, 2).equals(await contentOf(volume, file)));
  await volume.close();
  assert.equal(used(volume), mebibyte);
});

test('on a full volume no file can be made, which a program notices; what is there can be opened, and directories can be made', async () => {
  const volume = await open(new MemoryBlockStore(), { sizeBytes: 2 * mebibyte });
  const file = await put(volume, root, 'f', Buffer.alloc(2 * mebibyte, 1), true);
  assert.equal(await errnoOf(() => volume.create(root, 'g', 0o644, 0, 1, user)), 'ENOSPC');
  assert.equal(await errnoOf(() => volume.mknod(root, 'g', 0o100644, 0, 0, user)), 'ENOSPC');
  assert.equal(await errnoOf(() => volume.mknod(root, 'f', 0o100644, 0, 0, user)), 'EEXIST');
  assert.equal(await errnoOf(() => volume.tmpfile(root, 0o600, 0, 2, user)), 'ENOSPC');
  assert.equal((await volume.create(root, 'f', 0o644, 0, 1, user)).attributes.inode, file);
  await volume.mkdir(root, 'd', 0o755, 0, user);
  await volume.setattr(file, { size: mebibyte });
  await put(volume, root, 'g', 'there is room again', true);
  await volume.close();
});

test('the room of a file that was removed is there at once, though the kernel says only later that it has given it back', async () => {
  const volume = await open(new MemoryBlockStore(), { sizeBytes: 2 * mebibyte });
  const [file, kept] = [
    await put(volume, root, 'f', Buffer.alloc(mebibyte, 1), true),
    await put(volume, root, 'kept', Buffer.alloc(mebibyte, 1), true),
  ];
  const asked: number[] = [];
  const held = new Set([kept]);
  const answers = Promise.withResolvers<void>();
  volume.attach({
    holds: async (inode: number) => {
      asked.push(inode);
      await answers.promise;
      return held.has(inode);
    },
  } as KernelCache);
  assert.equal(await errnoOf(() => volume.create(root, 'g', 0o644, 0, 1, user)), 'ENOSPC');
  await volume.unlink(root, 'kept');
  await volume.unlink(root, 'f');
  const made = volume.create(root, 'g', 0o644, 0, 1, user);
  // The page of a file that the kernel lets go of waits for nobody: it would wait for itself.
  assert.equal(await errnoOf(() => volume.write(kept, 0, mebibyte, Buffer.alloc(1), false)), 'ENOSPC');
  answers.resolve();
  await new Promise(setImmediate);
  volume.forget(file, 1);
  await made;
  assert.deepEqual(asked, [kept, file]);
  await put(volume, root, 'h', Buffer.alloc(mebibyte, 1), true);
  assert.equal(await errnoOf(() => volume.create(root, 'i', 0o644, 0, 1, user)), 'ENOSPC', 'a program has the other one open');
  await volume.close();
});

test('what a volume holds beyond a size that it was given later is shown as it is', async () => {
  const volume = await open(new MemoryBlockStore());
  await put(volume, root, 'f', Buffer.alloc(3 * mebibyte, 1), true);
  volume.resize(mebibyte);
  assert.equal(used(volume), 3 * mebibyte);
  assert.equal(volume.statfs().availableBlocks, 0);
  await volume.close();
});
