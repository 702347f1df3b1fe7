import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Forgets } from '../../src/fuse/forgets.ts';

const pairs = (from: number, count: number): Float64Array => Float64Array.from({ length: count * 2 }, (_, at) => (at % 2 === 0 ? from + at / 2 : 3));
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what the kernel gives back in one message takes several turns of the event loop, and none is lost', async () => {
  const given: number[] = [];
  let perTurn = 0;
  const forgets = new Forgets((inode, count) => {
    assert.equal(count, 3);
    given.push(inode);
  });
  forgets.take(pairs(0, 10_000));
  forgets.take(pairs(10_000, 5));
  for (let before = 0; given.length > before;) {
    perTurn = Math.max(perTurn, given.length - before);
    before = given.length;
    await turn();
  }
  assert.deepEqual(
    given,
    Array.from({ length: 10_005 }, (_, inode) => inode),
  );
  assert.ok(perTurn <= 1024, `${perTurn} in one turn`);
});

test('where the mount ends, all that waits is given back at once, and only once', async () => {
  const given: number[] = [];
  const forgets = new Forgets((inode) => given.push(inode));
  forgets.take(pairs(0, 3000));
  forgets.finish();
  assert.equal(given.length, 3000);
  await turn();
  assert.equal(given.length, 3000);
});
