/**
 * `node bench/scaling.ts [HOSTS …]`: clusters of 3, 6 and 12 hosts on this machine, every host with the same small share of one processor (a control group,
 * so it needs root), so that together they ask for less than the machine has. Throughput of all hosts together, and how much of linear it is; processor time, messages,
 * groups of the disk, turns at a processor and calls of the kernel that write, for each call; and the part of the time in which event loops wait. `4x3` in place of a number:
 * four clusters of three at once, that is, as many programs as one cluster of twelve and the work of three.
 * `SHARE` of a processor for each host (0.12; the kernel gives no group less than 0.1 in these periods), `CLIENTS` on each (64, as in `bench/cluster.ts`; `64,256,1024`: each number in turn, and of linear also by the most that each
 * size reaches with any of them, which is what a cluster can carry: the calls of as many clients go to more others in a larger cluster), `SECONDS` (4), `WARMUP` (3: seconds of each workload,
 * twice, for three hosts with the whole machine; for more hosts so much longer. V8 compiles what is used meanwhile), `BENCH_DIR`.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

import type { Address } from '../src/block/index.ts';
import { CpuShare } from './cluster/cpu-share.ts';
import { BenchCluster } from './cluster/hosts.ts';
import type { Load, Tally, Work } from './cluster/workload.ts';

const share = Number(process.env['SHARE'] ?? 0.12);
const seconds = Number(process.env['SECONDS'] ?? 4);
const sizes = process.argv.slice(2).length > 0 ? process.argv.slice(2) : ['3', '6', '12'];
const clientsAHost = (process.env['CLIENTS'] ?? '64').split(',').map(Number);
const warmUpSeconds = Number(process.env['WARMUP'] ?? 3);
const keysAHost = Math.max(256, ...clientsAHost);
const bytes = 256;

const loads: readonly Load['workload'][] = ['put', 'read-once'];

interface Result extends Work {
  readonly workload: Load['workload'];
  readonly clients: number;
  readonly rate: number;
  readonly cpu: number;
  readonly p50: number;
}

/** Clusters of `count` hosts each, all at work at once. */
async function measure(clusters: number, count: number, home: string): Promise<readonly Result[]> {
  const shares: CpuShare[] = [];
  const results: Result[] = [];
  try {
    await using stack = new AsyncDisposableStack();
    const started: BenchCluster[] = [];
    for (let index = 0; index < clusters; index++) {
      const directory = path.join(home, String(index));
      mkdirSync(directory);
      started.push(stack.use(await BenchCluster.start(directory, count)));
    }
    const sets = await Promise.all(
      started.map(({ hosts }) =>
        Promise.all(hosts.map((host) => host.ask<readonly Address[]>({ type: 'prepare', keys: keysAHost, bytes, immutable: false }))),
      ),
    );
    const run = async (workload: Load['workload'], clients: number, forSeconds: number): Promise<Tally[]> => {
      const load: Load = { workload, clients, seconds: forSeconds, keys: keysAHost, bytes };
      const tallies = await Promise.all(
        started.map(({ hosts }, cluster) =>
          Promise.all(
            hosts.map((host, index) =>
              host.ask<Tally>({ type: 'run', load, addresses: sets[cluster]![workload === 'put' ? index : (index + 1) % count]! }),
            ),
          ),
        ),
      );
      return tallies.flat();
    };
    // With the whole machine, so that no host spends its share on compiling.
    for (const workload of [...loads, ...loads]) await run(workload, clientsAHost[0]!, (warmUpSeconds * clusters * count) / 3);
    for (const [index, { child }] of started.flatMap(({ hosts }) => hosts).entries()) {
      const group = new CpuShare(`infinit-bench-${process.pid}-${clusters}x${count}-${index}`, share);
      shares.push(group);
      group.add(child.pid!);
    }
    for (const [workload, clients] of loads.flatMap((load) => clientsAHost.map((clients) => [load, clients] as const))) {
      const tallies = await run(workload, clients, seconds);
      const sum = (pick: (tally: Tally) => number): number => tallies.reduce((all, tally) => all + pick(tally), 0);
      const calls = sum((tally) => tally.calls);
      results.push({
        workload,
        clients,
        rate: sum((tally) => tally.calls / tally.seconds),
        cpu: (sum((tally) => tally.cpuSeconds) / calls) * 1e6,
        messages: sum((tally) => tally.work!.messages) / calls,
        p50: sum((tally) => tally.p50Ms) / tallies.length,
        requests: sum((tally) => tally.work!.requests) / calls,
        rounds: sum((tally) => tally.work!.rounds) / calls,
        turns: sum((tally) => tally.work!.turns) / calls,
        groups: sum((tally) => tally.work!.groups) / calls,
        switches: sum((tally) => tally.work!.switches) / calls,
        writes: sum((tally) => tally.work!.writes) / calls,
        idle: sum((tally) => tally.work!.idle / tally.seconds) / tallies.length,
      });
    }
  } finally {
    for (const group of shares) group[Symbol.dispose]();
  }
  return results;
}

const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
try {
  console.log(`Every host has ${share} of a processor.\n`);
  console.log(
    '| hosts | workload | clients on each | calls/s, all hosts | of linear | CPU µs a call | p50 ms | rounds | served | messages | turns | groups | switches | writes | idle |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
  );
  /** Of the first size, for each host. */
  const first = new Map<string, number>();
  const most: string[] = [];
  for (const size of sizes) {
    const directory = path.join(home, size);
    mkdirSync(directory);
    const [count, clusters = 1] = size.split('x').map(Number).toReversed() as [number, number?];
    const results = await measure(clusters, count, directory);
    const ofLinear = (key: string, rate: number): string => {
      const perHost = rate / (clusters * count);
      if (!first.has(key)) first.set(key, perHost);
      return (perHost / first.get(key)!).toFixed(2);
    };
    for (const { workload, clients, rate, cpu, p50, rounds, requests, messages, turns, groups, switches, writes, idle } of results) {
      const figures = [p50, rounds, requests, messages, turns, groups, switches, writes, idle].map((figure) => figure.toFixed(2)).join(' | ');
      console.log(
        `| ${size} | ${workload} | ${clients} | ${Math.round(rate)} | ${ofLinear(`${workload} ${clients}`, rate)} | ${cpu.toFixed(0)} | ${figures} |`,
      );
    }
    for (const workload of loads) {
      const best = results.filter((result) => result.workload === workload).reduce((a, b) => (b.rate > a.rate ? b : a));
      most.push(`| ${size} | ${workload} | ${best.clients} | ${Math.round(best.rate)} | ${ofLinear(workload, best.rate)} |`);
    }
  }
  if (clientsAHost.length > 1)
    console.log(`\n| hosts | workload | most with clients on each | calls/s, all hosts | of linear |\n|---:|---|---:|---:|---:|\n${most.join('\n')}`);
} finally {
  rmSync(home, { recursive: true, force: true });
}
