/** The list of files that somebody has open and that have no name. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { namedAddress, Sealer } from '../../src/block/index.ts';
import { VolumeContext } from '../../src/filesystem/context.ts';
import { Orphans } from '../../src/filesystem/removal/orphans.ts';
import { NodeCache } from '../../src/tree/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, look, open, put, root, TestClock, user, volumeId } from './harness.ts';

const list = namedAddress(volumeId, 'orphans');

for (const fate of ['unknown-applied', 'unknown-lost'] as const)
  test(`a file that gets a name when it is not known whether the list has it stays at the next mount (${fate})`, async () => {
    let broken = false;
    const store = new MemoryBlockStore({ fate: ({ address }) => (broken && address === list ? fate : 'normal') });
    const volume = await open(store);
    const { attributes, handle } = await volume.tmpfile(root, 0o600, 0, 2, user);
    const { inode } = attributes;
    await volume.write(inode, handle, 0, Buffer.from('text'), false);
    broken = true;
    await volume.recall();
    broken = false;
    await volume.link(inode, root, 'name');
    await volume.close();
    const after = await open(store);
    assert.equal(await look(after, root, 'name'), inode);
    assert.equal((await contentOf(after, inode)).toString(), 'text');
    assert.deepEqual((await after.check()).problems, []);
  });

test('one that has a name and was left on the list is not removed, and not on the list any more', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'name', 'text');
  await volume.close();
  const setup = { store, sealer: new Sealer(), volumeId, session: 1_000_000, clock: new TestClock(), logger: silentLogger };
  const orphans = new Orphans(new VolumeContext(setup), new NodeCache(16));
  await orphans.load();
  orphans.set(inode, true);
  await orphans.apply(orphans.changes());
  for (let mount = 0; mount < 2; mount++) {
    const after = await open(store);
    assert.equal(await look(after, root, 'name'), inode);
    // The next checkpoint takes it off.
    await put(after, root, `other-${mount}`, '');
    await after.close();
  }
  const later = new Orphans(new VolumeContext(setup), new NodeCache(16));
  await later.load();
  assert.deepEqual(later.all(), []);
});
