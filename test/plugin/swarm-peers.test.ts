import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';

import { findPeersInSwarm, type SwarmMember } from '../../plugin/index.ts';
import { silentLogger } from '../../src/base/index.ts';

const member = (address: string, self = false): SwarmMember => ({ id: address, hostname: undefined, address, ready: true, self });

test("while a host is lonely the swarm's other hosts are suggested, engine or not, and then nobody is asked", async () => {
  let lonely = true;
  let asked = 0;
  const suggested: (readonly string[])[] = [];
  using search = findPeersInSwarm({
    members: () => {
      // The engine is not up yet when it is asked first.
      if (++asked === 1) return Promise.reject(new Error('connect ENOENT'));
      return Promise.resolve([member('10.0.0.1', true), member('10.0.0.2'), member(''), member('fd00::3')]);
    },
    isLonely: () => lonely,
    suggest: (addresses) => {
      suggested.push(addresses);
      lonely = false;
    },
    logger: silentLogger,
    intervalMs: 5,
  });
  for (let turn = 0; turn < 400 && suggested.length === 0; turn++) await sleep(5);
  assert.deepEqual(suggested, [['10.0.0.2', 'fd00::3']]);
  const before = asked;
  await sleep(50);
  assert.equal(asked, before);
  assert.ok(search);
});

test('an engine that never answers is asked again, and does not hold up the end', { timeout: 10_000 }, async () => {
  const asked: AbortSignal[] = [];
  const suggested: (readonly string[])[] = [];
  const search = findPeersInSwarm({
    members: (signal) => {
      asked.push(signal);
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    },
    isLonely: () => true,
    suggest: (addresses) => suggested.push(addresses),
    logger: silentLogger,
    intervalMs: 1,
    deadlineMs: 20,
  });
  for (let turn = 0; turn < 400 && asked.length < 3; turn++) await sleep(5);
  assert.ok(asked.length >= 3, 'it is asked again');
  search[Symbol.dispose]();
  await sleep(30);
  const before = asked.length;
  assert.ok(asked.every((signal) => signal.aborted));
  await sleep(50);
  assert.equal(asked.length, before, 'and not after the end');
  assert.deepEqual(suggested, []);
});
