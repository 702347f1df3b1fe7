import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import { place } from '../../src/placement/index.ts';
import type { SalvageEntry, SalvageReport, SalvageRequest } from '../../src/repair/index.ts';
import { eventually, TestCluster } from './test-cluster.ts';

const all = ['a', 'b', 'c', 'd', 'e'];
const lost = ['d', 'e'];

/** Five hosts, of which two are lost at once, with what they held. */
async function lossOfTwo() {
  const cluster = await TestCluster.of(all);
  const addresses = Array.from({ length: 40 }, () => mutableAddress());
  for (const address of addresses) await cluster.host('a').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from(address) }] }]);
  await cluster.settled(addresses);
  const { roster } = cluster.views.list[0]!;
  const stuck = addresses.filter((address) => place(address, roster, 3).filter((peer) => lost.includes(peer)).length === 2);
  for (const name of lost) await cluster.crash(name);
  const audit: ({ step: string } & SalvageEntry)[] = [];
  const salvage = async (request: SalvageRequest): Promise<SalvageReport[]> => {
    const reports: SalvageReport[] = [];
    for (const { repair } of cluster.hosts.values()) reports.push(await repair.salvage(request, async (line) => void audit.push(line)));
    return reports;
  };
  return { cluster, addresses, stuck, audit, salvage };
}

const results = (reports: readonly SalvageReport[]): readonly SalvageEntry[] => reports.flatMap(({ blocks }) => blocks);

test('blocks whose majority is merely out of reach are listed, and nothing whatever is asked for rewrites them', async () => {
  const { cluster, addresses, stuck, audit, salvage } = await lossOfTwo();
  await using _ = cluster;
  assert.ok(stuck.length > 0 && stuck.length < addresses.length);
  await assert.rejects(cluster.host('a').store.fetch(stuck[0]!, { deadlineMs: 300 }), { code: 'unavailable' });
  const looked = results(await salvage({ force: false, lost: [] }));
  assert.deepEqual(looked.map(({ address }) => address).sort(), stuck.toSorted());
  for (const { missing, holders, version } of looked) {
    assert.deepEqual([missing.toSorted(), holders.length, version], [lost, 1, 1]);
  }
  for (const request of [
    { force: true, lost: [] },
    { force: true, lost: ['d'] },
    { force: true, lost },
  ])
    assert.deepEqual(
      results(await salvage(request)).map(({ result }) => result),
      stuck.map(() => 'refused'),
    );
  assert.deepEqual(audit, []);
  for (const name of lost) await cluster.open(name);
  await cluster.settled(addresses);
});

test('with the lost hosts expelled and named, what is left of their blocks is made whole, and every step is in the audit', async () => {
  const { cluster, addresses, stuck, audit, salvage } = await lossOfTwo();
  await using _ = cluster;
  for (const name of lost) cluster.views.countOut(name);
  const dry = results(await salvage({ force: false, lost }));
  assert.ok(dry.every(({ result }) => result === 'possible'));
  assert.deepEqual(audit, []);
  const done = results(await salvage({ force: true, lost }));
  assert.deepEqual([done.length, new Set(done.map(({ result }) => result))], [stuck.length, new Set(['rewritten'])]);
  assert.deepEqual(
    audit.map(({ step, address }) => [step, address]),
    done.flatMap(({ address }) => [
      ['begin', address],
      ['end', address],
    ]),
  );
  for (const address of addresses) assert.equal(Buffer.from((await cluster.host('b').store.fetch(address))!.payload).toString(), address);
  cluster.views.append(['a', 'b', 'c']);
  await cluster.settled(addresses);
  await eventually(async () => results(await salvage({ force: false, lost })).length === 0, 5000, 'nothing is left to salvage');
});

test('a block of which one of two records was damaged is made whole from the other, and the host with the damage has it again', async () => {
  await using cluster = await TestCluster.of(['a', 'b'], 2);
  const address = mutableAddress();
  await cluster.host('a').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('x') }] }]);
  await cluster.settled([address]);
  await cluster.crash('b');
  cluster.disk('b').damage(address);
  await cluster.open('b');
  await eventually(async () => cluster.host('a').transport.isConnected('b'), 5000, 'b is not back');
  await assert.rejects(cluster.host('a').store.fetch(address, { deadlineMs: 300 }), { code: 'unavailable' });
  const salvage = (force: boolean): Promise<SalvageReport> => cluster.host('a').repair.salvage({ force, lost: [] }, async () => {});
  const [entry] = (await salvage(false)).blocks;
  assert.deepEqual([entry?.missing, entry?.damaged, entry?.replicas, entry?.result], [[], ['b'], ['a'], 'possible']);
  assert.equal((await salvage(true)).rewritten, 1);
  assert.equal(Buffer.from((await cluster.host('a').store.fetch(address))!.payload).toString(), 'x');
  await cluster.settled([address]);
});

