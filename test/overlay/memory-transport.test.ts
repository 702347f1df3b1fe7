import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf } from '../../src/base/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { eventually, transportSuite } from '../suites/transport-suite.ts';

transportSuite('the transport in memory', async () => {
  const network = new MemoryNetwork();
  const hosts = [network.open('a'), network.open('b'), network.open('c')] as const;
  return {
    hosts,
    kill: async (host) => network.crash(host.self),
    [Symbol.asyncDispose]: async () => {
      for (const host of hosts) await host[Symbol.asyncDispose]();
    },
  };
});

test('a cut is one way and silent, and its request has an unknown outcome', async () => {
  const network = new MemoryNetwork();
  await using a = network.open('a');
  await using b = network.open('b');
  const heard: string[] = [];
  b.handle(100, (_peer, body) => {
    heard.push(Buffer.from(body).toString());
    return body;
  });
  network.cut('b', 'a');
  await assert.rejects(a.request('b', 100, Buffer.from('one'), { deadlineMs: 30 }), (error) => codeOf(error) === 'unknown-outcome');
  assert.deepEqual(heard, ['one']);
  network.heal();
  assert.equal(Buffer.from(await a.request('b', 100, Buffer.from('two'))).toString(), 'two');
});

test('a dropped connection does not come back before the partition heals', async () => {
  const network = new MemoryNetwork({ redialMs: 5 });
  await using a = network.open('a');
  await using _b = network.open('b');
  network.partition(['a'], ['b']);
  a.drop('b', 'no heartbeat');
  await sleep(40);
  assert.equal(a.isConnected('b'), false);
  network.heal();
  await eventually(() => a.isConnected('b'), 'the connection comes back');
});

test('a delay holds for each way and keeps the order', async () => {
  const network = new MemoryNetwork({ delayMs: () => 20 });
  await using a = network.open('a');
  await using b = network.open('b');
  b.handle(100, (_peer, body) => body);
  const started = performance.now();
  await a.request('b', 100, Buffer.from('x'));
  assert.ok(performance.now() - started >= 38);
});

test('a frozen host answers once it thaws', async () => {
  const network = new MemoryNetwork();
  await using a = network.open('a');
  await using b = network.open('b');
  b.handle(100, (_peer, body) => body);
  network.freeze('b');
  const request = a.request('b', 100, Buffer.from('x'));
  await sleep(20);
  network.thaw('b');
  assert.equal((await request).length, 1);
});

test('by targets, only whom somebody names is connected', async () => {
  const network = new MemoryNetwork({ mesh: 'targets' });
  await using a = network.open('a');
  await using b = network.open('b');
  await using c = network.open('c');
  a.setTargets([{ peer: 'b', addresses: [] }]);
  assert.deepEqual([a.connected(), b.connected(), c.connected()], [['b'], ['a'], []]);
});
