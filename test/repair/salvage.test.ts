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
  const reports = await salvage({ force: false, lost: [] });
  for (const report of reports) {
    assert.equal(
      report.results.reduce((sum, { count }) => sum + count, 0),
      report.underQuorum,
    );
    assert.deepEqual(report.missing.toSorted(), report.underQuorum > 0 ? lost : []);
  }
  const looked = results(reports);
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
  const outcome = await store.housekeeping.salvage(address, { from: ballot, pointer: null, survivors: ['a', 'b'], unsettled: [] });
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
  const outcome = await store.housekeeping.salvage(
    address,
    { from: ballot, pointer: null, survivors: ['a', 'b'], unsettled: [] },
    { deadlineMs: 300 },
  );
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

/** A block that hosts d, e, f had, all of them lost with it; `told` have a pointer to where it was, others of those that had it before have what they had. */
async function lossOfAll(told: readonly string[]) {
  const cluster = await TestCluster.of(['a', 'b', 'c'], 3, { checkIntervalMs: 1e9 });
  const address = mutableAddress();
  const write = (name: string, payload: string | null, expect: number | 'any' | 'absent' | 'lost' = 'any') =>
    cluster
      .host(name)
      .store.commit([{ update: [{ address, expect, payload: payload === null ? null : Buffer.from(payload) }] }], { deadlineMs: 2000 });
  const fetch = async (name: string) => {
    const block = await cluster.host(name).store.fetch(address, { deadlineMs: 500 });
    return block === undefined ? undefined : { version: block.version, value: Buffer.from(block.payload).toString() };
  };
  await write('a', 'old');
  await cluster.settled([address]);
  const gone = ['d', 'e', 'f'];
  for (const name of gone) await cluster.open(name);
  const { housekeeping } = cluster.host('a').store;
  const { epoch } = (await housekeeping.inspect(address))!.accepted!.record;
  assert.equal((await housekeeping.change(address, epoch, gone)).status, 'committed');
  await write('d', 'new');
  const { accepted } = (await cluster.host('d').store.housekeeping.inspect(address))!;
  await cluster.host('d').store.housekeeping.tell(address, accepted!, told);
  for (const name of gone) await cluster.crash(name);
  const audit: string[] = [];
  const giveUp = async (force: boolean, lost: readonly string[] = gone): Promise<SalvageEntry[]> => {
    const request = { force, lost, giveUp: { by: 'the operator', at: 'noon' } };
    const { blocks } = await cluster.host('a').repair.salvage(request, async ({ step, result }) => void audit.push(`${step} ${result}`));
    return [...blocks];
  };
  return { cluster, address, gone, write, fetch, giveUp, audit };
}

test('a block all of whose hosts are lost is given up by a person: it is told to be lost, its view retires, and it can be made anew', async () => {
  const { cluster, gone, write, fetch, giveUp, audit } = await lossOfAll(['a', 'b', 'c']);
  await using _ = cluster;
  const { repair } = cluster.host('a');
  assert.match((await repair.salvage({ force: true, lost: gone }, async () => {})).blocks[0]!.reason!, /^nothing is left of it/);
  assert.match((await giveUp(true, ['d']))[0]!.reason!, /may return/);
  assert.match((await giveUp(true))[0]!.reason!, /^expel d, e, f first/);
  for (const name of gone) cluster.views.countOut(name);
  await cluster.open('g');
  cluster.views.append(['a', 'b', 'g']);
  await assert.rejects(fetch('b'), { code: 'unavailable' });
  const [possible] = await giveUp(false);
  assert.deepEqual([possible!.result, possible!.missing.toSorted(), possible!.holders, audit], ['possible', gone, [], []]);
  assert.equal((await giveUp(true))[0]!.result, 'given-up');
  assert.deepEqual(audit, ['begin possible', 'end given-up']);
  await eventually(async () => cluster.views.list.length === 1, 20_000, 'the view is not retired');
  for (const name of ['a', 'b', 'c', 'g']) await assert.rejects(fetch(name), { code: 'lost', message: /the operator gave it up at noon$/ });
  for (const expect of ['absent', 2] as const) {
    const result = await write('b', 'x', expect);
    assert.deepEqual(result.done ? undefined : result.outcomes.map((outcome) => 'code' in outcome && outcome.code), ['lost']);
  }
  // Who wants to know is told again.
  const [listed] = await giveUp(false);
  assert.deepEqual([listed!.result, listed!.reason, audit.length], ['given-up', 'by the operator at noon', 2]);
  assert.equal((await write('b', 'anew')).done, true);
  const found = await fetch('g');
  assert.equal(found?.value, 'anew');
  assert.ok(found.version > 2 ** 32, 'its versions begin above all that its lost hosts may have written');
  assert.equal((await write('a', 'old hand', 2)).done, false);
  assert.deepEqual(await giveUp(true), []);
});

test('a block that was given up is made anew once by those who do so only where it still is lost', async () => {
  const { cluster, gone, write, fetch, giveUp } = await lossOfAll(['a', 'b', 'c']);
  await using _ = cluster;
  for (const name of gone) cluster.views.countOut(name);
  assert.equal((await giveUp(true))[0]!.result, 'given-up');
  assert.equal((await write('b', 'anew', 'lost')).done, true);
  const late = await write('c', 'late', 'lost');
  assert.deepEqual(late.done ? undefined : late.outcomes.map(({ status }) => status), ['conflict']);
  assert.equal((await fetch('a'))?.value, 'anew');
});

