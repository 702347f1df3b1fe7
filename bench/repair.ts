/**
 * `node bench/repair.ts`: what clients of three real daemons notice of repair. A few programs put and get (256 bytes) at a steady rate, far below what the
 * machine can do; meanwhile a fourth host joins, is killed and counted out, and comes back. Latency in each stretch, beside that of the rest before.
 * `BLOCKS` of 1 MiB (256) and `REGISTERS` (2000) lie there, `CLIENTS` (8), `SECONDS` of rest (8), `REPAIR_RATE`, `BENCH_DIR`.
 */
import { randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Blocks, committed, connect } from '../src/api/index.ts';
import type { Address } from '../src/block/index.ts';
import { ClusterProcesses } from '../test/integration/cluster-processes.ts';
import type { DaemonProcess } from '../test/integration/daemon-process.ts';

const blocks = Number(process.env['BLOCKS'] ?? 256);
const registers = Number(process.env['REGISTERS'] ?? 2000);
const clients = Number(process.env['CLIENTS'] ?? 8);
const restSeconds = Number(process.env['SECONDS'] ?? 8);
const rate = process.env['REPAIR_RATE'];
const blockBytes = 1024 * 1024;
const valueBytes = 256;
/** Pause of a client between two calls, in ms. */
const thinkMs = 4;
const patienceMs = 120_000;
/** Phases looked at in a row that must all say that nothing is left to do: one is told between two jobs too. */
const calmLooks = 8;

/** Calls of one stretch. */
interface Sample {
  readonly call: 'put' | 'get';
  readonly ms: number;
  readonly failed: boolean;
}

let samples: Sample[] = [];

function report(stretch: string, began: number): void {
  const seconds = (performance.now() - began) / 1000;
  const at = (call: Sample['call'], share: number): string => {
    const times = samples.filter((sample) => sample.call === call && !sample.failed).map(({ ms }) => ms);
    times.sort((a, b) => a - b);
    return (times[Math.floor((times.length - 1) * share)] ?? NaN).toFixed(1);
  };
  const failures = samples.filter(({ failed }) => failed).length;
  const cells = (['put', 'get'] as const).flatMap((call) => [at(call, 0.5), at(call, 0.99), at(call, 1)]);
  console.log(`| ${stretch} | ${seconds.toFixed(1)} | ${Math.round(samples.length / seconds)} | ${cells.join(' | ')} | ${failures} |`);
  samples = [];
}

async function during(stretch: string, work: () => Promise<unknown>): Promise<void> {
  samples = [];
  const began = performance.now();
  await work();
  report(stretch, began);
}

/** Waits until no host of these has anything to move, to check or to wait for. */
async function repaired(hosts: readonly DaemonProcess[]): Promise<void> {
  const end = performance.now() + patienceMs;
  for (let calm = 0; calm < calmLooks; await sleep(50)) {
    const phases = await Promise.all(hosts.map(async ({ client }) => (await client.status()).repair?.phase));
    calm = phases.every((phase) => phase === 'idle') ? calm + 1 : 0;
    if (performance.now() > end) throw new Error(`repair is not done: ${phases.join()}`);
  }
}

await using cluster = await ClusterProcesses.start(3, process.env['BENCH_DIR'] ?? tmpdir(), [
  '--eviction-delay',
  '3s',
  ...(rate === undefined ? [] : ['--repair-rate', rate]),
]);
const first = [...cluster.hosts];
const ends = first.map((host) => connect(host.controlSocket));
const stores: readonly Blocks[] = ends.map((end) => end.blocks);
const value = randomFillSync(new Uint8Array(valueBytes));
const addresses: Address[] = [];
for (let at = 0; at < registers; at += 50)
  addresses.push(...(await Promise.all(Array.from({ length: 50 }, async (_, index) => (await stores[index % 3]!.create(value)).address))));
for (let index = 0; index < blocks; index++) await stores[index % 3]!.put(randomFillSync(new Uint8Array(blockBytes)));

let stop = false;
async function client(number: number): Promise<void> {
  for (let turn = number; !stop; turn += clients) {
    const address = addresses[turn % addresses.length]!;
    const call = turn % (2 * clients) < clients ? 'put' : 'get';
    const store = stores[turn % stores.length]!;
    const began = performance.now();
    const failed = await (call === 'put' ? store.update(address, value).then(committed) : store.get(address)).then(
      () => false,
      () => true,
    );
    samples.push({ call, ms: performance.now() - began, failed });
    await sleep(thinkMs);
  }
}

await repaired(first);
const running = Array.from({ length: clients }, (_, number) => client(number));
await sleep(2000);
console.log(`${blocks} blocks of 1 MiB, ${registers} registers; ${clients} clients, each ${thinkMs} ms between calls of ${valueBytes} bytes\n`);
console.log(
  '| stretch | s | calls/s | put p50 ms | p99 | most | get p50 ms | p99 | most | failures |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
);
await during('rest, three hosts', () => sleep(restSeconds * 1000));
let fourth: DaemonProcess | undefined;
await during('a fourth starts and joins', async () => {
  fourth = await cluster.add();
});
await during('blocks move to it', async () => {
  await cluster.complete();
  await repaired(cluster.hosts);
});
await during('rest, four hosts', () => sleep(restSeconds * 1000));
await during('it is killed, counted out, copies are made anew', async () => {
  await fourth!.kill();
  await cluster.settled(first);
  await repaired(first);
});
await during('it comes back and blocks move to it', async () => {
  await fourth!.restart();
  await cluster.complete();
  await repaired(cluster.hosts);
});
await during('rest, four hosts', () => sleep(restSeconds * 1000));
stop = true;
await Promise.all(running);
for (const end of ends) end.close();
