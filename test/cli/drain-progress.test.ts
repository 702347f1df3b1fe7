import assert from 'node:assert/strict';
import { test } from 'node:test';

import { drainProgress } from '../../src/cli/drain-progress.ts';

const scrub = { running: false, blocks: 0, bytes: 0, damaged: 0, repaired: 0, runs: 0 };
const repair = (phase: 'moving' | 'waiting', done: number, total: number) => ({
  repair: { phase, done, total, bytesPerSecond: 0, repaired: 0, scrub },
});
const disk = { state: 'healthy', blocks: 3000, liveBytes: 4 << 20, usedBytes: 0, freeBytes: 0, totalBytes: 0, damaged: 0 } as const;
const host = (standing: 'member' | 'outcast') => ({
  name: 'c',
  disk,
  roster: { views: [1, 2], hosts: 3, retiring: 0, standing, countedOut: [], troubles: [] },
});

test('while the others are given what a host has, which may grow meanwhile, the slowest of them says how far it is; then what is left does', () => {
  assert.deepEqual(drainProgress(host('member'), [repair('moving', 30, 40), repair('moving', 10, 40), repair('waiting', 0, 0)], 8 << 20), {
    text: 'c: its blocks go to the other hosts, 10 of 40 looked at',
    done: 0.25,
  });
  assert.deepEqual(drainProgress(host('member'), [repair('waiting', 0, 0), {}], 8 << 20), { text: 'c: its blocks go to the other hosts' });
  assert.deepEqual(drainProgress(host('outcast'), [repair('moving', 10, 40)], 8 << 20), { text: 'c: 3000 blocks, 4.00 MiB left', done: 0.5 });
});
