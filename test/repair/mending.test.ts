import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, immutableAddress, mutableAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { place } from '../../src/placement/index.ts';
import { eventually, TestCluster, type TestHost } from './test-cluster.ts';
import { Workload } from './workload.ts';

const three = ['a', 'b', 'c'];

async function write(host: TestHost, address: Address, payload: string | null): Promise<void> {
  const result = await host.store.commit([{ update: [{ address, expect: 'any', payload: payload === null ? null : Buffer.from(payload) }] }]);
  assert.ok(result.done, JSON.stringify(result));
}

async function put(host: TestHost, text: string): Promise<Address> {
  const sealed = Buffer.from(text);
  const address = immutableAddress(sealed);
  await host.store.commit([{ put: [{ address, sealed }] }]);
  return address;
}

test('what a host missed while it was down it has after its return, without anybody reading it', async () => {
  await using cluster = await TestCluster.of(three);
  const workload = new Workload(cluster, 20);
  await workload.fill(10);
  await cluster.settled([...workload.registers, ...workload.copies]);
  await cluster.crash('a');
  for (const address of workload.registers) await write(cluster.host('b'), address, 'news');
  const missed = [];
  for (let count = 0; count < 10; count++) missed.push(await put(cluster.host('b'), `missed ${count}`));
  await cluster.open('a');
  await cluster.settled([...workload.registers, ...workload.copies, ...missed]);
});

test('copies that are damaged or gone are made again from another host’s', async () => {
  await using cluster = await TestCluster.of(three);
  const workload = new Workload(cluster, 4);
  await workload.fill(12);
  await cluster.settled([...workload.registers, ...workload.copies]);
  const [damaged, gone] = [workload.copies.slice(0, 6), workload.copies.slice(6)];
  for (const address of damaged) cluster.disk('b').damage(address);
  await cluster.disk('c').write(gone.map((address) => ({ type: 'delete', address })));
  for (const { repair } of cluster.hosts.values()) repair.scrub(1e9);
  await cluster.settled(workload.copies);
  await eventually(async () => cluster.disk('b').damagedAddresses().length === 0, 10_000, 'a damaged copy stayed');
  assert.equal(cluster.host('b').repair.status().scrub.repaired, 6);
});

test('a host that could not compare everything says so, and no longer when it could', async () => {
  await using cluster = await TestCluster.of(['a', 'b'], 2, { checkIntervalMs: 1e9 });
  await put(cluster.host('a'), 'data');
  const { repair } = cluster.host('a');
  // Now nobody answers there.
  await cluster.host('b').repair[Symbol.asyncDispose]();
  repair.check();
  await eventually(async () => repair.status().phase === 'open', 10_000, 'it says that all is well');
  assert.equal(repair.status().lastCheck!.open, true);
  await cluster.crash('b');
  await cluster.open('b');
  await eventually(async () => repair.status().phase === 'idle', 10_000, 'it is not content');
  assert.equal(repair.status().lastCheck!.open, false);
});

test('a reader that had to fetch a block that should be here keeps it', async () => {
  await using cluster = await TestCluster.of(three, 3, { checkIntervalMs: 1e9 });
  const address = await put(cluster.host('a'), 'data');
  await eventually(async () => (await cluster.holders(address)).length === 3, 5000, 'three copies');
  await cluster.disk('b').write([{ type: 'delete', address }]);
  assert.equal(Buffer.from(await cluster.host('b').store.get(address)).toString(), 'data');
  await eventually(async () => (await cluster.holders(address)).length === 3, 5000, 'the copy was not written back');
});

test('a damaged register is replaced, and no answer is given from nothing meanwhile', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c', 'd']);
  const workload = new Workload(cluster, 12);
  await workload.fill(0);
  await cluster.settled(workload.registers);
  for (const address of workload.registers) {
    const [first] = place(address, cluster.views.list[0]!.roster, 3);
    cluster.disk(first!).damage(address);
  }
  for (const name of ['a', 'b', 'c', 'd']) {
    await cluster.crash(name);
    await cluster.open(name);
  }
  workload.start(2);
  for (const { repair } of cluster.hosts.values()) repair.scrub(1e9);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await workload.stop();
  await cluster.settled(workload.registers);
  await workload.verify();
});

