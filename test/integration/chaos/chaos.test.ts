import assert from 'node:assert/strict';
import { suite, test } from 'node:test';

import { runChaos } from './chaos.ts';
import { furtherFaults, usualFaults } from './faults.ts';

suite('real hosts that fail', () => {
  test('five of which one after another dies, freezes, goes deaf or mute lose nothing acknowledged, and no other host stands still for longer than is promised', async (t) => {
    const seed = Date.now() % 1_000_000;
    t.diagnostic(`npm run chaos -- --hosts 5 --rounds 1 --faults 6 --at-once 1 --whole --seed ${seed}`);
    const report = await runChaos({
      hosts: 5,
      rounds: 1,
      faults: 6,
      atOnce: 1,
      seed,
      evictionDelay: '10m',
      whole: true,
      say: (line) => t.diagnostic(line),
    });
    assert.ok(report.acknowledged > 0);
    assert.deepEqual(report.overdue, []);
  });

  test('seven of which two at a time fail in any way that there is, also for so long that they are counted out, lose nothing acknowledged', async (t) => {
    const seed = Date.now() % 1_000_000;
    t.diagnostic(`npm run chaos -- --hosts 7 --rounds 1 --faults 6 --at-once 2 --also all --eviction-delay 5s --seed ${seed}`);
    const report = await runChaos({
      hosts: 7,
      rounds: 1,
      faults: 6,
      atOnce: 2,
      seed,
      evictionDelay: '5s',
      kinds: [...usualFaults, ...furtherFaults],
      say: (line) => t.diagnostic(line),
    });
    assert.ok(report.acknowledged > 0);
  });
});
