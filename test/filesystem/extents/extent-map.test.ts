import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Address } from '../../../src/block/index.ts';
import { ExtentMap, ExtentNodeCache } from '../../../src/filesystem/extents/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { seeded } from '../../suites/seeded.ts';
import { TestFile } from './support.ts';

const mib = 2 ** 20;
const tib = 2 ** 40;

/** A file of `count` blocks of 1 MiB. */
async function sequential(count: number): Promise<TestFile> {
  const file = new TestFile(undefined, { cache: new ExtentNodeCache(10_000) });
  for (let i = 0; i < count; i++) {
    await file.write(i * mib, mib);
    if (i % 64 === 63) await file.commit();
  }
  await file.commit();
  return file;
}

function known<T>(answer: T | Promise<T>): T {
  assert.ok(!(answer instanceof Promise), 'answers from memory come without a promise');
  return answer;
}

test('an empty map is one hole', () => {
  const { map } = new TestFile();
  assert.deepEqual(map.lookup(5, 10), [{ offset: 5, length: 10, address: undefined, blockOffset: 0 }]);
  assert.equal(map.seekData(0), undefined);
  assert.equal(map.seekHole(0), 0);
  assert.equal(map.allocatedBytes, 0);
  assert.equal(map.dirty, false);
});

test('a small file is its root alone, well under 1 KiB', async () => {
  const file = new TestFile();
  for (let i = 0; i < 8; i++) await file.write(i * mib, mib);
  const commit = await file.commit();
  assert.ok(commit.root.length < 1024, `${commit.root.length} bytes`);
  assert.equal(commit.nodes.length, 0);
});

test('a small synced write into a large file puts its data block and nothing else, but now and then', async () => {
  const file = await sequential(2000);
  const random = seeded(1);
  let nodes = 0;
  for (let i = 0; i < 200; i++) {
    await file.write(Math.floor(random() * 2000 * 256) * 4096, 4096);
    const commit = await file.commit();
    if (commit.nodes.length > 0) nodes++;
    assert.ok(commit.root.length <= 4096);
  }
  assert.ok(nodes < 10, `${nodes} of 200 commits wrote nodes`);
});

test('a file of 16 TiB is sparse, and its ends are found', async () => {
  const file = new TestFile();
  await file.write(0, 4096);
  await file.write(16 * tib - 4096, 4096);
  await file.commit();
  await file.reopen();
  assert.equal(known(file.map.seekHole(0)), 4096);
  assert.equal(known(file.map.seekData(4096)), 16 * tib - 4096);
  assert.equal(known(file.map.seekHole(16 * tib - 4096)), 16 * tib);
  assert.equal(file.map.allocatedBytes, 8192);
  await assert.rejects(async () => file.map.write(2 ** 53 - 1, 2, '' as Address, 0, 2), { code: 'bug' });
});

test('a block is dropped once the last of its bytes is replaced, and not before', async () => {
  const file = new TestFile();
  const old = await file.write(0, 3 * 4096);
  await file.commit();
  await file.write(0, 4096);
  await file.punch(8192, 4096);
  assert.deepEqual((await file.commit()).drops, []);
  await file.write(4096, 4096);
  assert.deepEqual(
    (await file.commit()).drops.map(({ address }) => address),
    [old],
  );
});

test('a block that never was committed is dropped like any other', async () => {
  const file = new TestFile();
  const vain = await file.write(0, 4096);
  await file.write(0, 4096);
  const { drops } = await file.commit();
  assert.deepEqual(drops, [{ address: vain, epoch: 0, kind: 'data' }]);
});

test('drops tell the epoch that a block was written in', async () => {
  const file = new TestFile();
  await file.write(0, 4096);
  await file.commit();
  file.map.epoch = 3;
  await file.write(0, 4096);
  assert.deepEqual(
    (await file.commit()).drops.map(({ epoch }) => epoch),
    [0],
  );
  await file.reopen();
  assert.equal(file.map.epoch, 3);
  await file.write(0, 4096);
  assert.deepEqual(
    (await file.commit()).drops.map(({ epoch }) => epoch),
    [3],
  );
});

test('what is cached is answered without a promise; else one load a level', async () => {
  const file = await sequential(2000);
  known(file.map.lookup(1000 * mib, mib));
  const cold = ExtentMap.open((await file.commit()).root, file.io, { cache: new ExtentNodeCache(100) });
  const before = file.store.counts.gets;
  const [segment] = await cold.lookup(1000 * mib + 5, 10);
  assert.equal(segment?.blockOffset, 5);
  const loads = file.store.counts.gets - before;
  assert.ok(loads <= 5, `${loads} loads`);
  known(cold.lookup(1000 * mib, mib));
});

test('concurrent look-ups load a node once', async () => {
  const file = await sequential(500);
  const cold = ExtentMap.open((await file.commit()).root, file.io, { cache: new ExtentNodeCache(100) });
  const before = file.store.counts.gets;
  await Promise.all(Array.from({ length: 50 }, async (_, i) => cold.lookup(i * mib, mib)));
  assert.ok(file.store.counts.gets - before <= 8);
});

test('a large file is truncated in bounded steps, and nothing of it is left', async () => {
  const file = await sequential(6000);
  let steps = 0;
  for (let step = Infinity; step > 0; steps++) {
    step = await file.map.truncateStep(0);
    await file.load(step, Infinity);
    file.map.truncate(step);
    const { drops } = await file.commit();
    assert.ok(drops.length < 4000, 'a step is bounded');
  }
  assert.ok(steps > 1 && steps < 20, `${steps} steps`);
  assert.deepEqual(file.store.immutableAddresses().size, 0);
});