test('what is removed is forgotten by all, and stays removed where a host was down meanwhile', async () => {
  await using cluster = await TestCluster.of(three);
  const addresses = Array.from({ length: 10 }, () => mutableAddress());
  for (const address of addresses) await write(cluster.host('a'), address, 'x');
  await cluster.settled(addresses);
  await cluster.crash('c');
  for (const address of addresses) await write(cluster.host('a'), address, null);
  await new Promise((resolve) => setTimeout(resolve, 500));
  // The one that is down could bring it back: nobody forgets.
  assert.notEqual(await cluster.host('a').store.housekeeping.inspect(addresses[0]!), undefined);
  await cluster.open('c');
  for (const address of addresses) {
    await eventually(
      async () => {
        for (const { repair } of cluster.hosts.values()) repair.check();
        assert.equal(await cluster.host('c').store.fetch(address), undefined);
        const states = await Promise.all([...cluster.hosts.values()].map(({ store }) => store.housekeeping.inspect(address)));
        return states.every((state) => (state?.accepted ?? null) === null);
      },
      20_000,
      'a removed block is not forgotten',
    );
  }
});

test('status counts what has too few copies, by one host each, and says how old the count is', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c']);
  const workload = new Workload(cluster, 5);
  await workload.fill(5);
  await cluster.settled([...workload.registers, ...workload.copies]);
  await cluster.crash('b');
  const counts = async (): Promise<number> => {
    let sum = 0;
    for (const { repair } of cluster.hosts.values()) {
      sum += repair.status().lastCheck?.counts.underReplicated ?? 0;
      repair.check();
    }
    return sum;
  };
  await eventually(async () => (await counts()) === 10, 10_000, 'ten blocks have two copies');
  await cluster.open('b');
  await eventually(async () => (await counts()) === 0, 10_000, 'all have three again');
  assert.ok(cluster.host('a').repair.status().lastCheck!.ageSeconds < 60);
});

test('a copy that a host in reach cannot take is missed by the counts, by one host', async () => {
  await using cluster = new TestCluster();
  cluster.views.append(three);
  await cluster.open('a');
  await cluster.open('b');
  await cluster.open('c', new MemoryDisk({ capacityBytes: 64 * 1024 }));
  const sealed = Buffer.alloc(256 * 1024, 'too large for c');
  const address = immutableAddress(sealed);
  await cluster.host('a').store.commit([{ put: [{ address, sealed }] }]);
  const counts = async (): Promise<number[]> => {
    for (const { repair } of cluster.hosts.values()) repair.check();
    return three.map((name) => cluster.host(name).repair.status().lastCheck?.counts.underReplicated ?? 0);
  };
  await eventually(async () => (await counts()).join() === '1,0,0', 10_000, 'one block has two copies');
  assert.deepEqual(await cluster.holders(address), ['a', 'b']);
  assert.equal(cluster.host('a').repair.status().repaired, 0);
});

test('a block that was erased and is put again while a host is away is kept by all, the one that returns included', async () => {
  await using cluster = await TestCluster.of(three, 3, { checkIntervalMs: 1e9 });
  for (const away of three) {
    const [writer, other] = three.filter((name) => name !== away);
    const address = await put(cluster.host(writer!), `value ${away}`);
    await eventually(async () => (await cluster.holders(address)).length === 3, 5000, 'three copies');
    await cluster.host(writer!).store.commit([{ erase: [address] }]);
    assert.deepEqual(await cluster.holders(address), [], 'the removal ended before the copies were gone');
    cluster.network.partition([away], [writer!, other!]);
    assert.equal(await put(cluster.host(writer!), `value ${away}`), address);
    await eventually(async () => (await cluster.holders(address)).length === 2, 5000, 'two copies');
    cluster.network.heal();
    // What was lost on its way is known to be lost: on a connection that lives nothing is, and a check would wait long for an answer.
    for (const peer of [writer!, other!]) cluster.host(away).transport.drop(peer, 'it did not answer');
    for (const { repair } of cluster.hosts.values()) repair.check();
    await eventually(
      async () => {
        const holders = await cluster.holders(address);
        assert.ok(holders.length >= 2, 'an acknowledged copy was deleted');
        for (const { repair } of cluster.hosts.values()) repair.check();
        return holders.length === 3;
      },
      10_000,
      'the host that returned has no copy',
    );
  }
});

test('whether a block is erased is not known while a host in reach does not say so: it may delete its copy later', async () => {
  await using cluster = await TestCluster.of(three, 3, { checkIntervalMs: 1e9 });
  const address = await put(cluster.host('a'), 'data');
  await eventually(async () => (await cluster.holders(address)).length === 3, 5000, 'three copies');
  cluster.network.freeze('c');
  await assert.rejects(cluster.host('a').store.commit([{ erase: [address] }], { deadlineMs: 200 }), { code: 'unknown-outcome' });
  assert.deepEqual(await cluster.holders(address), ['c']);
  cluster.network.thaw('c');
  await eventually(async () => (await cluster.holders(address)).length === 0, 5000, 'the third copy stayed');
});
