/**
 * `node bench/cluster.ts [infinit] [daemons] [etcd]`: three hosts on this machine (the store in their own processes; and real daemons, asked by the
 * client as programs do) beside a three-member etcd, in one run and by turns.
 * `SECONDS` and `ROUNDS` (2 and 3), `WARMUP` (4: seconds of each workload before its first round, for all alike; V8 compiles what is used meanwhile), `ONLY=REGEXP`
 * (workloads), `CLIENTS` (64), `PROFILE=DIRECTORY` (CPU profiles of the hosts), `BENCH_DIR`.
 */
import { randomFillSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

import type { Address } from '../src/block/index.ts';
import { Daemons } from './cluster/daemons.ts';
import { Etcd, EtcdClient } from './cluster/etcd.ts';
import { BenchCluster } from './cluster/hosts.ts';
import { drive, type Load, type Tally } from './cluster/workload.ts';

const seconds = Number(process.env['SECONDS'] ?? 2);
const rounds = Number(process.env['ROUNDS'] ?? 3);
const warmUpSeconds = Number(process.env['WARMUP'] ?? 4);
const clients = Number(process.env['CLIENTS'] ?? 64);
const hostCount = 3;
const keysAClient = 16;
const mutableBytes = 256;
const blockBytes = 1024 * 1024;
const blocks = 192;

interface Contestant {
  readonly name: string;
  readonly workloads: readonly Load['workload'][];
  run(load: Load): Promise<readonly Tally[]>;
  close(): Promise<void>;
}

async function infinit(home: string): Promise<Contestant> {
  const cluster = await BenchCluster.start(home, hostCount);
  const keys = Math.ceil((clients * keysAClient) / hostCount);
  const sets = await Promise.all(
    cluster.hosts.map((host) => host.ask<readonly Address[]>({ type: 'prepare', keys, bytes: mutableBytes, immutable: false })),
  );
  const immutable = await Promise.all(
    cluster.hosts.map((host) => host.ask<readonly Address[]>({ type: 'prepare', keys: blocks / hostCount, bytes: blockBytes, immutable: true })),
  );
  return {
    name: 'infinit',
    workloads: ['put', 'get', 'commit', 'put-immutable', 'get-immutable'],
    // Each host serves its share of the clients.
    run: (load) =>
      Promise.all(
        cluster.hosts.map((host, index) => {
          const share = Math.floor(load.clients / hostCount) + (index < load.clients % hostCount ? 1 : 0);
          // Blocks are read on another host than the one that wrote them.
          const from = load.workload.startsWith('get') ? (index + 1) % hostCount : index;
          const addresses = (load.workload.endsWith('immutable') ? immutable : sets)[from]!;
          return host.ask<Tally>({ type: 'run', load: { ...load, clients: share }, addresses });
        }),
      ),
    close: () => cluster[Symbol.asyncDispose](),
  };
}

async function daemons(): Promise<Contestant> {
  const started = await Daemons.start(hostCount, clients, keysAClient, mutableBytes, { count: blocks, bytes: blockBytes });
  return {
    name: 'daemons, by the client',
    workloads: ['put', 'get', 'put-immutable', 'get-immutable'],
    run: (load) => started.run(load),
    close: () => started[Symbol.asyncDispose](),
  };
}

async function etcd(home: string): Promise<Contestant> {
  const cluster = await Etcd.start(home, hostCount);
  const ends = cluster.urls.map((url) => new EtcdClient(url));
  const value = randomFillSync(new Uint8Array(mutableBytes));
  const keyOf = (client: number, turn: number): Buffer => Buffer.from(`key/${client}/${turn % keysAClient}`);
  for (let client = 0; client < clients; client++)
    await Promise.all(Array.from({ length: keysAClient }, (_, turn) => ends[client % hostCount]!.put(keyOf(client, turn), value)));
  return {
    name: 'etcd',
    workloads: ['put', 'get'],
    run: async (load) => {
      const before = cluster.cpuSeconds();
      const tally = await drive(load, async (client, turn) => {
        const end = ends[client % hostCount]!;
        if (load.workload === 'put') await end.put(keyOf(client, turn), value);
        else if ((await end.get(keyOf(client, turn))).indexOf(value) < 0) throw new Error('not what was written');
      });
      return [{ ...tally, cpuSeconds: tally.cpuSeconds + cluster.cpuSeconds() - before }];
    },
    close: async () => {
      for (const end of ends) end.close();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

function rate(load: Load, tallies: readonly Tally[]): number {
  const calls = tallies.reduce((sum, tally) => sum + tally.calls / tally.seconds, 0);
  return load.bytes === blockBytes ? (calls * blockBytes) / 1e6 : calls;
}

const loads: readonly Load[] = [
  { workload: 'put', clients, seconds, keys: clients * keysAClient, bytes: mutableBytes },
  { workload: 'get', clients, seconds, keys: clients * keysAClient, bytes: mutableBytes },
  { workload: 'commit', clients: 3, seconds, keys: clients * keysAClient, bytes: mutableBytes },
  { workload: 'put-immutable', clients: 12, seconds, keys: blocks, bytes: blockBytes },
  { workload: 'get-immutable', clients: 12, seconds, keys: blocks, bytes: blockBytes },
];

const makers = { infinit, daemons, etcd };
const chosen = process.argv.slice(2).filter((name): name is keyof typeof makers => name in makers);
const only = process.env['ONLY'];
const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
const contestants: Contestant[] = [];
try {
  for (const name of chosen.length === 0 ? (Object.keys(makers) as (keyof typeof makers)[]) : chosen) {
    const directory = path.join(home, name);
    mkdirSync(directory);
    contestants.push(await makers[name](directory));
  }
  console.log(
    '| workload | store | rounds | best | p50 ms | p99 ms | CPU µs a call, clients and servers | failures |\n|---|---|---|---:|---:|---:|---:|---:|',
  );
  for (const load of loads.filter(({ workload }) => only === undefined || new RegExp(only).test(workload))) {
    const results = new Map<Contestant, (readonly Tally[])[]>();
    const taking = contestants.filter(({ workloads }) => workloads.includes(load.workload));
    if (warmUpSeconds > 0) for (const contestant of taking) await contestant.run({ ...load, seconds: warmUpSeconds });
    for (let round = 0; round < rounds; round++) {
      for (const contestant of taking) {
        const tallies = await contestant.run(load);
        results.set(contestant, [...(results.get(contestant) ?? []), tallies]);
      }
    }
    for (const [{ name }, all] of results) {
      const rates = all.map((tallies) => Math.round(rate(load, tallies)));
      const last = all.at(-1)!;
      const calls = last.reduce((sum, tally) => sum + tally.calls, 0);
      const cpu = (last.reduce((sum, tally) => sum + tally.cpuSeconds, 0) / calls) * 1e6;
      const failures = all.flat().reduce((sum, tally) => sum + tally.failures, 0);
      const worst = (pick: 'p50Ms' | 'p99Ms'): string => Math.max(...last.map((tally) => tally[pick])).toFixed(1);
      const unit = load.bytes === blockBytes ? 'MB/s' : '/s';
      console.log(
        `| ${load.workload} | ${name} | ${rates.join(' ')} | ${Math.max(...rates)} ${unit} | ${worst('p50Ms')} | ${worst('p99Ms')} | ${cpu.toFixed(0)} | ${failures} |`,
      );
    }
  }
} finally {
  for (const contestant of contestants) await contestant.close();
  rmSync(home, { recursive: true, force: true });
}
