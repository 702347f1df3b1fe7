import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { systemClock } from '../../src/base/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { FailureDetector, type Liveness } from '../../src/overlay/membership/failure-detector.ts';
import { eventually } from '../suites/transport-suite.ts';

const heartbeat = { intervalMs: 40, suspectMs: 120, downMs: 200 };

/** Two hosts that watch each other, and what the first one saw. */
async function watch(): Promise<{ network: MemoryNetwork; states: [string, Liveness][]; sinceMs: number[]; stop: () => Promise<void> }> {
  const network = new MemoryNetwork();
  const hosts = ['a', 'b'].map((name) => network.open(name));
  const states: [string, Liveness][] = [];
  const sinceMs: number[] = [];
  const detectors = hosts.map(
    (host) =>
      new FailureDetector(
        host,
        systemClock,
        () => '',
        () => {},
        heartbeat,
      ),
  );
  detectors[0]!.onChange((peer, health) => {
    states.push([peer, health.liveness]);
    sinceMs.push(health.sinceMs);
  });
  await eventually(() => states.length > 0, 'a hears of b');
  return {
    network,
    states,
    sinceMs,
    stop: async () => {
      for (const detector of detectors) detector[Symbol.dispose]();
      for (const host of hosts) await host[Symbol.asyncDispose]();
    },
  };
}

test('a killed host is down at once', async () => {
  const { network, states, stop } = await watch();
  network.crash('b');
  assert.deepEqual(states, [
    ['b', 'alive'],
    ['b', 'down'],
  ]);
  await stop();
});

test('a silent host is suspect, then down, and alive again when it speaks', async () => {
  const { network, states, sinceMs, stop } = await watch();
  network.cut('b', 'a');
  await eventually(() => states.at(-1)![1] === 'down', 'it is seen');
  network.heal();
  await eventually(() => states.at(-1)![1] === 'alive', 'it is back');
  assert.deepEqual(
    states.map(([, liveness]) => liveness),
    ['alive', 'suspect', 'down', 'alive'],
  );
  assert.ok(sinceMs[2]! < sinceMs[1]!, 'it was lost before it was suspect');
  await stop();
});

test('a host that slept itself blames nobody', async () => {
  const { states, stop } = await watch();
  await sleep(50);
  const until = performance.now() + 400;
  while (performance.now() < until);
  await sleep(100);
  assert.deepEqual(states, [['b', 'alive']]);
  await stop();
});
