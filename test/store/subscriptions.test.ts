import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
import { Subscriptions } from '../../src/store/subscriptions.ts';

const address = (number: number): ReturnType<typeof mutableAddress> => mutableAddress(Buffer.alloc(31, number));

test('a host that watches blocks without end keeps no other from watching some', () => {
  const table = new Subscriptions(10);
  for (let number = 0; number < 10; number++) assert.ok(table.add('greedy', address(number), 100));
  assert.equal(table.add('greedy', address(10), 100), false);
  for (let number = 20; number < 25; number++) assert.ok(table.add('modest', address(number), 100));
  assert.equal(table.size, 10);
  // Each has half by now.
  assert.equal(table.add('modest', address(25), 100), false);
  assert.deepEqual([...table.of(address(0))], []);
  assert.deepEqual([...table.of(address(9))], ['greedy']);
});

test('what is watched already is taken again however full the table is, and a block that others watch too stays for them', () => {
  const table = new Subscriptions(2);
  table.add('a', address(0), 100);
  table.add('a', address(1), 100);
  assert.ok(table.add('a', address(1), 200));
  assert.ok(table.add('b', address(0), 100));
  // To make room the first of a's goes, which b watches still, and then the second.
  table.add('c', address(2), 100);
  assert.deepEqual([[...table.of(address(0))], [...table.of(address(1))], [...table.of(address(2))]], [['b'], [], ['c']]);
});

test('what has expired is forgotten', () => {
  const table = new Subscriptions(10);
  table.add('a', address(0), 100);
  table.add('b', address(0), 200);
  table.add('a', address(1), 100);
  table.sweep(150);
  assert.deepEqual([table.size, table.has(address(1)), [...table.of(address(0))]], [1, false, ['b']]);
});
