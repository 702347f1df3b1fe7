import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compareAndSet, type Operation, putAny, putIfAbsent, read } from '../../src/consensus/index.ts';
import { ballot, bytes, Cluster, source, text } from './fixtures.ts';

const all = ['A', 'B', 'C'];
const mayBeLost = (): boolean => true;
const lost = { status: 'no-quorum', lost: true };

test('where nobody has anything of a block that may be lost no client is told that there is none, nor makes it anew unawares', () => {
  const cluster = new Cluster(all);
  const asked: readonly Operation[] = [read, putIfAbsent(bytes('x')), putAny(bytes('x')), putAny(null), compareAndSet(1, bytes('x'))];
  for (const operation of asked) assert.deepEqual(cluster.run(source('W'), operation, { mayBeLost }).outcome, lost, operation.kind);
  assert.ok(all.every((peer) => cluster.states.get(peer)?.accepted == null));
  // Of a host alone as well, which compares and accepts in one step.
  const alone = new Cluster(['A']);
  for (const operation of asked) assert.deepEqual(alone.run(source('W'), operation, { mayBeLost }).outcome, lost, operation.kind);
});

test('who tends blocks is told so, or no view would ever retire', () => {
  const cluster = new Cluster(all);
  const outcome = { status: 'committed', accepted: null };
  assert.deepEqual(cluster.run(source('A'), { kind: 'read', own: false }, { mayBeLost }).outcome, outcome);
  assert.deepEqual(cluster.run(source('A'), { kind: 'read', own: true }, { mayBeLost }).outcome, outcome);
});

test('what is there is told and written as ever', () => {
  const cluster = new Cluster(all);
  cluster.run(source('W'), putAny(bytes('one')));
  const { outcome } = cluster.run(source('R'), read, { mayBeLost });
  assert.equal(outcome.status === 'committed' ? text(outcome.accepted?.record.value) : undefined, 'one');
  assert.equal(cluster.run(source('V'), compareAndSet(1, null), { mayBeLost }).outcome.status, 'committed');
  assert.equal(cluster.run(source('U'), putIfAbsent(bytes('two')), { mayBeLost }).outcome.status, 'committed');
});

test('nothing is lost where nobody ever wrote', () => {
  const cluster = new Cluster(all);
  assert.equal(cluster.run(source('W'), putIfAbsent(bytes('x'), true), { mayBeLost }).outcome.status, 'committed');
});

test('a write that may have been taken before that was known is not told as if it never happened', () => {
  const cluster = new Cluster(all);
  let looks = 0;
  const { outcome } = cluster.run(source('W'), putIfAbsent(bytes('x')), {
    mayBeLost: () => looks++ > 0,
    lose: ({ type }) => {
      // Somebody else was promised more meanwhile, wherever nothing was accepted.
      if (type === 'accept' && looks === 1)
        for (const peer of all) cluster.states.set(peer, { promised: ballot(50, 'Z'), accepted: null, lost: false });
      return false;
    },
  });
  assert.equal(looks, 2);
  assert.equal(outcome.status, 'unknown');
});
