import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import { encodeRequest, type Request } from '../../src/consensus/index.ts';
import { place } from '../../src/placement/index.ts';
import { bringUp } from '../../src/repair/bring-up.ts';
import { kinds } from '../../src/store/kinds.ts';
import { eventually, TestCluster, type TestHost } from './test-cluster.ts';

const five = ['a', 'b', 'c', 'd', 'e'];

/** A register that belongs to exactly these hosts. */
function registerAt(cluster: TestCluster, home: string): Address {
  for (;;) {
    const address = mutableAddress();
    if (place(address, cluster.views.list.at(-1)!.roster, 3).toSorted().join('') === home) return address;
  }
}

async function write(host: TestHost, address: Address, text: string | null): Promise<void> {
  const payload = text === null ? null : Buffer.from(text);
  const result = await host.store.commit([{ update: [{ address, expect: 'any', payload }] }]);
  assert.ok(result.done, JSON.stringify(result));
}

function checkAll(cluster: TestCluster): void {
  for (const { repair } of cluster.hosts.values()) repair.check();
}

/** Lets c, d and e forget a block that was written so often that their floors are high. */
async function raiseFloors(cluster: TestCluster, writes: number): Promise<void> {
  const address = registerAt(cluster, 'cde');
  for (let count = 0; count < writes; count++) await write(cluster.host('e'), address, `${count}`);
  await write(cluster.host('e'), address, null);
  const forgotten = async (): Promise<boolean> => {
    checkAll(cluster);
    return ['c', 'd', 'e'].every((name) => cluster.host(name).store.housekeeping.floor >= writes);
  };
  await eventually(forgotten, 20_000, 'the floors were not raised');
}

async function lacks(cluster: TestCluster, name: string, address: Address): Promise<boolean> {
  return ((await cluster.host(name).store.housekeeping.inspect(address))?.accepted ?? null) === null;
}

for (const way of ['the host that wrote it', 'a check'] as const)
  test(`a replica whose floor refused a block gets it all the same, from ${way}`, async () => {
    await using cluster = await TestCluster.of(five, 3, { checkIntervalMs: 1e9 });
    await raiseFloors(cluster, 40);
    const address = registerAt(cluster, 'abc');
    await write(cluster.host('a'), address, 'here');
    assert.ok(await lacks(cluster, 'c', address), 'c refused the block');
    const before = await cluster.host('b').store.fetch(address);
    if (way === 'a check') {
      // What the writer remembers is gone.
      await cluster.crash('a');
      await cluster.open('a');
    }
    const isHome = async (): Promise<boolean> => {
      if (way === 'a check') checkAll(cluster);
      return await cluster.isHome(address);
    };
    await eventually(isHome, 20_000, 'c has no copy');
    assert.equal((await cluster.host('b').store.fetch(address))?.version, before?.version, 'no writer notices it');
  });

test('a replica whose floor refused a block gets it though another one does not answer', async () => {
  await using cluster = await TestCluster.of(five, 5, { checkIntervalMs: 1e9 });
  const { transport } = cluster.host('a');
  const ballot = { round: 1, peer: 'a', incarnation: 1, serial: 1000 };
  const forget: Request = { type: 'forget', from: 'a', block: mutableAddress(), tag: 0, attempt: 1, ballot, floor: 40 };
  await transport.request('c', kinds.register, Buffer.concat(encodeRequest(forget)), {});
  assert.equal(cluster.host('c').store.housekeeping.floor, 40);
  const address = mutableAddress();
  await write(cluster.host('b'), address, 'here');
  assert.ok(await lacks(cluster, 'c', address), 'c refused the block');
  cluster.network.crash('e');
  const mend = await bringUp(cluster.host('a').store, address, () => ['e', 'c'], AbortSignal.timeout(20_000));
  assert.equal(mend, 'short', 'e has to be told another time');
  assert.ok(!(await lacks(cluster, 'c', address)), 'c has no copy');
});

test('a host that was told a high floor, however late, writes its next blocks above it', async () => {
  await using cluster = await TestCluster.of(five, 3, { checkIntervalMs: 1e9 });
  await raiseFloors(cluster, 40);
  cluster.network.freeze('c');
  await write(cluster.host('a'), registerAt(cluster, 'abc'), 'c is heard when this is over');
  cluster.network.thaw('c');
  const asks = cluster.host('a').store.housekeeping;
  const told = async (): Promise<boolean> => {
    const address = registerAt(cluster, 'abc');
    await write(cluster.host('a'), address, 'next');
    return ((await asks.inspect(address))?.accepted?.ballot.round ?? 0) > 40;
  };
  await eventually(told, 5000, 'the next blocks are refused as well');
});

test('a promise that a late prepare left at a host that the block does not belong to is forgotten', async () => {
  await using cluster = await TestCluster.of(five, 3, { checkIntervalMs: 1e9 });
  const address = registerAt(cluster, 'abc');
  await write(cluster.host('a'), address, 'here');
  const { transport, store } = cluster.host('e');
  const ballot = { round: 7, peer: 'a', incarnation: 1, serial: 1000 };
  const prepare: Request = { type: 'prepare', from: 'a', block: address, tag: 0, attempt: 1, ballot, view: 1, known: null };
  await cluster.host('a').transport.request(transport.self, kinds.register, Buffer.concat(encodeRequest(prepare)), {});
  assert.equal((await store.housekeeping.inspect(address))?.promised?.round, 7);
  cluster.host('e').repair.check();
  await eventually(async () => !(await cluster.disk('e').has(address)), 5000, 'the promise stayed');
  assert.equal(store.housekeeping.floor, 7);
});
