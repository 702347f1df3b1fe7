import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { systemClock, systemRandom } from '../../src/base/index.ts';
import {
  createToken,
  KeyPair,
  type MemberRecord,
  passportFromCluster,
  passportFromToken,
  peerIdOf,
  readToken,
  signRecord,
  signRevocation,
} from '../../src/overlay/identity/index.ts';
import { type Entry, MemberTable } from '../../src/overlay/membership/member-table.ts';
import { PassportGate } from '../../src/overlay/membership/passport-gate.ts';

/** A cluster's key and the entries of some hosts. */
const clusterKey = new KeyPair(systemRandom.bytes(32));
const hostKeys = Array.from({ length: 4 }, () => new KeyPair(systemRandom.bytes(32)));
const passports = hostKeys.map((key) => passportFromCluster(clusterKey, peerIdOf(key.publicKey), Date.now()).text);

function entry(host: number, incarnation: number, sequence: number, change: Partial<MemberRecord> = {}): Entry {
  const record = {
    name: `h${host}`,
    zone: 'z',
    capacity: sequence,
    addresses: [],
    state: 'up',
    incarnation,
    nonce: `${host}${incarnation}`,
    sequence,
    ...change,
  } as const;
  return { record: signRecord(record, hostKeys[host]!), passport: passports[host]! };
}

/** One more host. */
function bystander(): Entry {
  const key = new KeyPair(systemRandom.bytes(32));
  const about = { name: 'x', zone: 'z', capacity: 1, addresses: [], state: 'up', incarnation: 1, nonce: 'x1', sequence: 1 } as const;
  return { record: signRecord(about, key), passport: passportFromCluster(clusterKey, peerIdOf(key.publicKey), Date.now()).text };
}

function table(onConflict: () => void = () => {}, most?: number): { readonly table: MemberTable; readonly gate: PassportGate } {
  const self = new KeyPair(systemRandom.bytes(32));
  const gate = new PassportGate(peerIdOf(self.publicKey), systemClock);
  gate.setOwn(passportFromCluster(clusterKey, peerIdOf(self.publicKey), Date.now()));
  return { table: new MemberTable(gate, onConflict, most), gate };
}

test('ends the same whatever the order, repetition and grouping of the news', () => {
  const entries = [0, 1, 2, 3].flatMap((host) => [entry(host, 1, 1), entry(host, 1, 2), entry(host, 2, 1), entry(host, 3, 7)]);
  const sorted = table().table;
  for (const each of entries) sorted.merge(each);
  fc.assert(
    fc.property(fc.shuffledSubarray(entries.concat(entries), { minLength: entries.length }), (some) => {
      const one = table().table;
      for (const each of [...some, ...entries.filter((each) => !some.includes(each))]) one.merge(each);
      assert.equal(one.digest, sorted.digest);
      assert.deepEqual(
        one.records().map(({ incarnation, sequence }) => [incarnation, sequence]),
        Array.from({ length: 4 }, () => [3, 7]),
      );
    }),
    { numRuns: 10 },
  );
});

test('two tables are the same after one exchange of summaries', () => {
  const pool = [0, 1, 2, 3].flatMap((host) => [entry(host, 1, 1), entry(host, 1, 2), entry(host, 2, 1)]);
  fc.assert(
    fc.property(fc.subarray(pool), fc.subarray(pool), (mine, yours) => {
      const [one, other] = [table().table, table().table];
      for (const each of mine) one.merge(each);
      for (const each of yours) other.merge(each);
      const { news, wanted } = other.compare(one.summary());
      for (const each of news.entries) one.merge(each);
      for (const each of one.pick(wanted, []).entries) other.merge(each);
      assert.equal(one.digest, other.digest);
    }),
    { numRuns: 20 },
  );
});

test('two records of one incarnation by two processes are a conflict, and the first one stays', () => {
  let conflicts = 0;
  const { table: one } = table(() => conflicts++);
  one.merge(entry(0, 5, 1, { nonce: 'aa' }));
  assert.equal(one.merge(entry(0, 5, 9, { nonce: 'bb' })), false);
  assert.equal(conflicts, 1);
  assert.equal(one.records()[0]!.nonce, 'aa');
});

test('a record that another host signed, or with the passport of another, is refused', () => {
  const { table: one } = table();
  assert.throws(() => one.merge({ ...entry(0, 1, 1), passport: passports[1]! }), { code: 'denied' });
  const record = entry(0, 1, 1).record;
  assert.throws(() => one.merge({ record: record.slice(0, -8) + 'AAAAAAAA', passport: passports[0]! }));
  assert.equal(one.records().length, 0);
});

test('a worse passport that came with a newer record is not kept, nor told to others', () => {
  const { table: one, gate } = table();
  one.merge(entry(0, 1, 1));
  const peer = peerIdOf(hostKeys[0]!.publicKey);
  const terms = { id: '01', rights: ['store'], expiresMs: Date.now() + 60_000, uses: 1 } as const;
  const token = readToken(createToken(terms, systemRandom.bytes(32), { key: clusterKey, cluster: clusterKey.publicKey }));
  assert.ok(one.merge({ ...entry(0, 1, 2), passport: passportFromToken(token, peer, Date.now() + 1000).text }));
  assert.equal(gate.passportOf(peer)!.text, passports[0]);
  assert.deepEqual(one.pick([peer], []).entries, [entry(0, 1, 2)]);
});

test('a full table makes room for those that come by forgetting some that left: the same ones everywhere, and never others', () => {
  const left = { state: 'left' } as const;
  const [one, other] = [table(undefined, 3).table, table(undefined, 3).table];
  for (const each of [entry(0, 1, 1, left), entry(1, 1, 1, left), entry(2, 1, 1)]) one.merge(each);
  for (const each of [entry(2, 1, 1), entry(1, 1, 1, left), entry(0, 1, 1, left)]) other.merge(each);
  for (const each of [one, other]) assert.ok(each.merge(entry(3, 1, 1)));
  assert.equal(one.digest, other.digest);
  assert.deepEqual([one.size, one.records().filter(({ state }) => state === 'left').length], [3, 1]);
  // One that left comes into a full table no more, and pushes nobody out.
  const forgotten = [0, 1].find((host) => one.get(peerIdOf(hostKeys[host]!.publicKey)) === undefined)!;
  assert.throws(() => one.merge(entry(forgotten, 1, 1, left)), { code: 'overloaded' });
  // Back again it does.
  assert.ok(one.merge(entry(forgotten, 2, 1)));
  assert.throws(() => one.merge(bystander()), { code: 'overloaded', message: /3 members/ });
  assert.equal(one.records().filter(({ state }) => state === 'left').length, 0);
});

test('a revoked host disappears and does not come back', () => {
  const { table: one } = table();
  one.merge(entry(0, 1, 1));
  const peer = peerIdOf(hostKeys[0]!.publicKey);
  one.mergeRevocation(signRevocation(`host:${peer}`, Date.now(), { key: clusterKey, cluster: clusterKey.publicKey }).text, clusterKey.publicKey);
  assert.throws(() => one.merge(entry(0, 2, 1)), { code: 'denied' });
  assert.equal(one.records().length, 0);
});