test('a block that was given up can be removed, and then there is none', async () => {
  const { cluster, gone, write, fetch, giveUp } = await lossOfAll(['a', 'b', 'c']);
  await using _ = cluster;
  for (const name of gone) cluster.views.countOut(name);
  assert.equal((await giveUp(true))[0]!.result, 'given-up');
  assert.equal((await write('b', null)).done, true);
  assert.equal(await fetch('c'), undefined);
  assert.equal((await write('c', 'anew', 'absent')).done, true);
});

test('what is left of a block, and be it older than what is known to be lost, is not given up but salvaged, under no version of before', async () => {
  const { cluster, gone, fetch, giveUp } = await lossOfAll(['a']);
  await using _ = cluster;
  for (const name of gone) cluster.views.countOut(name);
  assert.deepEqual(await giveUp(true), []);
  const { blocks } = await cluster.host('b').repair.salvage({ force: true, lost: gone }, async () => {});
  assert.equal(blocks[0]!.result, 'rewritten');
  assert.deepEqual(await fetch('c'), { version: 3, value: 'old' });
});

test('nor is a block given up while a host that may have it is silent', async () => {
  const { cluster, gone, giveUp } = await lossOfAll(['a', 'b']);
  await using _ = cluster;
  for (const name of gone) cluster.views.countOut(name);
  await cluster.crash('c');
  const [refused] = await giveUp(true);
  assert.deepEqual([refused!.result, refused!.reason], ['refused', 'c, which may have it, did not answer: wait for them, or expel them']);
  await cluster.open('c');
  await eventually(async () => cluster.host('a').transport.isConnected('c'), 5000, 'c is not back');
  assert.deepEqual(await giveUp(true), []);
});

test('a block is given up also where the newest view has none left where it belongs: no other can have room before', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c'], 3, { checkIntervalMs: 1e9 });
  const address = mutableAddress();
  const { store, repair } = cluster.host('a');
  await store.commit([{ update: [{ address, expect: 'absent', payload: Buffer.from('old') }] }]);
  const gone = ['d', 'e', 'f'];
  for (const name of gone) await cluster.open(name);
  cluster.views.append(gone);
  await eventually(async () => cluster.views.list.length === 1, 20_000, 'the first view is not retired');
  // Above the floor of a, which has forgotten it.
  for (const payload of ['new', 'newer', 'newest'])
    await cluster.host('d').store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(payload) }] }]);
  const { accepted } = (await cluster.host('d').store.housekeeping.inspect(address))!;
  await cluster.host('d').store.housekeeping.tell(address, accepted!, ['a']);
  for (const name of gone) await cluster.crash(name);
  for (const name of gone) cluster.views.countOut(name);
  const { blocks } = await repair.salvage({ force: true, lost: gone, giveUp: { by: 'the operator', at: 'noon' } }, async () => {});
  assert.deepEqual([blocks[0]!.result, blocks[0]!.replicas], ['given-up', ['a']]);
  await assert.rejects(cluster.host('b').store.fetch(address, { deadlineMs: 300 }), { code: 'unavailable' });
  cluster.views.append(['a', 'b', 'c']);
  await eventually(async () => cluster.views.list.length === 1, 20_000, 'the view of the lost hosts is not retired');
  for (const name of ['a', 'b', 'c']) await assert.rejects(cluster.host(name).store.fetch(address), { code: 'lost' });
});

test('a host that had the block long ago does not salvage what it had then, where another is left that has it', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'e'], 3, { checkIntervalMs: 1e9 });
  const address = mutableAddress();
  for (const name of ['c', 'd']) await cluster.open(name);
  const { store } = cluster.host('b');
  const write = (payload: string) => store.commit([{ update: [{ address, expect: 'any', payload: Buffer.from(payload) }] }]);
  await write('old');
  // d has it, and then has left; it is told of one move, but not of the next.
  for (const set of [
    ['b', 'e', 'd'],
    ['b', 'e', 'a'],
    ['b', 'e', 'c'],
  ]) {
    const found = await store.housekeeping.resolve(address);
    assert.ok(found.status === 'resolved');
    assert.equal((await store.housekeeping.change(address, found.outcome.accepted!.record.epoch, set)).status, 'committed');
  }
  await write('new');
  const left = cluster.host('d');
  const { accepted } = (await left.store.housekeeping.inspect(address))!;
  assert.deepEqual([accepted!.pointer, accepted!.record.replicas], [false, ['b', 'e', 'a']]);
  // As it does before any view retires.
  assert.equal((await left.store.housekeeping.resolve(address)).status, 'resolved');
  const gone = ['a', 'b', 'e'];
  for (const name of gone) await cluster.crash(name);
  for (const name of gone) cluster.views.countOut(name);
  assert.deepEqual((await left.repair.salvage({ force: true, lost: gone }, async () => {})).blocks, []);
  assert.equal((await cluster.host('c').repair.salvage({ force: true, lost: gone }, async () => {})).rewritten, 1);
  assert.equal(Buffer.from((await cluster.host('c').store.fetch(address))!.payload).toString(), 'new');
});
