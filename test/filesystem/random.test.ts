import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { namedAddress, Sealer } from '../../src/block/index.ts';
import { checkVolume, FileSystemError, openWithoutLost, type Problem } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { assertRests } from './at-rest.ts';
import { inodesIn, nextSession, open, TestClock, volumeId } from './harness.ts';
import { Run } from './random-run.ts';
import { type Step, steps } from './random-steps.ts';

/** @param left kinds of problems that a crash may leave. */
async function check(store: MemoryBlockStore, left: readonly Problem['kind'][]): Promise<void> {
  const setup = { store, sealer: new Sealer(), volumeId, session: 4_000_000, clock: new TestClock(), logger: silentLogger };
  const { problems } = await checkVolume(setup, { immutable: store.immutableAddresses(), mutable: store.mutableAddresses() });
  assert.deepEqual(
    problems.filter(({ kind }) => !left.includes(kind)),
    [],
  );
}

/** A repair finds nothing to do where nothing is lost. */
async function repair(store: MemoryBlockStore): Promise<void> {
  if (store.peek(namedAddress(volumeId, 'volume')) === undefined) return;
  const setup = { store: store.way(), sealer: new Sealer(), volumeId, session: nextSession(), clock: new TestClock(), logger: silentLogger };
  const { gathered, problems } = await openWithoutLost(setup, inodesIn(store));
  assert.deepEqual([gathered, problems], [0, []]);
}

test('random operations end as in a simple model, and leave nothing behind', async () => {
  await fc.assert(
    fc.asyncProperty(steps(120), fc.nat(), async (list, seed) => {
      const random = seeded(seed);
      const store = new MemoryBlockStore({ random, delay: () => (random() < 0.1 ? new Promise((resolve) => setImmediate(resolve)) : undefined) });
      const run = new Run(store, await open(store));
      for (const step of list) await run.step(step);
      await run.compare();
      await Promise.all(run.background);
      await run.volume.recall();
      assertRests(run.volume, 'recall');
      assert.deepEqual((await run.volume.check()).problems, []);
      await run.volume.close();
      await check(store, []);
      run.leave();
      run.volume = await open(store);
      await run.compare();
    }),
    randomRuns(60),
  );
});

/** A file that a crash left uncounted shrinks: usage does not become less than nothing. */
const uncounted: [phases: [Step[], number][], seed: number] = [
  [
    [[0, 23, 12, 23, 0, 0, 0, 0, 0].map((kind) => [kind, 0, 0, 0, 0]), 4],
    [
      [
        [0, 0, 0, 0, 0],
        [16, 0, 0, 0, 0],
        [2, 0, 5, 0, 0],
        [10, 0, 0, 3, 0],
        [23, 0, 0, 0, 0],
      ],
      0,
    ],
  ],
  0,
];

test('after a crash anywhere the volume is whole and has what was acknowledged', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(steps(60), fc.nat(80)), { minLength: 1, maxLength: 3 }), fc.nat(), async (phases, seed) => {
      const random = seeded(seed);
      const store = new MemoryBlockStore({ random, delay: () => (random() < 0.05 ? new Promise((resolve) => setImmediate(resolve)) : undefined) });
      const run = new Run(store, await open(store));
      for (const [list, writes] of phases) {
        store.crashAfter(writes);
        await run.untilCrash(list);
        // As it lies there, and as the next mount leaves it but for blocks that are left to scrub.
        await check(store, ['leaked-block', 'leaked-inode']);
        if (random() < 0.3) await repair(store);
        await run.recover();
        await check(store, ['leaked-block']);
        if (random() < 0.5) continue;
        await run.volume.recall();
        assertRests(run.volume, 'recall');
      }
    }),
    { ...randomRuns(100), examples: [uncounted] },
  );
});

test('failed and unknown outcomes lose nothing', async () => {
  await fc.assert(
    fc.asyncProperty(steps(120), fc.nat(), async (list, seed) => {
      const random = seeded(seed);
      let broken = false;
      const fates = ['failed', 'full', 'unknown-lost', 'unknown-applied'] as const;
      const store = new MemoryBlockStore({
        random,
        delay: () => (random() < 0.1 ? new Promise((resolve) => setImmediate(resolve)) : undefined),
        fate: () => (broken && random() < 0.1 ? fates[Math.floor(random() * 4)]! : 'normal'),
      });
      const run = new Run(store, await open(store));
      broken = run.fails = true;
      for (const step of list) {
        try {
          await run.step(step);
        } catch (error) {
          // What a sync says of a failure is all that a failure may do.
          if (!(error instanceof InfinitError || (error instanceof FileSystemError && ['EIO', 'ENOSPC'].includes(error.errno)))) throw error;
        }
      }
      await run.compare();
      if (seed % 2 === 0) {
        // It ends so, with whatever took effect.
        store.restart();
        await Promise.all(run.background.splice(0));
        broken = false;
        await check(store, ['leaked-block', 'leaked-inode']);
        await run.recover();
        await check(store, ['leaked-block']);
        return;
      }
      await Promise.all(run.background);
      broken = false;
      // What failed before is tried again first, and what that leaves with the second.
      for (let time = 0; time < 2; time++) await run.volume.recall();
      assertRests(run.volume, 'recall');
      assert.deepEqual((await run.volume.check()).problems, []);
      await run.volume.close();
      await check(store, ['leaked-block']);
      run.leave();
      run.volume = await open(store);
      await run.compare();
    }),
    randomRuns(60),
  );
});
