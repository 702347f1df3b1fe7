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
  readonly distrusting: number[] = [];
  distrusted = Promise.resolve();

  readonly cache = {
    drop: (inode: number) => {
      this.dropping.push(inode);
      return this.let.promise;
    },
    distrust: (inode: number) => {
      this.distrusting.push(inode);
      return this.distrusted;
    },
  } as unknown as KernelCache;
}

async function begin(): Promise<{ serving: Serving; kernel: Kernel; inode: number }> {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', Buffer.alloc(100_000, 'a'), true);
  const kernel = new Kernel();
  serving.own.attach(kernel.cache);
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
  const guest = await serving.keepingGuest(new MemoryBlockStore());
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

test('attributes that the kernel of that host was told as good are asked back before a guest changes them: nobody sees the change before', async () => {
  const { serving, kernel, inode } = await begin();
  kernel.let.resolve();
  const guest = serving.guest('guest');
  const handle = await guest.open(inode, 2);
  const before = await serving.own.getattr(inode);
  assert.ok(serving.own.guardedMs(before) > 0);
  const { promise, resolve } = Promise.withResolvers<void>();
  kernel.distrusted = promise;
  const written = Promise.resolve(guest.write(inode, handle, 200_000, Buffer.from('x'), false)).then(() => 'written');
  while (kernel.distrusting.length === 0) await new Promise((settle) => setImmediate(settle));
  assert.deepEqual(kernel.distrusting, [inode]);
  assert.equal((await serving.own.getattr(inode)).size, 100_000);
  assert.equal(serving.own.guardedMs(await serving.own.getattr(inode)), 0, 'while they are asked back');
  resolve();
  assert.equal(await written, 'written');
  const after = await serving.own.getattr(inode);
  assert.equal(after.size, 200_001);
  assert.equal(serving.own.guardedMs(after), 0, 'it is being changed, perhaps again and again');
  await serving.time.pass(1000);
  assert.equal(serving.own.guardedMs(before), 0, 'those are not its attributes any more');
  assert.ok(serving.own.guardedMs(after) > 0);
});

test('nothing is good of a file that a guest has for itself, nor of a volume that is let go of', async () => {
  const { serving, kernel, inode } = await begin();
  kernel.let.resolve();
  const guest = await serving.keepingGuest(new MemoryBlockStore());
  const before = await serving.own.getattr(inode);
  const handle = await guest.open(inode, 2);
  await guest.write(inode, handle, 0, Buffer.from('x'), false);
  assert.ok(serving.grants.isLent(inode));
  assert.equal(serving.own.guardedMs(before), 0);
  await guest.flush(inode, handle, '1');
  await guest.release(inode, handle);
  await serving.time.pass(1000);
  const after = await serving.own.getattr(inode);
  assert.ok(serving.own.guardedMs(after) > 0);
  kernel.distrusting.length = 0;
  await serving.grants.close();
  assert.deepEqual(kernel.distrusting, [inode]);
  assert.equal(serving.own.guardedMs(after), 0);
});
