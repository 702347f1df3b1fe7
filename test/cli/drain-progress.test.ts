import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { HostSummary } from '../../src/api/index.ts';
import { drainProgress, fewerCopies } from '../../src/cli/drain-progress.ts';

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

test('who drains a host hears where the others are fewer than the copies that are wanted, and how many of them may be lost', () => {
  const summary = (name: string, capacity = 1): HostSummary => ({ name, peer: name, capacity, state: 'up' }) as HostSummary;
  const cluster = (wanted: number, ...hosts: HostSummary[]) => ({ hosts, replicas: { wanted, hosts: hosts.length } });
  const three = [summary('a'), summary('b'), summary('c')];
  assert.match(fewerCopies('c', cluster(3, ...three))!, /^without c 2 hosts store blocks, and 3 copies are wanted: none of them may be lost then\./);
  assert.match(
    fewerCopies('d', cluster(5, ...three, summary('d')))!,
    /^without d 3 hosts store blocks, and 5 copies are wanted: 1 of them may be lost then\./,
  );
  assert.equal(fewerCopies('d', cluster(3, ...three, summary('d'))), undefined);
  // It drains already, or stores nothing; or it is the only one, which is refused.
  assert.match(fewerCopies('c', cluster(3, summary('a'), summary('b'), summary('c', 0)))!, /^without c 2 hosts store/);
  assert.equal(fewerCopies('d', cluster(3, ...three, summary('d', 0))), undefined);
  assert.equal(fewerCopies('a', cluster(3, summary('a'))), undefined);
});
