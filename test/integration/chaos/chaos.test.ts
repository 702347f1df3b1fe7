import assert from 'node:assert/strict';
import { test } from 'node:test';

import { runChaos } from './chaos.ts';

test('five real hosts of which one after another dies, freezes, goes deaf or mute lose nothing acknowledged', async (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`npm run chaos -- --hosts 5 --rounds 1 --faults 6 --at-once 1 --seed ${seed}`);
  const report = await runChaos({ hosts: 5, rounds: 1, faults: 6, atOnce: 1, seed, evictionDelay: '10m', say: (line) => t.diagnostic(line) });
  assert.ok(report.acknowledged > 0);
});
