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
  await using search = findPeersInSwarm({
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
