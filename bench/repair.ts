/**
 * `node bench/repair.ts`: what clients of three real daemons notice of repair. A few programs put and get (256 bytes) at a steady rate, far below what the
 * machine can do; meanwhile a fourth host joins, is killed and counted out, and comes back. Latency in each stretch, beside that of the rest before.
 * `BLOCKS` of 1 MiB (256) and `REGISTERS` (2001) lie there, `CLIENTS` (8), `SECONDS` of rest (8), `REPAIR_RATE`, `BENCH_DIR`.
 */
import { randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { type Blocks, committed, connect, type HostStatus } from '../src/api/index.ts';
import type { Address } from '../src/block/index.ts';
import { ClusterProcesses } from '../test/integration/cluster-processes.ts';
import type { DaemonProcess } from '../test/integration/daemon-process.ts';

const blocks = Number(process.env['BLOCKS'] ?? 256);
/** Odd, so that each of them is put and got: a client's calls take turns by its number of them. */
const registers = Number(process.env['REGISTERS'] ?? 2001);
const clients = Number(process.env['CLIENTS'] ?? 8);
const restSeconds = Number(process.env['SECONDS'] ?? 8);
const rate = process.env['REPAIR_RATE'];
const blockBytes = 1024 * 1024;
const valueBytes = 256;
/** Pause of a client between two calls, in ms. */
const thinkMs = 4;
const patienceMs = 120_000;
/** All hosts are asked for their status so often, in ms, at rest too: that alone must make no difference. */
const lookMs = 100;
/** Looks in a row that must all say that nothing is left to do: it is said between two jobs too. */
const calmLooks = 5;

/** Calls of one stretch. */
interface Sample {
  readonly call: 'put' | 'get';
  readonly ms: number;
  readonly failed: boolean;
}

let samples: Sample[] = [];
let stop = false;

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

/** What all hosts that run said last. */
let looked: readonly HostStatus[] = [];
let looks = 0;

async function look(): Promise<void> {
  for (; !stop; await sleep(lookMs)) {
    const running = cluster.hosts.filter(({ isRunning }) => isRunning);
    looked = (await Promise.allSettled(running.map(({ client }) => client.status()))).flatMap((one) =>
      one.status === 'fulfilled' ? [one.value] : [],
    );
    looks++;
  }
}

/** Waits until so many hosts know one roster of all of them, and none has anything to move, to check or to wait for. */
async function repaired(hosts: number): Promise<void> {
  const end = performance.now() + patienceMs;
  const isDone = ({ roster, repair }: HostStatus): boolean => roster.views.length === 1 && roster.hosts === hosts && repair?.phase === 'idle';
  for (let [calm, last] = [0, looks]; calm < calmLooks; await sleep(lookMs / 4)) {
    if (looks === last) continue;
    last = looks;
    calm = looked.length === hosts && looked.every(isDone) ? calm + 1 : 0;
    if (performance.now() > end) throw new Error(`repair is not done: ${looked.map(({ repair }) => repair?.phase).join()}`);
  }
}

// As a host has it: a host that starts loads a program that is compiled already.
process.env['NODE_COMPILE_CACHE'] ??= path.resolve(import.meta.dirname, '../build/compile-cache');
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
  addresses.push(
    ...(await Promise.all(
      Array.from({ length: Math.min(50, registers - at) }, async (_, index) => (await stores[index % 3]!.create(value)).address),
    )),
  );
for (let index = 0; index < blocks; index++) await stores[index % 3]!.put(randomFillSync(new Uint8Array(blockBytes)));

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

const looking = look();
await repaired(3);
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
await during('blocks move to it', () => repaired(4));
await during('rest, four hosts', () => sleep(restSeconds * 1000));
await during('it is killed, counted out, copies are made anew', async () => {
  await fourth!.kill();
  await repaired(3);
});
await during('it comes back and blocks move to it', async () => {
  await fourth!.restart();
  await repaired(4);
});
await during('rest, four hosts', () => sleep(restSeconds * 1000));
stop = true;
await Promise.all([...running, looking]);
for (const end of ends) end.close();
