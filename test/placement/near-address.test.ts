import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import { nearAddress, place, Roster } from '../../src/placement/index.ts';

const roster = (hosts: number, capacityOf: (index: number) => number = () => 1): Roster =>
  Roster.of(Array.from({ length: hosts }, (_, index) => ({ peer: `host-${index}`, zone: 'z', capacity: capacityOf(index) })));

/** Addresses that are the same in each run. */
function addresses(): () => Address {
  let count = 0;
  return () => {
    const random = new Uint8Array(31);
    new DataView(random.buffer).setUint32(0, ++count);
    return mutableAddress(random);
  };
}

test('nearly all that a host makes has a copy there, and its other copies are spread over all others', () => {
  const twelve = roster(12);
  const draw = addresses();
  const held = new Map<string, number>();
  const blocks = 3000;
  for (let count = 0; count < blocks; count++)
    for (const peer of place(nearAddress('host-5', twelve, 3, draw), twelve, 3)) held.set(peer, (held.get(peer) ?? 0) + 1);
  assert.ok(held.get('host-5')! > 0.97 * blocks);
  held.delete('host-5');
  const share = (2 * blocks) / 11;
  assert.equal(held.size, 11);
  for (const count of held.values()) assert.ok(Math.abs(count - share) < 0.15 * share, String(count));
});

test('where all hosts make as many, each holds its share', () => {
  const twelve = roster(12);
  const draw = addresses();
  const held = new Map<string, number>();
  const each = 500;
  for (const { peer: maker } of twelve.eligible)
    for (let count = 0; count < each; count++)
      for (const peer of place(nearAddress(maker, twelve, 3, draw), twelve, 3)) held.set(peer, (held.get(peer) ?? 0) + 1);
  for (const count of held.values()) assert.ok(Math.abs(count - 3 * each) < 0.1 * 3 * each, String(count));
});

test('one address is as good as another where all hosts have all blocks, this one has none, or there are many', () => {
  const draws = (self: string, hosts: Roster): number => {
    const fresh = addresses();
    let drawn = 0;
    for (let count = 0; count < 10; count++) nearAddress(self, hosts, 3, () => (drawn++, fresh()));
    return drawn / 10;
  };
  assert.equal(draws('host-0', roster(3)), 1);
  assert.equal(
    draws(
      'host-0',
      roster(12, (index) => (index === 0 ? 0 : 1)),
    ),
    1,
  );
  assert.equal(draws('nobody', roster(12)), 1);
  assert.equal(draws('host-0', roster(1000)), 1);
  assert.ok(draws('host-0', roster(12)) > 1);
});

test('the draws are bounded', () => {
  const one = roster(12);
  const far = addresses();
  let elsewhere = far();
  while (place(elsewhere, one, 3).includes('host-0')) elsewhere = far();
  let drawn = 0;
  assert.equal(
    nearAddress('host-0', one, 3, () => (drawn++, elsewhere)),
    elsewhere,
  );
  assert.equal(drawn, 16);
});
