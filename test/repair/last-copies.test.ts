import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, immutableAddress } from '../../src/block/index.ts';
import { place, Roster } from '../../src/placement/index.ts';
import { LastCopies } from '../../src/repair/last-copies.ts';
import type { Standpoint } from '../../src/repair/standpoint.ts';
import { TestCluster } from './test-cluster.ts';
import { Workload } from './workload.ts';

const all = ['a', 'b', 'c', 'd', 'e', 'f'];
const rosterOf = (names: readonly string[]): Roster => Roster.of(names.map((peer) => ({ peer, zone: '', capacity: 1 })));
const addresses = Array.from({ length: 300 }, (_, index) => immutableAddress(Buffer.from(`block ${index}`)));

/** By host a, where these hosts are away or counted out. */
function lastCopies(replicas: number, away: readonly string[], countedOut: readonly string[] = []): LastCopies {
  const standpoint: Pick<Standpoint, 'self' | 'isUp' | 'home' | 'views'> = {
    self: 'a',
    isUp: (peer) => !away.includes(peer),
    home: (address, view) => place(address, view.roster, view.replicas),
    views: { countedOut: () => new Set(countedOut) } as never,
  };
  return new LastCopies(standpoint as Standpoint, [{ number: 1, roster: rosterOf(all), replicas }]);
}

test('with fewer hosts away than a block has other copies none is the last, and nothing is looked at', () => {
  assert.equal(lastCopies(3, []).any, false);
  assert.equal(lastCopies(3, ['b']).any, false);
  assert.equal(lastCopies(1, ['b', 'c']).any, false);
  assert.equal(lastCopies(2, ['b']).any, true);
});

test('the last copies are those whose other hosts are all away or counted out', () => {
  const found = lastCopies(3, ['b'], ['c']);
  const homes = addresses.map((address) => place(address, rosterOf(all), 3));
  const expected = homes.map((home) => home.every((peer) => ['a', 'b', 'c'].includes(peer)));
  assert.ok(expected.includes(true));
  assert.deepEqual(
    addresses.map((address) => found.has(address)),
    expected,
  );
});

test('where two hosts are lost at once, blocks with one copy left are copied before those with two', async () => {
  await using cluster = await TestCluster.of(all, 3);
  // Registers of which a majority is lost would be for a person.
  const workload = new Workload(cluster, 0);
  await workload.fill(200);
  const before = rosterOf(all);
  const left = all.slice(2);
  // A put is acknowledged by a majority: the third copy may still be on its way.
  await cluster.settled(workload.copies);
  for (const name of all.slice(0, 2)) await cluster.crash(name);

  const given = new Map<string, Address[]>();
  for (const name of left) {
    const { housekeeping } = cluster.host(name).store;
    const give = housekeeping.give.bind(housekeeping);
    given.set(name, []);
    housekeeping.give = (address, ...rest) => {
      given.get(name)!.push(address);
      return give(address, ...rest);
    };
  }
  for (const name of all.slice(0, 2)) cluster.views.countOut(name);
  cluster.views.append(left);
  await cluster.settled(workload.copies);

  const copiesLeft = (address: Address): number => place(address, before, 3).filter((peer) => left.includes(peer)).length;
  assert.ok(workload.copies.filter((address) => copiesLeft(address) === 1).length > 5);
  for (const [name, order] of given) {
    const counts = order.map(copiesLeft);
    assert.deepEqual(counts, counts.toSorted(), `${name} sent blocks with so many copies left in this order`);
  }
  await workload.verify();
});
