import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { KernelCache } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, put, root } from '../harness.ts';
import { Serving } from './serving.ts';

/** A kernel that has pages of every file, and drops them when it is let. */
class Kernel {
  readonly dropping: number[] = [];
  let = Promise.withResolvers<void>();

  readonly cache = {
    drop: (inode: number) => {
      this.dropping.push(inode);
      return this.let.promise;
    },
  } as unknown as KernelCache;
}

async function begin(): Promise<{ serving: Serving; kernel: Kernel; inode: number }> {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', Buffer.alloc(100_000, 'a'), true);
  const kernel = new Kernel();
  serving.volume.attach(kernel.cache);
  return { serving, kernel, inode };
}

test('the kernel of the host that serves a volume may keep pages of a large file, and none of a small one or a directory', async () => {
  const { serving, inode } = await begin();
  const small = await put(serving.volume, root, 'small', 'content', true);
  assert.deepEqual(
    [inode, small, root].map((each) => serving.own.isGuarded(each)),
    [true, false, false],
  );
});

test('a guest’s change of a file is answered once the kernel of the host that serves it has no page of before', async () => {
  const { serving, kernel, inode } = await begin();
  // Not one that keeps anything in memory: each write is sent.
  const guest = serving.guest('guest');
  const handle = await guest.open(inode, 2);
  kernel.dropping.length = 0;
  for (const change of [
    async () => guest.write(inode, handle, 0, Buffer.from('x'), false),
    async () => guest.write(inode, handle, 0, Buffer.from('x'), false, true),
    async () => guest.setattr(inode, { size: 70_000 }),
    async () => guest.fallocate(inode, handle, 0, 0, 80_000),
    async () => guest.open(inode, 0o1002),
  ]) {
    kernel.dropping.length = 0;
    kernel.let = Promise.withResolvers();
    const answered = change().then(() => 'answered');
    while (kernel.dropping.length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, 20, 'not yet'))]), 'not yet');
    kernel.let.resolve();
    assert.equal(await answered, 'answered');
    assert.deepEqual(kernel.dropping, [inode]);
  }
});

test('a file is lent once that kernel has no page of it; what comes back waits for none', async () => {
  const { serving, kernel, inode } = await begin();
  const guest = serving.guest('guest', new MemoryBlockStore());
  await serving.keeps(guest);
  const handle = await guest.open(inode, 2);
  kernel.dropping.length = 0;
  const written = Promise.resolve(guest.write(inode, handle, 0, Buffer.from('x'), false)).then(() => 'written');
  while (kernel.dropping.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(await Promise.race([written, new Promise((resolve) => setTimeout(resolve, 20, 'not yet'))]), 'not yet');
  kernel.let.resolve();
  assert.equal(await written, 'written');
  kernel.let = Promise.withResolvers();
  await guest.fsync(inode, handle, false);
  await guest.flush(inode, handle, '1');
  assert.deepEqual(kernel.dropping, [inode]);
});
