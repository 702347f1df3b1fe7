import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AnswerTimes } from '../../src/store/answer-times.ts';

function withClock() {
  const clock = { ms: 0 };
  return { clock, times: new AnswerTimes({ minMs: 20, maxMs: 1000, firstMs: 60 }, () => clock.ms) };
}

test('hosts of which nothing is known are asked as they are placed, and for the usual while', () => {
  const { times } = withClock();
  assert.deepEqual(times.ordered(['a', 'b', 'c']), ['a', 'b', 'c']);
  assert.equal(times.waitMs('a', ['a', 'b', 'c']), 60);
});

test('of hosts that are about as quick the placement decides; a slow one comes last', () => {
  const { times } = withClock();
  times.took('a', 100);
  times.took('b', 3);
  times.took('c', 1);
  assert.deepEqual(times.ordered(['a', 'b', 'c']), ['b', 'c', 'a']);
});

test('a host is waited for in proportion to what it takes, within bounds', () => {
  const { times } = withClock();
  const all = ['a', 'b', 'c'];
  times.took('a', 1);
  times.took('b', 100);
  times.took('c', 100_000);
  assert.deepEqual(
    all.map((peer) => times.waitMs(peer, all)),
    [20, 300, 1000],
  );
});

test('a slow host gets another chance after a while, from one read, which waits for it no longer than for a quick one', () => {
  const { clock, times } = withClock();
  times.failed('a', 500);
  times.took('b', 10);
  clock.ms += 9000;
  assert.deepEqual(times.ordered(['a', 'b']), ['b', 'a']);
  times.took('b', 10);
  clock.ms += 1000;
  assert.deepEqual(times.ordered(['a', 'b']), ['a', 'b']);
  assert.equal(times.waitMs('a', ['a', 'b']), 30);
  assert.deepEqual(times.ordered(['a', 'b']), ['b', 'a']);
  // It failed again: what was known of it stays.
  times.failed('a', 35);
  assert.equal(times.waitMs('a', ['a', 'b']), 1000);
  clock.ms += 9000;
  times.took('b', 10);
  clock.ms += 1000;
  assert.deepEqual(times.ordered(['a', 'b']), ['a', 'b']);
  times.took('a', 12);
  assert.deepEqual(times.ordered(['a', 'b']), ['a', 'b']);
});

test('one slow answer counts for half at once, quick ones little by little', () => {
  const { times } = withClock();
  times.took('a', 10);
  times.took('a', 110);
  assert.equal(times.waitMs('a', ['a']), 180);
  times.took('a', 20);
  assert.equal(times.waitMs('a', ['a']), 165);
});
