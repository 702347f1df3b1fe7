import assert from 'node:assert/strict';
import { test } from 'node:test';

import { exercise } from '../../suites/exerciser/exercise.ts';
import { oneHost, threeHosts } from './worlds.ts';

/** Drawn anew each time: a failure names its own. */
const seed = Date.now() % 1_000_000;

test('files on a host by itself are as they have to be, whatever is done to them, also when its daemon is killed, the host is lost, or the volume is mounted anew', async () => {
  await using world = await oneHost();
  const problem = await exercise(world.places, { seed, operations: 250, events: ['crash', 'remount', 'lose'], share: 0.015, happen: world.happen });
  assert.equal(problem, undefined, world.log(0));
  assert.deepEqual(await world.problems(), []);
});

test('so are those that programs on three hosts change at once or in turn, also when daemons are killed', async () => {
  await using world = await threeHosts();
  for (const more of [0, 1]) {
    const problem = await exercise(world.places, {
      seed: seed + more,
      operations: 100,
      events: more === 0 ? [] : ['crash'],
      share: 0.01,
      happen: world.happen,
    });
    assert.equal(problem, undefined, world.log(0));
  }
});
