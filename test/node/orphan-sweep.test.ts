import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, Sealer } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/volumes/catalogue.ts';
import { OrphanSweep, type OrphanSweepContext } from '../../src/node/volumes/orphan-sweep.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import type { Volumes } from '../../src/node/volumes/volumes.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { Store } from '../../src/store/index.ts';

const sealer = new Sealer();

/** Blocks of an owner, in the store. */
async function blocksOf(store: Store, owner: string, count: number): Promise<Address[]> {
  const blocks = Array.from({ length: count }, (_, sequence) =>
    sealer.seal({ volume: Buffer.from(owner, 'hex'), inode: 16, epoch: 0, session: 1, sequence }, randomBytes(2000)),
  );
  await store.commit([{ put: blocks }]);
  return blocks.map(({ address }) => address);
}

const id = (digit: string): string => digit.repeat(32);

test('a sweep frees the blocks of volumes that were deleted for good, and touches nothing of which it cannot know', async () => {
  await using disk = new MemoryDisk();
  await using store = await Store.open({ self: 'host', incarnation: 1, disk, logger: silentLogger });
  const catalogue = await Catalogue.open(store, disk, 'infinit', silentLogger);
  const entry = (name: string, volumeId: string) => ({ name, id: volumeId, createdAt: new Date().toISOString(), options: {} });
  // Mounted nowhere: nobody can be asked.
  await catalogue.add(entry('live', id('a')));
  const trashed = await catalogue.add(entry('trashed', id('b')));
  await catalogue.remove(trashed);
  await catalogue.forget(id('c'));
  const [live, inTrash, gone, bucket] = [
    await blocksOf(store, id('a'), 70),
    await blocksOf(store, id('b'), 70),
    await blocksOf(store, id('c'), 150),
    await blocksOf(store, id('d'), 70),
  ];
  const volumes = { servedById: () => undefined } as unknown as Volumes;
  const transport = new MemoryNetwork().open('host');
  await using sweep = new OrphanSweep(
    { disk, store, catalogue, volumes, mayStore: () => true, cluster: () => undefined, logger: silentLogger },
    transport,
  );
  const counted = await sweep.run({ volumeId: id('c'), dry: true });
  assert.equal(counted.unreferenced, 150);
  assert.ok(await disk.has(gone[0]!));
  const report = await sweep.run();
  assert.deepEqual([report.blocks, report.unreferenced], [360, 150]);
  assert.ok(report.unreferencedBytes > 150 * 2000);
  for (const address of gone) assert.equal(await disk.has(address), false);
  for (const address of [...live, ...inTrash, ...bucket]) assert.ok(await disk.has(address));
  assert.equal((await sweep.run()).unreferenced, 0);
});

test('only a host that may store asks what is referred to', async () => {
  const network = new MemoryNetwork();
  const [host, keeper, guest] = ['host', 'keeper', 'guest'].map((name) => network.open(name));
  const volumes = { servedById: () => ({ unreferenced: async () => [] }) } as unknown as Volumes;
  const mayStore = (peer: string): boolean => peer === 'keeper';
  await using _ = new OrphanSweep({ volumes, mayStore } as unknown as OrphanSweepContext, host!);
  const question = [Buffer.from(id('a'), 'hex'), Buffer.from('[]')];
  assert.equal(Buffer.from(await keeper!.request('host', nodeKinds.judgeBlocks, question)).toString(), '[]');
  await assert.rejects(guest!.request('host', nodeKinds.judgeBlocks, question), { code: 'denied' });
});
