/**
 * `node bench/repair-in-process.ts`: as bench/repair.ts, in 10 s and one process: four hosts on one event loop, network (0.6 ms each way) and disks in memory. What repair
 * takes of a processor shows at once, what it takes of disks and of other hosts does not. For comparing two versions, round by round: its ratios are no cluster's.
 * `BLOCKS` of 1 MiB (40), `REGISTERS` (401), `CLIENTS` (8), `SECONDS` of rest (2).
 */
import { randomFillSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Address, immutableAddress, mutableAddress } from '../src/block/index.ts';
import { TestCluster } from '../test/repair/test-cluster.ts';

const blocks = Number(process.env['BLOCKS'] ?? 40);
const registers = Number(process.env['REGISTERS'] ?? 401);
const clients = Number(process.env['CLIENTS'] ?? 8);
const restSeconds = Number(process.env['SECONDS'] ?? 2);
const delayMs = 0.6;
/** Pause of a client between two calls, in ms. */
const thinkMs = 4;
const value = randomFillSync(new Uint8Array(256));
const names = ['h0', 'h1', 'h2'];

type Call = 'put' | 'get';
let samples: { readonly call: Call; readonly ms: number }[] = [];
let stop = false;

async function during(stretch: string, work: () => Promise<unknown>): Promise<void> {
  samples = [];
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  const at = (call: Call, share: number): string => {
    const times = samples.filter((sample) => sample.call === call).map(({ ms }) => ms);
    times.sort((a, b) => a - b);
    return (times[Math.floor((times.length - 1) * share)] ?? NaN).toFixed(1);
  };
  const cells = (['put', 'get'] as const).flatMap((call) => [at(call, 0.5), at(call, 0.9), at(call, 0.99)]);
  console.log(`| ${stretch} | ${seconds.toFixed(1)} | ${Math.round(samples.length / seconds)} | ${cells.join(' | ')} |`);
}

await using cluster = await TestCluster.of(names, 3, { checkIntervalMs: 3_600_000 });
cluster.network.setDelay(() => delayMs);
const stores = names.map((name) => cluster.host(name).store);
const addresses: Address[] = Array.from({ length: registers }, () => mutableAddress());
for (const [index, address] of addresses.entries()) await stores[index % 3]!.commit([{ update: [{ address, expect: 'absent', payload: value }] }]);
for (let index = 0; index < blocks; index++) {
  const sealed = randomFillSync(new Uint8Array(1024 * 1024));
  await stores[index % 3]!.commit([{ put: [{ address: immutableAddress(sealed), sealed }] }]);
}

async function client(number: number): Promise<void> {
  for (let turn = number; !stop; turn += clients) {
    const address = addresses[turn % registers]!;
    const call = turn % (2 * clients) < clients ? 'put' : 'get';
    const store = stores[turn % stores.length]!;
    const began = performance.now();
    await (call === 'put' ? store.commit([{ update: [{ address, expect: 'any', payload: value }] }]) : store.fetch(address));
    samples.push({ call, ms: performance.now() - began });
    await sleep(thinkMs);
  }
}

/** Waits while some host is at one of these, by five looks in a row. */
async function whileAny(...phases: readonly string[]): Promise<void> {
  const isAny = (): boolean =>
    cluster.views.list.length > 1 || [...cluster.hosts.values()].some(({ repair }) => phases.includes(repair.status().phase));
  for (let calm = 0; calm < 5; await sleep(20)) calm = isAny() ? 0 : calm + 1;
}

await whileAny('moving', 'waiting', 'checking', 'open');
const running = Array.from({ length: clients }, (_, number) => client(number));
await sleep(1000);
console.log(`${blocks} blocks of 1 MiB, ${registers} registers; ${clients} clients, each ${thinkMs} ms between calls of ${value.length} bytes\n`);
console.log('| stretch | s | calls/s | put p50 ms | p90 | p99 | get p50 ms | p90 | p99 |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|');
await during('rest, three hosts', () => sleep(restSeconds * 1000));
await during('a fourth comes, blocks move to it', async () => {
  await cluster.open('h3');
  cluster.views.append([...names, 'h3']);
  await whileAny('moving');
});
await during('everything is checked', () => whileAny('checking', 'open'));
await during('rest, four hosts', () => sleep(restSeconds * 1000));
stop = true;
await Promise.all(running);
