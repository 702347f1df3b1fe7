import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import type { Address } from '../../src/block/index.ts';
import { namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import { silentLogger, writeU64 } from '../../src/base/index.ts';
import { checkVolume, type OwnedBlock, type Volume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, look, open, put, root, TestClock, user, volumeId } from './harness.ts';

async function held(store: MemoryBlockStore): Promise<OwnedBlock[]> {
  const blocks: OwnedBlock[] = [];
  for (const address of store.immutableAddresses()) {
    const { inode, session } = ownerOf(await store.get(address));
    blocks.push({ address, inode, session });
  }
  return blocks;
}

/** What a host does: asks, and drops what nobody refers to. */
async function sweep(store: MemoryBlockStore, volume: Volume): Promise<Address[]> {
  const garbage = await volume.unreferenced(await held(store));
  if (garbage.length > 0) await store.commit([{ drop: garbage }]);
  return garbage;
}

/** Leaked and missing blocks, by the independent checker. */
async function blockProblems(store: MemoryBlockStore): Promise<string[]> {
  const setup = { store, sealer: new Sealer(), volumeId, session: 0, clock: new TestClock(), logger: silentLogger };
  const { problems } = await checkVolume(setup, { immutable: store.immutableAddresses(), mutable: [] });
  return problems.map((problem) => JSON.stringify(problem));
}

const size = 2_500_000;

/** New files, rewritten ones, truncations, removals: writes with many blocks, cut anywhere by the crash. */
async function work(volume: Volume): Promise<void> {
  for (let round = 0; round < 3; round++) {
    const name = `file${round}`;
    const inode = await put(volume, root, name, randomBytes(size), true);
    await volume.write(inode, 0, 700_000, randomBytes(1_200_000), false);
    await volume.fsync(inode, 0, false);
    await volume.setattr(inode, { size: 1_000_000 });
    await volume.fsync(inode, 0, false);
    await put(volume, root, `removed${round}`, randomBytes(size), true);
    await volume.unlink(root, `removed${round}`);
    await volume.syncfs();
  }
}

test('a crash between any two block writes leaves garbage that the next session finds, and nothing that is in use goes with it', async () => {
  const whole = new MemoryBlockStore();
  await work(await open(whole));
  for (let writes = 1; writes < whole.writes; writes += 2) {
    const store = new MemoryBlockStore();
    const first = await open(store);
    const kept = randomBytes(size);
    const inode = await put(first, root, 'kept', kept, true);
    store.crashAfter(writes);
    await work(first).catch(() => {});
    store.restart();
    const next = await open(store);
    await next.syncfs();
    await sweep(store, next);
    await next.close();
    assert.deepEqual(await blockProblems(store), [], `after ${writes} writes`);
    assert.ok(kept.equals(await contentOf(next, inode)));
  }
});

test('what a living session has written and not yet named is left alone', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store, { maxDirtyBytes: 64 * 1024 * 1024 });
  const { attributes, handle } = await volume.create(root, 'f', 0o644, 0, 2, user);
  for (let at = 0; at < 8; at++) await volume.write(attributes.inode, handle, at * 1024 * 1024, randomBytes(1024 * 1024), false);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(store.immutableAddresses().size > 0);
  assert.deepEqual(await sweep(store, volume), []);
  await volume.fsync(attributes.inode, handle, false);
  assert.deepEqual(await sweep(store, volume), []);
});

test('a session that was taken for dead cannot name a block any more once a later one has condemned it', async () => {
  const store = new MemoryBlockStore();
  const setup = await open(store);
  const inode = await put(setup, root, 'f', randomBytes(size), true);
  await setup.close();
  // A writer that has put its blocks and stands still before it writes the record.
  const zombie = await open(store);
  await zombie.write(inode, 0, 0, randomBytes(size), false);
  const fresh = await zombie.create(root, 'g', 0o644, 0, 2, user);
  await zombie.write(fresh.attributes.inode, fresh.handle, 0, randomBytes(size), false);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const next = await open(store);
  const before = await contentOf(next, inode);
  const garbage = await sweep(store, next);
  assert.ok(garbage.length >= 2, String(garbage.length));
  await assert.rejects(async () => zombie.fsync(inode, 0, false));
  await assert.rejects(async () => zombie.fsync(fresh.attributes.inode, fresh.handle, false));
  assert.ok(before.equals(await contentOf(next, inode)));
  const last = await open(store);
  assert.ok(before.equals(await contentOf(last, inode)));
  assert.equal(await look(last, root, 'g'), undefined);
  await last.close();
});

test('a volume in use is checked without being disturbed, and what is wrong is told', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const directory = (await volume.mkdir(root, 'd', 0o755, 0, user)).inode;
  const inode = await put(volume, directory, 'f', randomBytes(size), true);
  await volume.link(inode, root, 'again');
  assert.deepEqual((await volume.check()).problems, []);
  await put(volume, root, 'meanwhile', 'x');
  const report = await volume.check();
  assert.deepEqual([report.problems, report.directories, report.files], [[], 2, 2]);
});

test('usage that is wrong is told, and corrected where that is wanted', async () => {
  const store = new MemoryBlockStore();
  const first = await open(store);
  await put(first, root, 'f', randomBytes(100_000), true);
  await first.close();
  // As an older program may have left it.
  const address = namedAddress(volumeId, 'volume');
  const sealer = new Sealer();
  const { version, payload } = store.peek(address)!;
  const { body } = sealer.openPayload(address, payload);
  const state = Buffer.from(body);
  writeU64(state, 3000, 24);
  writeU64(state, 7, 32);
  await store.commit([{ update: [{ address, expect: version, payload: sealer.sealPayload(address, ownerOf(payload), state) }] }]);
  const next = await open(store);
  const { problems } = await next.check(true);
  assert.deepEqual(problems, [
    { kind: 'wrong-usage', what: 'files', counted: 2, recorded: 7 },
    { kind: 'wrong-usage', what: 'allocated', counted: 100_000, recorded: 3000 },
  ]);
  assert.deepEqual((await next.check()).problems, []);
  await next.close();
  assert.deepEqual((await (await open(store)).check()).problems, []);
});
