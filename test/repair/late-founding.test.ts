import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, mutableAddress } from '../../src/block/index.ts';
import { place } from '../../src/placement/index.ts';
import { Repair } from '../../src/repair/index.ts';
import { eventually, TestCluster } from './test-cluster.ts';

/** A register that the views in force have at these hosts. */
function registerAt(cluster: TestCluster, ...homes: readonly string[]): Address {
  for (;;) {
    const address = mutableAddress();
    if (homes.every((home, index) => place(address, cluster.views.list[index]!.roster, 3).toSorted().join('') === home)) return address;
  }
}

test('a block that is founded in the newest of three views, when its hosts have moved theirs, is moved by the one that still retires the oldest', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c'], 3, { checkIntervalMs: 1e9 });
  for (const name of ['d', 'e', 'f']) await cluster.open(name);
  const { store, transport, repair } = cluster.host('a');
  await repair[Symbol.asyncDispose]();
  cluster.views.append(['a', 'b', 'c', 'd']);
  cluster.views.append(['b', 'c', 'd', 'e', 'f']);
  for (const [name, other] of cluster.hosts) {
    if (name === 'a') continue;
    await eventually(async () => other.repair.status().phase === 'waiting', 20_000, `${name} did not move its blocks`);
    // It has done its part, and looks again in an hour.
    await other.repair[Symbol.asyncDispose]();
  }
  const address = registerAt(cluster, 'abc', 'abd', 'def');
  const founded = await cluster.host('b').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('founded late') }] }]);
  assert.ok(founded.done);
  await using _ = Repair.start({ store, transport, views: cluster.views.of('a'), logger: silentLogger });
  await eventually(async () => cluster.views.list[0]!.number === 2, 15_000, 'the oldest view was not retired');
  const found = await cluster.host('f').store.fetch(address);
  assert.equal(Buffer.from(found!.payload).toString(), 'founded late');
});
