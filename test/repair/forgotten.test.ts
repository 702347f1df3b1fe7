import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import { type AcceptorState, encodeState } from '../../src/consensus/index.ts';
import { place } from '../../src/placement/index.ts';
import { eventually, TestCluster } from './test-cluster.ts';

test('what is left of a block that was removed and forgotten elsewhere, below a pointer that is left as well, holds up no view', async () => {
  const names = ['a', 'b', 'd'];
  await using cluster = await TestCluster.of(names, 1, { checkIntervalMs: 1e9 });
  const address = registerAt(cluster, 'd');
  // As stragglers may leave them, and a host that was counted out while others settled the block.
  await keep(cluster, 'a', address, 3, 'a', false);
  await keep(cluster, 'd', address, 9, 'b', true);
  cluster.views.append(names);
  await eventually(async () => cluster.views.list.length === 1, 15_000, 'the view was not retired');
  const { housekeeping } = cluster.host('a').store;
  assert.equal(await housekeeping.inspect(address), undefined);
  assert.ok(housekeeping.floor >= 3, 'what it had promised is refused all the same');
});

function registerAt(cluster: TestCluster, home: string): Address {
  for (;;) {
    const address = mutableAddress();
    if (place(address, cluster.views.list[0]!.roster, 1)[0] === home) return address;
  }
}

/** Has a host find this on its disk. */
async function keep(cluster: TestCluster, name: string, address: Address, round: number, replica: string, pointer: boolean): Promise<void> {
  const ballot = { round, peer: 'b', incarnation: 1, serial: round };
  const record = { version: 1, epoch: 1, replicas: [replica], previous: [], unsettled: [], origin: ballot, value: null };
  const state: AcceptorState = { promised: ballot, accepted: { ballot, record, pointer }, lost: false };
  await cluster.disk(name).write([{ type: 'put', address, bytes: encodeState(state) }]);
}
