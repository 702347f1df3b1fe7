import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Arbitrary, array, assert as assertProperty, constantFrom, integer, property, record, shuffledSubarray } from 'fast-check';

import { type Address, immutableAddress, mutableAddress, namedAddress } from '../../src/block/index.ts';
import { addressKey, candidateCount, candidates, type Key, type Member, memberKey, neighbourhood, place, Roster } from '../../src/placement/index.ts';

const address = (index: number): Address => namedAddress('test', `block ${index}`);
const addresses = (count: number): Address[] => Array.from({ length: count }, (_, index) => address(index));
const host = (index: number, zone = `zone ${index}`, capacity = 1): Member => ({ peer: `host-${index}`, zone, capacity });
const hosts = (count: number): Member[] => Array.from({ length: count }, (_, index) => host(index));

/** Rosters of 1 to `maxLength` hosts in up to four zones, with capacities between 1 and 8. */
function rosters(maxLength: number): Arbitrary<Member[]> {
  const zone = constantFrom('a', 'b', 'c', 'd');
  return array(record({ zone, capacity: integer({ min: 1, max: 8 }) }), { minLength: 1, maxLength }).map((members) =>
    members.map(({ zone, capacity }, index) => host(index, zone, capacity)),
  );
}
const replicas = integer({ min: 1, max: 9 });
const blocks = integer({ min: 0, max: 1_000_000 }).map(address);

/** How many blocks each host holds. */
function load(roster: Roster, count: number, replicas: number): Map<string, number> {
  const held = new Map<string, number>();
  for (const block of addresses(count)) for (const peer of place(block, roster, replicas)) held.set(peer, (held.get(peer) ?? 0) + 1);
  return held;
}

test('the answer does not depend on the order in which hosts were learnt', () => {
  assertProperty(
    property(
      rosters(60).chain((members) => shuffledSubarray(members, { minLength: members.length }).map((shuffled) => ({ members, shuffled }))),
      blocks,
      replicas,
      ({ members, shuffled }, block, count) => {
        const [one, other] = [Roster.of(members), Roster.of([]).with(...shuffled)];
        assert.equal(one.id, other.id);
        assert.deepEqual(place(block, one, count), place(block, other, count));
      },
    ),
  );
});

test('a host that knows only the neighbourhood of an address comes to the same answer', () => {
  assertProperty(
    property(rosters(80), blocks, replicas, (members, block, count) => {
      const roster = Roster.of(members);
      assert.deepEqual(place(block, Roster.of(neighbourhood(block, roster)), count), place(block, roster, count));
    }),
  );
});

const number = (key: Key): bigint => BigInt(`0x${Buffer.from(key, 'binary').toString('hex')}`);

test('the neighbourhood is the 20 nearest by XOR of the whole keys', () => {
  const members = hosts(2_000);
  const keys = members.map(({ peer }) => [peer, number(memberKey(peer))] as const);
  const roster = Roster.of(members);
  for (const block of addresses(40)) {
    const key = number(addressKey(block));
    const distances = keys.map(([peer, own]) => [peer, own ^ key] as const);
    const expected = distances.toSorted(([, one], [, other]) => (one < other ? -1 : 1)).slice(0, candidateCount);
    const found = neighbourhood(block, roster);
    assert.deepEqual(new Set(found.map(({ peer }) => peer)), new Set(expected.map(([peer]) => peer)));
  }
});

test('fewer hosts than replicas all hold the block, and no host holds it twice', () => {
  assertProperty(
    property(rosters(40), blocks, integer({ min: 0, max: 30 }), (members, block, count) => {
      const chosen = place(block, Roster.of(members), count);
      assert.equal(chosen.length, Math.min(count, members.length, candidateCount));
      assert.equal(new Set(chosen).size, chosen.length);
    }),
  );
  assert.deepEqual(place(address(0), Roster.of([]), 3), []);
  assert.deepEqual(candidates(address(0), Roster.of([])), []);
});

test('more replicas keep those that fewer have, and the candidates go on where they end', () => {
  assertProperty(
    property(rosters(40), blocks, replicas, (members, block, count) => {
      const roster = Roster.of(members);
      const all = candidates(block, roster);
      assert.deepEqual(place(block, roster, count), all.slice(0, count));
      assert.equal(all.length, Math.min(members.length, candidateCount));
    }),
  );
});

test('no zone holds two copies more than another that has a candidate left', () => {
  assertProperty(
    property(rosters(40), blocks, replicas, (members, block, count) => {
      const roster = Roster.of(members);
      const chosen = new Set(place(block, roster, count));
      const near = neighbourhood(block, roster);
      const zones = Map.groupBy(near, ({ zone }) => zone);
      const copies = (zone: string): number => zones.get(zone)!.filter(({ peer }) => chosen.has(peer)).length;
      for (const [zone, inside] of zones) {
        if (inside.length > copies(zone)) for (const other of zones.keys()) assert.ok(copies(other) <= copies(zone) + 1);
      }
    }),
  );
});

