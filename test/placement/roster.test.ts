import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codeOf } from '../../src/base/index.ts';
import { memberKey, Roster } from '../../src/placement/index.ts';
import { minusLogOf } from '../../src/placement/rendezvous.ts';

const member = { peer: 'a', zone: 'z', capacity: 1 };
const isBadArgument = (error: unknown): boolean => codeOf(error) === 'bad-argument';

test('the id of a roster changes with each thing that matters and with nothing else', () => {
  const ids = [
    [],
    [member],
    [{ ...member, capacity: 2 }],
    [{ ...member, zone: 'y' }],
    [{ ...member, peer: 'b' }],
    [member, { ...member, peer: 'b' }],
    [member, { ...member, peer: 'b', capacity: 0 }],
  ].map((members) => Roster.of(members).id);
  assert.equal(new Set(ids).size, ids.length);
  const withAddresses = { ...member, addresses: ['/ip4/192.0.2.1'] };
  assert.equal(Roster.of([withAddresses]).id, Roster.of([member]).id);
  assert.equal(
    Roster.of([member])
      .with({ ...member, capacity: 2 })
      .with(member).id,
    Roster.of([member]).id,
  );
});

test('a roster is a snapshot', () => {
  const mutable = { ...member };
  const roster = Roster.of([mutable]);
  mutable.capacity = 7;
  assert.equal(roster.get('a')?.capacity, 1);
  assert.equal(roster.with({ ...member, peer: 'b' }).size, 2);
  assert.equal(roster.without('a').size, 0);
  assert.deepEqual([...roster.members], [member]);
});

test('a host named twice, without a name or with an impossible capacity is refused', () => {
  assert.throws(() => Roster.of([member, { ...member, zone: 'y' }]), isBadArgument);
  assert.throws(() => Roster.of([{ ...member, peer: '' }]), isBadArgument);
  for (const capacity of [-1, Number.NaN, Infinity]) assert.throws(() => Roster.of([{ ...member, capacity }]), isBadArgument);
});

test('the key of a peer id is that of libp2p: SHA-256 of the bytes that its base58 stands for', async () => {
  const peer = '12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf';
  const { peerIdFromString } = await import('@libp2p/peer-id');
  const { createHash } = await import('node:crypto');
  const expected = createHash('sha256').update(peerIdFromString(peer).toMultihash().bytes).digest('hex');
  assert.equal(Buffer.from(memberKey(peer), 'binary').toString('hex'), expected);
});

test('the portable logarithm agrees with the engine to 1e-12', () => {
  const words = [0, 1, 2, 3, 0x7fffffff, 0x80000000, 0xffffffff, ...Array.from({ length: 2_000 }, (_, index) => (index * 2654435761) >>> 0)];
  for (const word of words) {
    const expected = -Math.log((word + 0.5) / 2 ** 32);
    assert.ok(Math.abs(minusLogOf(word) - expected) <= 1e-12 * Math.max(1, expected), `${word}: ${minusLogOf(word)} instead of ${expected}`);
    assert.ok(minusLogOf(word) > 0);
  }
});
