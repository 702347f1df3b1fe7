/** fallocate(2) sets room aside: it counts as kept, and what is written there later never hears that a volume is full. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Volume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, errnoOf, open, put, readAt, root } from './harness.ts';
import { Host } from './redo-host.ts';

const mebibyte = 1024 * 1024;
const options = { sizeBytes: 8 * mebibyte };
const [keepSize, punchHole, zeroRange] = [1, 2, 16];

/** All the room that there is. */
async function fill(volume: Volume, file: number): Promise<void> {
  let at = (await volume.getattr(file)).size;
  for (const step of [65_536, 1024, 1]) while ((await errnoOf(() => volume.write(file, 0, at, Buffer.alloc(step, 1), false))) === 'none') at += step;
  await volume.fsync(file, 0, false);
}

async function blocksOf(volume: Volume, file: number): Promise<number> {
  return (await volume.getattr(file)).blocks * 512;
}

for (const mode of [0, keepSize, zeroRange]) {
  test(`room that was set aside (${mode}) is there for later writes, whatever others write first, and over mounts and crashes`, async () => {
    const host = await Host.start(new MemoryBlockStore(), undefined, options);
    const file = await put(host.volume, root, 'f', 'text', true);
    const other = await put(host.volume, root, 'other', '', true);
    await host.volume.fallocate(file, 0, mode, mode === zeroRange ? mebibyte : 0, 3 * mebibyte);
    const end = mode === zeroRange ? 4 * mebibyte : 3 * mebibyte;
    for (const start of [mebibyte, 2 * mebibyte]) {
      const volume = await host.die();
      await fill(volume, other);
      assert.equal(await errnoOf(() => put(volume, root, 'one more', 'x')), 'ENOSPC');
      assert.equal(await errnoOf(() => volume.write(file, 0, start, Buffer.alloc(mebibyte / 2, 2), false)), 'none');
      assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'none');
      assert.equal(await errnoOf(() => volume.write(file, 0, end, Buffer.alloc(mebibyte / 2, 2), false)), 'ENOSPC');
    }
    const { volume } = host;
    await volume.close();
    const again = await open(host.store, options);
    assert.equal(await errnoOf(() => again.write(file, 0, mebibyte, Buffer.alloc(2 * mebibyte, 3), false)), 'none');
    assert.equal(await errnoOf(() => again.fsync(file, 0, false)), 'none');
    assert.deepEqual((await again.check()).problems, []);
    const content = await readAt(again, file, 0, 3 * mebibyte);
    assert.equal(content.subarray(0, 8).toString('latin1'), 'text\0\0\0\0');
    assert.ok(content.subarray(mebibyte).equals(Buffer.alloc(2 * mebibyte, 3)));
    await again.close();
  });
}

test('it shows in the blocks of the file and of the volume, is none where there is no room, and goes with what it is part of', async () => {
  const volume = await open(new MemoryBlockStore(), options);
  const file = await put(volume, root, 'f', Buffer.alloc(mebibyte, 1), true);
  assert.equal(await errnoOf(() => volume.fallocate(file, 0, 0, 0, 9 * mebibyte)), 'ENOSPC');
  assert.equal((await volume.getattr(file)).size, mebibyte);
  await volume.fallocate(file, 0, 0, 0, 4 * mebibyte);
  assert.equal(volume.usage.allocated, mebibyte);
  await volume.syncfs();
  assert.equal(await blocksOf(volume, file), 4 * mebibyte);
  assert.equal(volume.usage.allocated, 4 * mebibyte);
  // What is written takes no further room.
  await volume.write(file, 0, 2 * mebibyte, Buffer.alloc(mebibyte, 2), false);
  await volume.syncfs();
  assert.equal(await blocksOf(volume, file), 4 * mebibyte);
  // Behind the end.
  await volume.fallocate(file, 0, keepSize, 4 * mebibyte, 2 * mebibyte);
  await volume.syncfs();
  assert.deepEqual([(await volume.getattr(file)).size, await blocksOf(volume, file)], [4 * mebibyte, 6 * mebibyte]);
  await volume.fallocate(file, 0, punchHole | keepSize, 4 * mebibyte, mebibyte);
  await volume.syncfs();
  assert.equal(await blocksOf(volume, file), 5 * mebibyte);
  // As programs give back what they do not need, and as they make room.
  await volume.setattr(file, { size: 4 * mebibyte });
  await volume.syncfs();
  assert.equal(await blocksOf(volume, file), 4 * mebibyte);
  await volume.setattr(file, { size: 10 });
  await volume.syncfs();
  assert.equal(volume.usage.allocated, 10);
  assert.deepEqual(await contentOf(volume, file), Buffer.alloc(10, 1));
  await volume.fallocate(file, 0, 0, 0, 4 * mebibyte);
  await volume.unlink(root, 'f');
  volume.forget(file, 10);
  await volume.syncfs();
  assert.equal(volume.usage.allocated, 0);
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
});