test('everything of a file is listed for unlink, uncommitted changes and pending drops too', async () => {
  const file = await sequential(300);
  await file.write(0, mib);
  const commit = await file.map.prepareCommit();
  await file.store.commit([{ put: [...file.take(), ...commit.nodes] }]);
  await file.write(mib, mib);
  await file.store.commit([{ put: file.take() }]);
  assert.deepEqual(new Set((await file.owned()).flatMap((some) => [...some])), file.store.immutableAddresses());
});

test('a commit of many scattered pieces lets others run, and they may read and change', async () => {
  let pauses = 0;
  let during: () => void = () => {};
  const file = new TestFile(new MemoryBlockStore(), { cache: new ExtentNodeCache(10_000) }, async () => {
    pauses++;
    during();
  });
  const random = seeded(2);
  const expected = new Map<number, Address>();
  const scatter = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const offset = Math.floor(random() * 20_000) * 4096;
      expected.set(offset, await file.write(offset, 4096));
    }
  };
  const check = (): void => {
    for (const [offset, address] of expected) assert.equal(known(file.map.lookup(offset, 4096))[0]?.address, address);
  };
  await scatter(3000);
  during = () => {
    if (pauses % 5 !== 0) return;
    const { address, size } = file.newBlock(4096);
    const offset = pauses * 4096;
    if (file.map.ensureLoaded(offset, 4096) !== undefined) return;
    file.map.write(offset, 4096, address, 0, size);
    expected.set(offset, address);
    check();
  };
  await file.commit();
  assert.ok(pauses > 10, `${pauses} pauses`);
  during = () => {};
  check();
  await file.commit();
  await file.reopen();
  assert.equal(file.map.allocatedBytes, expected.size * 4096);
  for (const [offset, address] of expected) assert.equal((await file.map.lookup(offset, 4096))[0]?.address, address);
  assert.deepEqual(new Set((await file.owned()).flatMap((some) => [...some])), file.store.immutableAddresses());
});

test('a commit that fails while it loads leaves a map that can commit later', async () => {
  const file = await sequential(2000);
  const { root } = await file.commit();
  const random = seeded(3);
  let broken = false;
  const io = {
    ...file.io,
    read: (address: Address) => (broken ? Promise.reject(new Error('unreachable')) : file.io.read(address)),
    pause: () => Promise.resolve(),
  };
  const map = ExtentMap.open(root, io, { cache: new ExtentNodeCache(8) });
  const written: number[] = [];
  for (let i = 0; i < 300; i++) {
    const offset = Math.floor(random() * 2000) * mib;
    for (let wait = map.ensureLoaded(offset, 4096); wait !== undefined; wait = map.ensureLoaded(offset, 4096)) await wait;
    const { address, size } = file.newBlock(4096);
    map.write(offset, 4096, address, 0, size);
    written.push(offset);
  }
  broken = true;
  await assert.rejects(async () => map.prepareCommit(), { message: 'unreachable' });
  broken = false;
  const commit = await map.prepareCommit();
  await file.run(commit);
  const reopened = ExtentMap.open(commit.root, file.io);
  for (const offset of written) {
    const [a] = await reopened.lookup(offset, 4096);
    const [b] = await map.lookup(offset, 4096);
    assert.deepEqual(a, b);
  }
});

test('compaction finds blocks that are mostly dead and cells that are scattered, and is content when they are rewritten', async () => {
  const file = await sequential(64);
  // Blocks 0 to 9 keep a quarter each; cell 20 is in 16 pieces.
  for (let i = 0; i < 10; i++) await file.punch(i * mib + mib / 4, (mib * 3) / 4);
  for (let i = 0; i < 16; i++) await file.write(20 * mib + i * 4096 * 2, 4096);
  await file.commit();
  const ranges = await file.map.compactionCandidates(64 * mib);
  const total = ranges.reduce((sum, { length }) => sum + length, 0);
  assert.equal(total, (10 * mib) / 4 + mib);
  for (const { offset, length } of ranges) await file.write(offset, length);
  await file.commit();
  assert.deepEqual(await file.map.compactionCandidates(64 * mib), []);
});

test('a damaged root or node is refused by name', async () => {
  const file = await sequential(500);
  const { root } = await file.commit();
  for (let cut = 1; cut < root.length; cut++) {
    assert.throws(() => ExtentMap.open(root.subarray(0, cut), file.io), { code: 'damaged' });
  }
  assert.throws(() => ExtentMap.open(Uint8Array.of(9), file.io), { code: 'wrong-version' });
  const asked: Address[] = [];
  const broken = {
    ...file.io,
    read: async (address: Address) => {
      asked.push(address);
      return (await file.io.read(address)).subarray(1);
    },
  };
  await assert.rejects(
    async () => ExtentMap.open(root, broken).lookup(0, 1),
    ({ message }: Error) => message.includes(`extent node ${asked[0]}`),
  );
});

test('an unloaded range is not changed blindly', async () => {
  const file = await sequential(2000);
  const cold = ExtentMap.open((await file.commit()).root, file.io);
  const { address, size } = file.newBlock(4096);
  assert.throws(() => cold.write(0, 4096, address, 0, size), { code: 'bug' });
});

test('the end of a dense file is found without looking into its leaves', async () => {
  const file = await sequential(5000);
  const cold = ExtentMap.open((await file.commit()).root, file.io, { cache: new ExtentNodeCache(100) });
  const before = file.store.counts.gets;
  assert.equal(await cold.seekHole(5), 5000 * mib);
  assert.ok(file.store.counts.gets - before <= 3);
  await file.punch(4000 * mib, 1);
  assert.equal(await file.map.seekHole(5), 4000 * mib);
  assert.equal(await file.map.seekHole(4000 * mib + 1), 5000 * mib);
});
