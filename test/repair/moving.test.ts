import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually, TestCluster } from './test-cluster.ts';
import { Workload } from './workload.ts';

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `host-${String(index).padStart(2, '0')}`);

test('from one host to three: old blocks get three copies', async () => {
  const [a, b, c] = names(3) as [string, string, string];
  await using cluster = await TestCluster.of([a]);
  const workload = new Workload(cluster);
  await workload.fill();
  await cluster.open(b);
  await cluster.open(c);
  cluster.views.append([a, b, c]);
  workload.start();
  await cluster.settled([...workload.registers.slice(0, 1), ...workload.copies]);
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('a newcomer takes its share and what is surplus is trimmed, while hosts write', async () => {
  const all = names(6);
  await using cluster = await TestCluster.of(all.slice(0, 5));
  const workload = new Workload(cluster, 16);
  await workload.fill(24);
  workload.start();
  await cluster.open(all[5]!);
  cluster.views.append(all);
  await cluster.settled(workload.copies.slice(0, 24));
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
  assert.ok((await cluster.disk(all[5]!).list(undefined, 1)).length > 0);
});

test('hosts that join at once and one after another: every block ends where the last roster has it', async () => {
  const all = names(8);
  await using cluster = await TestCluster.of(all.slice(0, 2));
  const workload = new Workload(cluster);
  await workload.fill();
  workload.start();
  await Promise.all(all.slice(2, 5).map((name) => cluster.open(name)));
  cluster.views.append(all.slice(0, 5));
  for (const [index, name] of all.slice(5).entries()) {
    await cluster.open(name);
    cluster.views.append(all.slice(0, 6 + index));
  }
  await cluster.settled(workload.copies.slice(0, 8));
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('a cluster that restarts from its disks goes on with a move that was under way', async () => {
  const all = names(4);
  await using cluster = await TestCluster.of(all.slice(0, 3));
  const workload = new Workload(cluster, 32);
  await workload.fill(32);
  await cluster.open(all[3]!);
  cluster.views.append(all);
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (const name of all) await cluster.crash(name);
  for (const name of all) await cluster.open(name);
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('a host that is killed while hosts write is counted out, and its copies are made again elsewhere', async () => {
  const all = names(5);
  await using cluster = await TestCluster.of(all);
  const workload = new Workload(cluster, 16);
  await workload.fill(24);
  workload.start();
  await new Promise((resolve) => setTimeout(resolve, 100));
  await cluster.crash(all[1]!);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const left = all.filter((name) => name !== all[1]);
  cluster.views.countOut(all[1]!);
  cluster.views.append(left);
  await cluster.settled(workload.copies.slice(0, 24));
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('a frozen host that is counted out returns with old states and harms nobody', async () => {
  const all = names(4);
  await using cluster = await TestCluster.of(all);
  const workload = new Workload(cluster);
  await workload.fill();
  const frozen = cluster.freeze(all[0]!);
  workload.start();
  cluster.views.countOut(all[0]!);
  cluster.views.append(all.slice(1));
  await cluster.settled([...workload.copies]);
  cluster.thaw(frozen);
  await frozen.store.housekeeping.loseEverything();
  // Only a host that holds nothing any longer may be taken in again.
  for (const address of workload.registers) assert.notEqual((await frozen.store.housekeeping.inspect(address))?.lost, true);
  cluster.views.countedOut.clear();
  cluster.views.append(all);
  await cluster.settled([...workload.copies]);
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('a host that resigns gives everything away first, and then nothing is missing', async () => {
  const all = names(4);
  await using cluster = await TestCluster.of(all);
  const workload = new Workload(cluster);
  await workload.fill();
  workload.start();
  cluster.views.append(all.slice(1));
  await cluster.settled([...workload.copies]);
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  // What a writer was not told of, and so is not waited for above, goes too.
  const empty = async (): Promise<boolean> => {
    cluster.hosts.get(all[0]!)!.repair.check();
    return (await cluster.disk(all[0]!).list(undefined, 1)).length === 0;
  };
  await eventually(empty, 20_000, 'the host that resigned still holds something');
  await cluster.crash(all[0]!);
  await workload.verify();
});

test('the whole cluster is replaced host by host, thirty-two times, without a loss', { timeout: 300_000 }, async () => {
  const all = names(36);
  await using cluster = await TestCluster.of(all.slice(0, 4));
  const workload = new Workload(cluster, 4);
  await workload.fill(4);
  workload.start(2);
  for (let turn = 0; turn < 32; turn++) {
    const gone = all[turn]!;
    await cluster.crash(gone);
    await cluster.open(all[turn + 4]!);
    cluster.views.countOut(gone);
    cluster.views.append(all.slice(turn + 1, turn + 5));
    await cluster.settled(workload.copies.slice(0, 4));
  }
  await workload.stop();
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('two hosts that come and are lost again at once, while blocks move to them, hold nobody up', async () => {
  const all = names(6);
  await using cluster = await TestCluster.of(all.slice(0, 4));
  const workload = new Workload(cluster, 32);
  await workload.fill(8);
  for (const name of all.slice(4)) await cluster.open(name);
  cluster.views.append(all);
  for (const name of all.slice(4)) {
    await cluster.crash(name);
    cluster.views.countOut(name);
  }
  cluster.views.append(all.slice(0, 4));
  await cluster.settled([...workload.registers, ...workload.copies]);
  await workload.verify();
});

test('a host that came back into a further view goes on with no move of before', async () => {
  const [a, b] = names(2) as [string, string];
  await using cluster = await TestCluster.of([a], 1);
  const workload = new Workload(cluster);
  await workload.fill();
  // It was about to be done with moving to the next view when the others counted it out; it came back, and was started anew.
  const { housekeeping } = cluster.host(a).store;
  for (const [part, last] of [
    ['registers', '13'],
    ['copies', '10'],
  ])
    await housekeeping.save(`walk/${part}`, `retire/1/2/0 ${last}${'f'.repeat(62)} 0 0`);
  await cluster.crash(a);
  cluster.views.append([b]);
  await cluster.open(b);
  cluster.views.append([a, b]);
  const moved = Promise.withResolvers<readonly string[]>();
  const stop = cluster.views.of(b).onChange(() => {
    if (cluster.views.list[0]!.number === 1) return;
    stop();
    Promise.all(workload.registers.map(async (address) => ((await cluster.disk(b).has(address)) ? 'moved' : address))).then(
      moved.resolve,
      moved.reject,
    );
  });
  await cluster.open(a);
  assert.deepEqual([...new Set(await moved.promise)], ['moved']);
});
