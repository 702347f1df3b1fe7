/** How much a volume holds is known exactly after whatever end. The random tests hold it against a full walk everywhere; here is what goes wrong most easily. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import { type SurvivingMemory, type Volume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { open, put, root, user, volumeId } from './harness.ts';

/** As the volume counts it, which is as a walk counts it. */
async function usageOf(volume: Volume): Promise<{ files: number; allocated: number }> {
  const now = volume.usage;
  const { problems } = await volume.check();
  assert.deepEqual(problems, []);
  return now;
}

test('what an fsync added to files of before is counted after a crash, whatever became durable with it', async () => {
  const store = new MemoryBlockStore();
  const first = await open(store);
  const [large, small, shorter] = [
    await put(first, root, 'large', new Uint8Array(100_000), true),
    await put(first, root, 'small', 'words', true),
    await put(first, root, 'shorter', new Uint8Array(100_000), true),
  ];
  await first.recall();
  await first.write(large, 0, 100_000, new Uint8Array(200_000), false);
  await first.fsync(large, 0, false);
  await first.write(small, 0, 5, Buffer.from(' and words'), false);
  await first.fsync(small, 0, false);
  await first.setattr(shorter, { size: 10 });
  await first.fsync(shorter, 0, false);
  store.restart();
  assert.deepEqual(await usageOf(await open(store)), { files: 4, allocated: 300_000 + 15 + 10 });
});

test('a crash between the record of a file and anything that follows it leaves the file counted', async () => {
  for (let writes = 0; writes < 6; writes++) {
    const store = new MemoryBlockStore();
    const first = await open(store);
    const inode = await put(first, root, 'f', new Uint8Array(100_000), true);
    await first.recall();
    await first.write(inode, 0, 100_000, new Uint8Array(200_000), false);
    store.crashAfter(writes);
    await Promise.resolve(first.fsync(inode, 0, false)).catch(() => {});
    store.restart();
    const { files, allocated } = await usageOf(await open(store));
    assert.equal(files, 2);
    assert.ok(allocated === 100_000 || allocated === 300_000, `${allocated} after ${writes} writes`);
  }
});

test('a batch of operations counts itself and none that wait, so that those are counted once where they are made again', async () => {
  const store = new MemoryBlockStore();
  const memory = { bytes: new Uint8Array(4096 + 1024 * 1024), provide: () => true, release: () => {} } satisfies SurvivingMemory;
  const first = await open(store, {}, { memory });
  const old = await put(first, root, 'old', 'ten bytes.', true);
  for (let file = 0; file < 300; file++) await put(first, root, `f${file}`, '');
  await first.unlink(root, 'old');
  // The first batch of 64 is in the journal, the second is not.
  store.crashAfter(100);
  await assert.rejects(Promise.resolve(first.syncfs()));
  store.restart();
  assert.deepEqual(await usageOf(await open(store, {}, { memory, inherits: true })), { files: 301, allocated: 0 }, `without inode ${old}`);
  store.restart();
  assert.deepEqual(await usageOf(await open(store)), { files: 301, allocated: 0 });
});

test('a file that was counted anew in a write that failed, and then removed, is counted out as the store has it', async () => {
  let failing = false;
  const own = namedAddress(volumeId, 'volume');
  const store = new MemoryBlockStore({ fate: ({ address }) => (failing && address === own ? 'failed' : 'normal') });
  const volume = await open(store);
  await put(volume, root, 'other', new Uint8Array(1000), true);
  const inode = await put(volume, root, 'f', 'first', true);
  await volume.write(inode, 0, 5, Buffer.from(' and then'), false);
  await volume.fsync(inode, 0, false);
  volume.forget(inode, 1);
  failing = true;
  await assert.rejects(volume.recall());
  await volume.unlink(root, 'f');
  await volume.fsyncdir(root, 0);
  failing = false;
  store.restart();
  assert.deepEqual(await usageOf(await open(store)), { files: 2, allocated: 1000 });
});

test('a file that is written again and again costs the volume’s own block one write', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'log', 'line\n', true);
  const append = async (line: number): Promise<void> => {
    await volume.write(inode, 0, 5 * line, Buffer.from('line\n'), false);
    await volume.fsync(inode, 0, false);
  };
  const version = (): number => store.peek(namedAddress(volumeId, 'volume'))!.version;
  const before = version();
  for (let line = 1; line <= 50; line++) await append(line);
  assert.equal(version(), before + 1);
  store.restart();
  assert.deepEqual(await usageOf(await open(store)), { files: 2, allocated: 5 * 51 });
});

test('a directory that was removed while it is open is counted until it is closed', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const { inode } = await volume.mkdir(root, 'd', 0o755, 0, user);
  await volume.rmdir(root, 'd');
  assert.deepEqual(await usageOf(volume), { files: 2, allocated: 0 });
  volume.forget(inode, 1);
  assert.deepEqual(await usageOf(volume), { files: 1, allocated: 0 });
});

test('figures that an older program left in the journal are taken as they are', async () => {
  const store = new MemoryBlockStore();
  const first = await open(store);
  await put(first, root, 'f', 'ten bytes.', true);
  const address = namedAddress(volumeId, 'journal:1');
  const sealer = new Sealer();
  const { version, payload } = store.peek(address)!;
  const body = Buffer.from(sealer.openPayload(address, payload).body);
  body[1] = 0;
  body.writeUInt32LE(10, 20);
  body.writeUInt32LE(2, 28);
  await store.commit([{ update: [{ address, expect: version, payload: sealer.sealPayload(address, ownerOf(payload), body) }] }]);
  store.restart();
  assert.deepEqual(await usageOf(await open(store)), { files: 2, allocated: 10 });
});
