import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
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
