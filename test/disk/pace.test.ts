import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pace } from '../../src/disk/pace.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const busy = (ms: number) => (): number => {
  const until = performance.now() + ms;
  while (performance.now() < until);
  return 7;
};

test('reads of one turn of the event loop that take long together leave the others to the thread pool, and the next turn begins anew', async () => {
  const pace = new Pace();
  let reads = 0;
  while (pace.run(busy(0.3)) !== undefined) reads++;
  assert.ok(reads > 0 && reads < 8, `${reads} reads of 0.3 ms`);
  assert.equal(
    pace.run(() => assert.fail('the turn is used up')),
    undefined,
  );
  await turn();
  assert.deepEqual(pace.run(busy(0)), { result: 7 });
});