test('up to 20 hosts a join moves a block to the newcomer only, and one copy at most', () => {
  assertProperty(
    property(rosters(19), constantFrom('a', 'b', 'new'), integer({ min: 1, max: 8 }), blocks, replicas, (members, zone, capacity, block, count) => {
      const before = Roster.of(members);
      const after = before.with({ peer: 'newcomer', zone, capacity });
      const had = new Set(place(block, before, count));
      const gained = place(block, after, count).filter((peer) => !had.has(peer));
      assert.ok(gained.length === 0 || (gained.length === 1 && gained[0] === 'newcomer'), gained.join());
      // Leaving undoes joining.
      assert.deepEqual(place(block, after.without('newcomer'), count), [...had]);
    }),
    { numRuns: 500 },
  );
});

test('beyond 20 hosts a join moves two copies of a block at most', () => {
  assertProperty(
    property(rosters(200), integer({ min: 1, max: 8 }), blocks, replicas, (members, capacity, block, count) => {
      const before = Roster.of(members);
      const had = new Set(place(block, before, count));
      const gained = place(block, before.with({ peer: 'newcomer', zone: 'a', capacity }), count).filter((peer) => !had.has(peer));
      assert.ok(gained.length <= 2, gained.join());
    }),
    { numRuns: 300 },
  );
});

test('a newcomer takes its share of the blocks and no more moves', () => {
  const before = Roster.of(hosts(9));
  const after = before.with(host(9));
  let moved = 0;
  for (const block of addresses(20_000)) {
    const had = new Set(place(block, before, 3));
    moved += place(block, after, 3).filter((peer) => !had.has(peer)).length;
  }
  // Its share is a tenth of 60,000 copies.
  assert.ok(Math.abs(moved - 6_000) < 300, `${moved} copies moved`);
});

test('of one copy each, hosts hold what their capacities say', () => {
  const members = Array.from({ length: 10 }, (_, index) => host(index, `zone ${index}`, index + 1));
  const held = load(Roster.of(members), 55_000, 1);
  for (const { peer, capacity } of members) {
    const expected = 1_000 * capacity;
    // Five standard deviations of a fair draw.
    assert.ok(Math.abs((held.get(peer) ?? 0) - expected) < 5 * Math.sqrt(expected), `${peer} of capacity ${capacity} holds ${held.get(peer)}`);
  }
});

test('equal hosts hold equally many blocks, at every replication', () => {
  for (const [count, copies] of [
    [3, 1],
    [5, 3],
    [20, 5],
  ] as const) {
    const expected = (30_000 * copies) / count;
    for (const [peer, held] of load(Roster.of(hosts(count)), 30_000, copies)) {
      assert.ok(Math.abs(held - expected) < 5 * Math.sqrt(expected), `${peer} of ${count} holds ${held}, expected ${expected}`);
    }
  }
});

test('blocks whose addresses hardly differ spread as evenly as others', () => {
  const roster = Roster.of(hosts(4));
  const kinds: Record<string, (index: number) => Address> = {
    'counted mutable addresses': (index) => mutableAddress(Buffer.from(index.toString(16).padStart(62, '0'), 'hex')),
    'counted high bytes': (index) => mutableAddress(Buffer.from(index.toString(16).padStart(8, '0').padEnd(62, '0'), 'hex')),
    'immutable blocks': (index) => immutableAddress(Buffer.from([index & 0xff, index >> 8])),
  };
  for (const [name, make] of Object.entries(kinds)) {
    const held = new Map<string, number>();
    for (let index = 0; index < 16_000; index++) {
      const [first] = place(make(index), roster, 1);
      held.set(first!, (held.get(first!) ?? 0) + 1);
    }
    for (const [peer, count] of held) assert.ok(Math.abs(count - 4_000) < 300, `${name}: ${peer} holds ${count} of 16000`);
  }
});

test('a host without capacity gets nothing and is known nevertheless', () => {
  const roster = Roster.of([...hosts(3), host(9, 'zone 9', 0)]);
  assert.equal(roster.size, 3);
  assert.equal(roster.get('host-9')?.capacity, 0);
  for (const block of addresses(50)) assert.ok(!place(block, roster, 4).includes('host-9'));
});

test('placement is pinned: another answer in a later version would move every block', () => {
  const small = Roster.of(hosts(5));
  const large = Roster.of(Array.from({ length: 100 }, (_, index) => host(index, `zone ${index % 4}`, 1 + (index % 3))));
  assert.deepEqual(
    addresses(3).map((block) => [place(block, small, 3).join(), place(block, large, 5).join()]),
    [
      ['host-2,host-4,host-1', 'host-77,host-70,host-59,host-24,host-86'],
      ['host-3,host-1,host-0', 'host-29,host-70,host-99,host-72,host-65'],
      ['host-4,host-2,host-1', 'host-53,host-10,host-64,host-39,host-81'],
    ],
  );
});