test('what another host salvaged meanwhile, and a client wrote since, is not written over', async () => {
  await using cluster = await TestCluster.of(all, 5);
  const address = mutableAddress();
  const { store, repair } = cluster.host('a');
  await store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('old') }] }]);
  await cluster.settled([address]);
  const gone = ['c', 'd', 'e'];
  for (const name of gone) await cluster.crash(name);
  for (const name of gone) cluster.views.countOut(name);
  const steps: string[] = [];
  const { blocks } = await repair.salvage({ force: true, lost: gone }, async ({ step, result }) => {
    steps.push(`${step} ${result}`);
    if (step === 'end') return;
    assert.equal((await cluster.host('b').repair.salvage({ force: true, lost: gone }, async () => {})).rewritten, 1);
    const written = await store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from('new') }] }]);
    assert.ok(written.done, JSON.stringify(written));
  });
  assert.deepEqual([blocks[0]!.result, steps], ['refused', ['begin possible', 'end refused']]);
  assert.equal(Buffer.from((await store.fetch(address))!.payload).toString(), 'new');
});

test('what a write of before leaves with those that are left, after they were looked at, is salvaged in the same run', async () => {
  await using cluster = await TestCluster.of(all, 5, { checkIntervalMs: 1e9 });
  const address = mutableAddress();
  const { store, repair } = cluster.host('a');
  const write = (payload: string, deadlineMs = 5000) =>
    store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(payload) }] }], { deadlineMs });
  // A quorum promises what comes next along with it.
  await write('old');
  await cluster.settled([address]);
  await write('older');
  const gone = ['c', 'd', 'e'];
  for (const name of gone) await cluster.crash(name);
  for (const name of gone) cluster.views.countOut(name);
  const steps: string[] = [];
  const { blocks } = await repair.salvage({ force: true, lost: gone }, async ({ step, result }) => {
    steps.push(`${step} ${result}`);
    if (steps.length > 1) return;
    const late = await write('late', 200);
    assert.equal(late.done, false);
    assert.equal((await store.housekeeping.inspect(address))!.accepted!.record.version, 3);
  });
  assert.deepEqual(steps, ['begin possible', 'end refused', 'begin possible', 'end rewritten']);
  assert.deepEqual([blocks.length, blocks[0]!.result, blocks[0]!.version], [1, 'rewritten', 3]);
  assert.equal(Buffer.from((await cluster.host('b').store.fetch(address))!.payload).toString(), 'late');
});

test('nor is what a host that is left accepted after the last look', async () => {
  await using cluster = await TestCluster.of(all, 5);
  const address = mutableAddress();
  const { store } = cluster.host('a');
  const write = (payload: string) => store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(payload) }] }]);
  await write('old');
  await cluster.settled([address]);
  const { ballot } = (await store.housekeeping.inspect(address))!.accepted!;
  await write('new');
  for (const name of ['c', 'd', 'e']) await cluster.crash(name);
  const outcome = await store.housekeeping.salvage(address, { from: ballot, survivors: ['a', 'b'], unsettled: [] });
  assert.equal(outcome.status, 'conflict');
  const { record } = (await store.housekeeping.inspect(address))!.accepted!;
  assert.deepEqual([Buffer.from(record.value!).toString(), record.replicas.length], ['new', 5]);
});

test('a rewrite to which one of the hosts that are left does not answer is not called one', async () => {
  await using cluster = await TestCluster.of(all, 5);
  const address = mutableAddress();
  const { store } = cluster.host('a');
  await store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('x') }] }]);
  await cluster.settled([address]);
  const { ballot } = (await store.housekeeping.inspect(address))!.accepted!;
  for (const name of ['b', 'c', 'd', 'e']) await cluster.crash(name);
  const outcome = await store.housekeeping.salvage(address, { from: ballot, survivors: ['a', 'b'], unsettled: [] }, { deadlineMs: 300 });
  assert.equal(outcome.status, 'no-quorum');
  assert.equal((await store.housekeeping.inspect(address))!.accepted!.record.replicas.length, 5);
});

