import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pace } from '../../src/repair/pace.ts';
import { maxBusyInLane, maxBusyJobs, maxIdleJobs } from '../../src/repair/settings.ts';
import { Strain } from '../../src/repair/strain.ts';

/** How many jobs were under way at the most. */
async function mostAtOnce(pace: Pace, jobs: number, inLane?: number): Promise<number> {
  let [running, most] = [0, 0];
  await pace.each(
    Array.from({ length: jobs }),
    async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    },
    inLane,
  );
  return most;
}

const strainOf = (factor: number): Strain => ({ factor, began: () => {}, ended: () => {} }) as Strain;
const strained = strainOf(4);
const calm = strainOf(1);

test('many jobs at once while nobody else is at work, fewer while clients are, one where these notice it', async () => {
  assert.equal(await mostAtOnce(new Pace(() => false, 1e9, calm), 20), maxIdleJobs);
  assert.equal(await mostAtOnce(new Pace(() => true, 1e9, calm), 6), maxBusyJobs);
  assert.equal(await mostAtOnce(new Pace(() => false, 1e9, strained), 6), maxBusyJobs);
  assert.equal(await mostAtOnce(new Pace(() => true, 1e9, strained), 4), 1);
});

test('jobs that share a lane are fewer while clients are at work: all of them are in these clients’ way at once', async () => {
  assert.equal(await mostAtOnce(new Pace(() => false, 1e9, calm), 300, 16), maxIdleJobs * 16);
  assert.equal(await mostAtOnce(new Pace(() => true, 1e9, calm), 60, 16), maxBusyJobs * maxBusyInLane);
  assert.equal(await mostAtOnce(new Pace(() => true, 1e9, calm), 10, 2), maxBusyJobs * 2);
});

test('a strained host rests longer than it works, and without clients of its own it rests as well', async () => {
  const rested = async (clients: boolean): Promise<number> => {
    const pace = new Pace(() => clients, 1e9, strained);
    const began = performance.now();
    let worked = 0;
    await pace.run(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      worked = performance.now() - began;
    });
    return (performance.now() - began - worked) / worked;
  };
  assert.ok((await rested(true)) > 3.8);
  assert.ok((await rested(false)) > 1.8);
});

test('jobs that wait for a silent host do not hold up those that share a lane with them', async () => {
  const pace = new Pace(() => false, 1e9, calm);
  const items = Array.from({ length: 8 * 16 * 3 }, (_, index) => index);
  const isStuck = (index: number): boolean => index % 16 === 0 && index < 8 * 16;
  const others = items.filter((index) => !isStuck(index)).length;
  const released = Promise.withResolvers<void>();
  let done = 0;
  await pace.each(
    items,
    async (index) => {
      if (isStuck(index)) await released.promise;
      else if (++done === others) released.resolve();
    },
    16,
  );
  assert.equal(done, others);
});

test('the failure of a job that its lane did not wait for is told all the same', async () => {
  const pace = new Pace(() => false, 1e9, calm);
  const failing = pace.each(
    [0, 1],
    async (index) => {
      if (index === 1) return;
      await new Promise((resolve) => setTimeout(resolve, 300));
      throw new Error('late');
    },
    2,
  );
  await assert.rejects(failing, /late/);
});

test('strain rises at once and goes little by little', () => {
  const strain = new Strain();
  const after = (late: number): number => {
    strain.take(late, 1);
    return strain.factor;
  };
  assert.deepEqual([10, 10, 10].map(after), [2, 4, 4]);
  const sinking = [1, 1, 1].map(after).at(-1)!;
  assert.ok(sinking > 2 && sinking < 4, String(sinking));
  for (let window = 0; window < 20; window++) after(1);
  assert.equal(strain.factor, 1);
});

test('a machine that is as late while repair rests is not strained by it', () => {
  const strain = new Strain();
  strain.take(25, 20);
  assert.equal(strain.factor, 1);
  strain.take(50, 20);
  assert.equal(strain.factor, 2);
});

test('what another host says of its strain counts for a while', () => {
  let now = 0;
  const strain = new Strain(() => now);
  strain.told(4);
  strain.told(2);
  assert.equal(strain.factor, 4);
  now = 499;
  assert.equal(strain.factor, 4);
  now = 501;
  assert.equal(strain.factor, 1);
});

test('work that holds the event loop up strains', async () => {
  const strain = new Strain();
  strain.began();
  for (let window = 0; window < 3; window++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const until = performance.now() + 100;
    while (performance.now() < until) {
      // Nothing else runs.
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(strain.factor > 1);
  strain.ended();
});
