import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { kindOf, namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import { purgeVolume } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { BlockedStore } from './blocked-store.ts';
import { open, put, root, TestClock, user, volumeId } from './harness.ts';
import { UnreadableStore } from './unreadable-store.ts';

let session = 1_000_000;
const purge = (store: MemoryBlockStore): ReturnType<typeof purgeVolume> =>
  purgeVolume({ store, sealer: new Sealer(), volumeId, session: ++session, clock: new TestClock(), logger: silentLogger });

/** Files small and large, a deep tree, a wide one, links, an unlinked open file, and what a crash leaves. */
async function fill(store: MemoryBlockStore): Promise<void> {
  const volume = await open(store, { maxDirtyBytes: 4 * 1024 * 1024 });
  let deep = root;
  for (let level = 0; level < 12; level++) {
    deep = (await volume.mkdir(deep, `level${level}`, 0o755, 0, user)).inode;
    await put(volume, deep, 'file', `at ${level}`);
  }
  const wide = (await volume.mkdir(root, 'wide', 0o755, 0, user)).inode;
  for (let index = 0; index < 700; index++) await put(volume, wide, `name-${index}`, 'x');
  for (let index = 0; index < 3; index++) await volume.mkdir(wide, `directory-${index}`, 0o755, 0, user);
  const large = await put(volume, root, 'large', randomBytes(3_500_000), true);
  await volume.link(large, wide, 'large too');
  await volume.symlink(root, 'link', 'wide', user);
  const { attributes, handle } = await volume.create(root, 'gone', 0o644, 0, 2, user);
  await volume.write(attributes.inode, handle, 0, randomBytes(200_000), false);
  await volume.fsync(attributes.inode, handle, false);
  await volume.unlink(root, 'gone');
  await volume.syncfs();
  await put(volume, root, 'not synced', randomBytes(50_000));
  await volume.abandon();
}

test('a purge leaves no block of the volume', async () => {
  const store = new MemoryBlockStore();
  await fill(store);
  const report = await purge(store);
  assert.ok(report.inodes > 700 && report.bytes >= 3_500_000, JSON.stringify(report));
  assert.deepEqual([store.immutableAddresses().size, [...store.mutableAddresses()]], [0, []]);
  assert.deepEqual(await purge(store), { inodes: 0, bytes: 0 });
});

test('a purge that crashes at any block write is finished by the next, but for blocks of one group, which the sweep of deleted volumes finds', async () => {
  for (let writes = 3; writes < 1200; writes += Math.ceil(writes / 2)) {
    const store = new MemoryBlockStore();
    await fill(store);
    store.crashAfter(writes);
    await purge(store).catch(() => {});
    store.restart();
    await purge(store);
    // A split that never got a name in the tree, and blocks dropped after the record that named them.
    const left = [...store.mutableAddresses(), ...store.immutableAddresses()];
    assert.ok(left.length <= 8 && left.every((address) => kindOf(address) !== 'named'), `after ${writes} writes: ${left.length}`);
  }
});

test('a volume that was never mounted is purged at once, and other volumes are left alone', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  await put(volume, root, 'kept', randomBytes(20_000), true);
  await volume.close();
  const before = [store.immutableAddresses().size, store.mutableAddresses().size];
  await purgeVolume({ store, sealer: new Sealer(), volumeId: 'f'.repeat(32), session: ++session, clock: new TestClock(), logger: silentLogger });
  assert.deepEqual([store.immutableAddresses().size, store.mutableAddresses().size], before);
});

test('one file that cannot be removed stays alone', async () => {
  const store = new BlockedStore();
  const volume = await open(store);
  const files = await Promise.all([1, 2, 3].map((index) => put(volume, root, `${index}`, randomBytes(index * 10_000), true)));
  await volume.close();
  store.kept = { address: namedAddress(volumeId, `inode:${files[2]}`), code: 'damaged' };
  const { inodes, bytes } = await purge(store);
  assert.deepEqual({ inodes, bytes }, { inodes: 3, bytes: 30_000 });
  assert.deepEqual([...store.mutableAddresses()], [store.kept.address]);
});

test('a page of names that is damaged keeps nothing else from being removed', async () => {
  const store = new UnreadableStore();
  const volume = await open(store);
  await put(volume, root, 'file', randomBytes(30_000), true);
  const directory = (await volume.mkdir(root, 'directory', 0o755, 0, user)).inode;
  for (let index = 0; index < 300; index++) await put(volume, directory, `${index}-${'x'.repeat(100)}`, '');
  await volume.close();
  const pages = [...store.mutableAddresses()].filter(
    (address) => kindOf(address) === 'mutable' && ownerOf(store.peek(address)!.payload).inode === directory,
  );
  assert.ok(pages.length > 1);
  store.lacks = (address) => (address === pages[0] ? 'damaged' : undefined);
  const { inodes, bytes } = await purge(store);
  assert.ok(inodes >= 2 && bytes === 30_000, `${inodes} inodes`);
  assert.equal(store.peek(namedAddress(volumeId, 'volume')), undefined);
});