test('a host that is merely away with an earlier record has no say when it comes back', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'f'], 3, { checkIntervalMs: 1e9 });
  const address = mutableAddress();
  const write = (name: string, payload: string) =>
    cluster.host(name).store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(payload) }] }]);
  await write('a', 'old');
  await cluster.settled([address]);
  // It keeps the record of the set that the block leaves, and is never told.
  await cluster.crash('f');
  for (const name of ['c', 'd', 'e']) await cluster.open(name);
  const { epoch } = (await cluster.host('a').store.housekeeping.inspect(address))!.accepted!.record;
  const { status } = await cluster.host('a').store.housekeeping.change(address, epoch, ['c', 'd', 'e']);
  assert.equal(status, 'committed');
  assert.equal((await write('c', 'new')).done, true);
  await eventually(
    async () => (await cluster.host('c').store.housekeeping.inspect(address))?.accepted?.record.value?.length === 3,
    5000,
    'c has not heard of it',
  );
  for (const name of ['d', 'e']) {
    await cluster.crash(name);
    cluster.views.countOut(name);
  }
  const { blocks } = await cluster.host('c').repair.salvage({ force: true, lost: ['d', 'e'] }, async () => {});
  assert.deepEqual([blocks[0]?.result, blocks[0]?.replicas], ['rewritten', ['c']]);
  const { record } = (await cluster.host('c').store.housekeeping.inspect(address))!.accepted!;
  assert.ok(record.unsettled.includes('f'), `listed are ${record.unsettled.join()}`);
  // Whoever was to forget the block without it would have left it a majority of its old set.
  await cluster.host('c').store.housekeeping.settle(address, ['d', 'e'], [], { deadlineMs: 500 });
  await cluster.open('f');
  assert.equal(Buffer.from((await cluster.host('f').store.fetch(address))!.payload).toString(), 'new');
});

test('what was merely promised of a block whose majority is lost keeps no view from retiring', async () => {
  const { cluster, addresses, salvage } = await lossOfTwo();
  await using _ = cluster;
  const { roster } = cluster.views.list[0]!;
  const founded = Array.from({ length: 40 }, () => mutableAddress()).filter(
    (address) => place(address, roster, 3).filter((peer) => lost.includes(peer)).length === 2,
  );
  const write = (address: Address) =>
    cluster.host('a').store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('x') }] }], { deadlineMs: 100 });
  for (const address of founded) assert.equal((await write(address)).done, false);
  assert.ok((await Promise.all(founded.map((address) => cluster.holders(address)))).some((holders) => holders.length > 0));
  for (const name of lost) cluster.views.countOut(name);
  cluster.views.append(['a', 'b', 'c']);
  await salvage({ force: true, lost });
  await eventually(async () => cluster.views.list.length === 1, 20_000, 'the view of the lost hosts is not retired');
  assert.equal(await cluster.host('b').store.fetch(founded[0]!), undefined);
  assert.equal((await write(founded[0]!)).done, true);
  await cluster.settled(addresses);
});

test('while several rosters are in force nothing is rewritten that may have been moved to hosts that do not answer', async () => {
  const cluster = await TestCluster.of(['b', 'c', 'd']);
  await using _ = cluster;
  const address = mutableAddress();
  const write = (name: string, text: string) =>
    cluster.host(name).store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(text) }] }]);
  await write('b', 'old');
  await cluster.settled([address]);
  await cluster.crash('b');
  for (const name of ['e', 'f', 'g', 'h', 'i', 'j']) await cluster.open(name);
  cluster.views.append(['e', 'f', 'g']);
  await eventually(hasMoved, 10_000, 'it was not moved');
  cluster.views.append(['h', 'i', 'j']);
  assert.equal((await write('e', 'new')).done, true);
  for (const name of ['c', 'd']) {
    await cluster.crash(name);
    cluster.views.countOut(name);
  }
  // The host that was away comes back, and does not hear those who have the block now.
  cluster.network.partition(['b'], ['e', 'f', 'g']);
  await cluster.open('b');
  await eventually(async () => cluster.host('b').transport.isConnected('h'), 5000, 'b is not back');
  const { blocks } = await cluster.host('b').repair.salvage({ force: true, lost: ['c', 'd'] }, async () => {});
  assert.deepEqual(
    blocks.map(({ result }) => result),
    ['refused'],
  );
  assert.match(blocks[0]!.reason!, /^\w, \w, \w, where the block may have been moved/);
  assert.equal(Buffer.from((await cluster.host('e').store.fetch(address))!.payload).toString(), 'new');

  async function hasMoved(): Promise<boolean> {
    for (const name of ['e', 'f', 'g']) {
      const accepted = (await cluster.host(name).store.housekeeping.inspect(address))?.accepted ?? null;
      if (accepted === null || accepted.pointer || accepted.record.previous.length > 0) return false;
    }
    return true;
  }
});

test('a block that would go to where a view has lost all its hosts goes to the newest view instead, and neither view waits for it', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c']);
  const address = mutableAddress();
  const { store } = cluster.host('a');
  await store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('x') }] }]);
  await cluster.settled([address]);
  // Lost before anything was moved to them.
  const gone = ['d', 'e', 'f'];
  cluster.views.append(gone);
  for (const name of gone) cluster.views.countOut(name);
  await cluster.open('g');
  cluster.views.append(['b', 'c', 'g']);
  await cluster.settled([address], 20_000);
  assert.equal(Buffer.from((await cluster.host('g').store.fetch(address))!.payload).toString(), 'x');
});
