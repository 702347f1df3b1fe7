import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { KernelCache } from '../../../src/filesystem/file-system.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, put, root } from '../harness.ts';
import { attributesOf, Serving } from './serving.ts';

/** A kernel that has what it is said to have. */
function kernelWith(inodes: ReadonlySet<number>): KernelCache {
  return {
    removed: () => {},
    holds: (inode) => Promise.resolve(inodes.has(inode)),
    drop: () => undefined,
    distrust: () => undefined,
    dropOpen: () => {},
    settle: () => {},
    lost: () => {},
    hasStale: () => false,
    beginSole: () => {},
    endSole: () => ({ expired: undefined, dropped: Promise.resolve() }),
  };
}

/** Whether the volume has more than its root, once what is removed in memory is removed. */
async function isEmpty(volume: Awaited<ReturnType<typeof open>>): Promise<boolean> {
  await volume.syncfs();
  const { files, freeFiles } = volume.statfs();
  return files - freeFiles === 1;
}

test('this host’s kernel is told of names that guests take away or give to something else', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const guest = serving.guest('guest');
  await put(serving.volume, root, 'f', 'f');
  await put(serving.volume, root, 'g', 'g');
  await serving.volume.mkdir(root, 'd', 0o755, 0, { uid: 0, gid: 0, pid: 1 });
  await guest.rename(root, 'f', root, 'g', 0);
  await guest.unlink(root, 'g');
  await guest.rmdir(root, 'd');
  await assert.rejects(async () => guest.unlink(root, 'nothing'));
  assert.deepEqual(
    serving.removed.map(({ name }) => name),
    ['f', 'g', 'g', 'd'],
  );
});

test('a file that a guest removes goes once the kernel has no references to it, and with a mount that was taken over once it says so', async () => {
  for (const resumed of [false, true]) {
    const store = new MemoryBlockStore();
    const before = await open(store);
    const inode = await put(before, root, 'f', new Uint8Array(100_000));
    await before.close();
    const volume = await open(store, {}, { resumed });
    const held = new Set([inode]);
    volume.attach(kernelWith(held));
    const serving = new Serving(volume);
    // One daemon counted the reference, the other was not there yet.
    if (!resumed) await volume.lookup(root, 'f');
    await serving.guest('guest').unlink(root, 'f');
    assert.equal(await isEmpty(volume), false);
    volume.forget(inode, 1);
    assert.equal(await isEmpty(volume), true);
    await volume.recall();
    assert.equal(store.immutableBytes, 0);
    await volume.close();
  }
});

test('a file that a guest removes goes at once where the kernel of a mount that was taken over does not have it', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', new Uint8Array(100_000));
  const kept = await put(before, root, 'kept', '');
  await before.close();
  const volume = await open(store, {}, { resumed: true });
  const held = new Set([kept]);
  volume.attach(kernelWith(held));
  const serving = new Serving(volume);
  const guest = serving.guest('guest');
  await guest.unlink(root, 'f');
  await guest.unlink(root, 'kept');
  await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(async () => volume.getattr(inode));
  assert.equal((await volume.getattr(kept)).links, 0);
  await volume.recall();
  assert.equal(store.immutableBytes, 0);
});

test('files without a name that the process before left are removed once the kernel says that it does not have them', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inodes = [await put(before, root, 'open', 'o', true), await put(before, root, 'forgotten', 'f', true)];
  for (const name of ['open', 'forgotten']) await before.lookup(root, name);
  for (const name of ['open', 'forgotten']) await before.unlink(root, name);
  await before.syncfs();
  await before.abandon();
  store.restart();
  const resent = Promise.withResolvers<void>();
  const volume = await open(store, {}, { resumed: true, resent: resent.promise });
  volume.attach(kernelWith(new Set([inodes[0]!])));
  assert.deepEqual(await Promise.all(inodes.map(async (inode) => (await volume.getattr(inode)).links)), [0, 0]);
  resent.resolve();
  while ((await attributesOf(volume, inodes[1]!)) !== undefined) await new Promise(setImmediate);
  assert.equal((await volume.getattr(inodes[0]!)).links, 0);
});
