import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RecentMap } from '../../src/base/index.ts';

function kept(map: RecentMap<number, number>, until: number): number[] {
  return Array.from({ length: until }, (_, key) => key).filter((key) => map.get(key) !== undefined);
}

test('at least half of the bound is kept, and never more than the bound', () => {
  for (let count = 1; count < 100; count++) {
    const map = new RecentMap<number, number>(16);
    for (let key = 0; key < count; key++) map.set(key, key);
    const there = kept(map, count);
    assert.ok(there.length >= Math.min(count, 8) && there.length <= 16, `${there.length} of ${count}`);
    assert.ok(there.includes(count - 1));
  }
});

test('what is read again stays, what is deleted or replaced does not come back', () => {
  const map = new RecentMap<number, number>(16);
  map.set(0, 1);
  for (let key = 1; key < 100; key++) {
    map.set(key, key);
    assert.equal(map.get(0), 1);
  }
  map.set(0, 2);
  for (let key = 100; key < 107; key++) map.set(key, key);
  assert.equal(map.get(0), 2);
  map.delete(0);
  assert.equal(map.get(0), undefined);
  map.clear();
  assert.deepEqual(kept(map, 107), []);
});

test('of what weighs much less is kept, and never more than the bound, however often it is replaced or read', () => {
  const map = new RecentMap<number, number>(1000, { max: 100, of: (value) => value });
  const weight = (): number => map.values().reduce((sum, value) => sum + value, 0);
  for (let key = 0; key < 300; key++) {
    map.set(key, 9);
    map.set(key, 10);
    map.get(key - 3);
    if (key % 7 === 0) map.delete(key - 1);
    assert.ok(weight() <= 120 && map.get(key) === 10, `${weight()} after ${key}`);
  }
  assert.ok(weight() >= 50);
  for (let time = 0; time < 100; time++) map.set(1, 10);
  assert.ok(map.size > 1, 'to replace a value weighs nothing');
});
