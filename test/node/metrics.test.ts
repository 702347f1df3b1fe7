import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, Server } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import type { HostStatus } from '../../src/api/index.ts';
import { createLogger, Histogram, silentLogger } from '../../src/base/index.ts';
import { mutableAddress } from '../../src/block/index.ts';
import { MeasuredStore } from '../../src/node/measured-store.ts';
import { serveMetrics } from '../../src/node/control/metrics-endpoint.ts';
import { Metrics } from '../../src/node/control/metrics.ts';
import { ProgramBlocks } from '../../src/node/blocks/program-blocks.ts';
import { ValueHosts } from './daemon-double.ts';

const status = {
  name: 'h0',
  health: { state: 'DEGRADED', reasons: ['one host'] },
  uptimeSeconds: 5,
  memoryBytes: 100,
  disk: { state: 'healthy', blocks: 1, liveBytes: 2, usedBytes: 3, freeBytes: 4, totalBytes: 7, damaged: 0 },
  replicas: { wanted: 3, hosts: 1 },
  volumes: 2,
  mounted: ['data'],
  hosts: [],
} as unknown as HostStatus;

async function scrape(use: (blocks: ProgramBlocks) => Promise<void>): Promise<string> {
  await using cluster = await ValueHosts.start(1);
  const store = new MeasuredStore(cluster.hosts[0]!.store);
  const blocks = new ProgramBlocks(store, () => Promise.reject(new Error('nobody inspects')), mutableAddress);
  await use(blocks);
  using metrics = new Metrics({
    status: () => Promise.resolve(status),
    store,
    programs: blocks,
    consensus: () => ({ operations: 1, rounds: 2, requests: 3, loads: 4 }),
    disk: { groupSeconds: new Histogram(), records: 7, bytes: 8 },
    traffic: () => ({ sentMessages: 1, sentBytes: 2, receivedMessages: 3, receivedBytes: 4 }),
    peers: () => ['alive', 'down'],
    watched: () => 3,
    usages: () => [Promise.resolve({ name: 'data', usedBytes: 10, sizeBytes: 20, inodes: 2 }), new Promise<never>(() => {})],
  });
  await using endpoint = await serveMetrics({ host: '127.0.0.1', port: 0 }, () => metrics.text(), silentLogger);
  const answer = await fetch(`http://127.0.0.1:${endpoint.port}/metrics`);
  assert.equal((await fetch(`http://127.0.0.1:${endpoint.port}/v1/volumes`)).status, 404);
  return answer.text();
}

test('calls, their latencies, outcomes and failures are counted', async () => {
  const text = await scrape(async (blocks) => {
    const address = mutableAddress();
    await blocks.create(address, Buffer.from('a'), {});
    for (let i = 0; i < 3; i++) await blocks.update(address, Buffer.from('b'), undefined, {});
    await blocks.update(address, Buffer.from('c'), 1, {});
    await blocks.put(Buffer.alloc(1000), {});
    await assert.rejects(blocks.put(Buffer.alloc(5_000_000), {}), { code: 'too-large' });
  });
  for (const line of [
    'infinit_health 1',
    'infinit_program_call_seconds_count{call="update"} 4',
    'infinit_program_failures_total{call="update",code="conflict"} 1',
    'infinit_program_failures_total{call="put",code="too-large"} 1',
    'infinit_store_outcomes_total{outcome="committed"} 4',
    'infinit_store_outcomes_total{outcome="conflict"} 1',
    'infinit_peers{state="down"} 1',
    'infinit_volume_used_bytes{volume="data"} 10',
    'infinit_watched_blocks 3',
    'infinit_consensus_rounds_total 2',
  ])
    assert.ok(text.split('\n').includes(line), `${line} is not in\n${text}`);
  const buckets = [...text.matchAll(/^infinit_program_call_seconds_bucket\{call="update",le="[^"]+"\} (\d+)$/gm)].map((match) => Number(match[1]));
  assert.deepEqual(
    buckets,
    buckets.toSorted((a, b) => a - b),
  );
  assert.equal(buckets.at(-1), 4);
});

test('every metric that the Grafana board names is there', async () => {
  const text = await scrape(async () => {});
  const known = new Set([...text.matchAll(/^# TYPE (\w+) /gm)].map((match) => match[1]!));
  const board = readFileSync('docs/grafana.json', 'utf8');
  const named = new Set([...board.matchAll(/\binfinit_\w+/g)].map((match) => match[0].replace(/_(bucket|count|sum)$/, '')));
  assert.ok(named.size > 25);
  assert.deepEqual(
    [...named].filter((name) => !known.has(name)),
    [],
  );
  // And the board leaves nothing out.
  assert.deepEqual(
    [...known].filter((name) => !named.has(name)),
    [],
  );
});

test('of questions that are sent one behind the other on a connection one is answered', async () => {
  let asked = 0;
  const text = (): Promise<string> => {
    asked++;
    return setImmediate('x 1\n');
  };
  await using endpoint = await serveMetrics({ host: '127.0.0.1', port: 0 }, text, silentLogger);
  const socket = connect(endpoint.port, '127.0.0.1');
  socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(50));
  assert.deepEqual([(await textOf(socket)).split('x 1\n').length - 1, asked], [1, 1]);
});

test('a connection that cannot be taken ends nothing', async () => {
  const lines: string[] = [];
  await using endpoint = await serveMetrics(
    { host: '127.0.0.1', port: 0 },
    () => Promise.resolve('x 1\n'),
    createLogger('error', (_level, line) => lines.push(line)),
  );
  // The endpoint keeps its server to itself, and the kernel cannot be made to fail at a chosen moment.
  const { _getActiveHandles } = process as unknown as { _getActiveHandles: () => readonly unknown[] };
  const server = _getActiveHandles().find(
    (handle) => handle instanceof Server && (handle.address() as AddressInfo)?.port === endpoint.port,
  ) as Server;
  for (let time = 0; time < 2; time++) server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
  assert.match(lines.join(), /cannot take a connection/);
  assert.equal(await (await fetch(`http://127.0.0.1:${endpoint.port}/metrics`)).text(), 'x 1\n');
});
