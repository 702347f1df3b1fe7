/**
 * `node bench/scaling.ts [HOSTS …]`: clusters of 3, 6 and 12 hosts on this machine, every host with the same small share of one processor (a control group,
 * so it needs root), so that together they ask for less than the machine has. Throughput of all hosts together, and how much of linear it is.
 * `SHARE` of a processor for each host (0.08), `CLIENTS` on each (64, as in `bench/cluster.ts`), `SECONDS` (4), `BENCH_DIR`.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

import type { Address } from '../src/block/index.ts';
import { CpuShare } from './cluster/cpu-share.ts';
import { BenchCluster } from './cluster/hosts.ts';
import type { Load, Tally } from './cluster/workload.ts';

const share = Number(process.env['SHARE'] ?? 0.08);
const seconds = Number(process.env['SECONDS'] ?? 4);
const sizes = process.argv.slice(2).length > 0 ? process.argv.slice(2).map(Number) : [3, 6, 12];
const clientsAHost = Number(process.env['CLIENTS'] ?? 64);
const warmUpSeconds = 1.5;
const keysAHost = 256;
const bytes = 256;

const loads: readonly Load['workload'][] = ['put', 'read-once'];

async function measure(count: number, home: string): Promise<Map<Load['workload'], { readonly rate: number; readonly cpu: number }>> {
  const shares: CpuShare[] = [];
  const results = new Map<Load['workload'], { readonly rate: number; readonly cpu: number }>();
  try {
    await using cluster = await BenchCluster.start(home, count);
    const { hosts } = cluster;
    const sets = await Promise.all(hosts.map((host) => host.ask<readonly Address[]>({ type: 'prepare', keys: keysAHost, bytes, immutable: false })));
    const run = (workload: Load['workload'], forSeconds: number): Promise<Tally[]> =>
      Promise.all(
        hosts.map((host, index) => {
          const load: Load = { workload, clients: clientsAHost, seconds: forSeconds, keys: keysAHost, bytes };
          return host.ask<Tally>({ type: 'run', load, addresses: sets[workload === 'put' ? index : (index + 1) % count]! });
        }),
      );
    // With the whole machine, so that no host spends its share on compiling.
    for (const workload of [...loads, ...loads]) await run(workload, warmUpSeconds * (count / sizes[0]!));
    for (const [index, { child }] of hosts.entries()) {
      const group = new CpuShare(`infinit-bench-${process.pid}-${count}-${index}`, share);
      shares.push(group);
      group.add(child.pid!);
    }
    for (const workload of loads) {
      const tallies = await run(workload, seconds);
      const calls = tallies.reduce((sum, tally) => sum + tally.calls, 0);
      results.set(workload, {
        rate: tallies.reduce((sum, tally) => sum + tally.calls / tally.seconds, 0),
        cpu: (tallies.reduce((sum, tally) => sum + tally.cpuSeconds, 0) / calls) * 1e6,
      });
    }
  } finally {
    for (const group of shares) group[Symbol.dispose]();
  }
  return results;
}

const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
try {
  console.log(`Every host has ${share} of a processor; ${clientsAHost} clients on each.\n`);
  console.log('| hosts | workload | calls/s, all hosts | of linear | CPU µs a call |\n|---:|---|---:|---:|---:|');
  const first = new Map<Load['workload'], number>();
  for (const count of sizes) {
    const directory = path.join(home, String(count));
    mkdirSync(directory);
    for (const [workload, { rate, cpu }] of await measure(count, directory)) {
      const perHost = rate / count;
      if (!first.has(workload)) first.set(workload, perHost);
      console.log(`| ${count} | ${workload} | ${Math.round(rate)} | ${(perHost / first.get(workload)!).toFixed(2)} | ${cpu.toFixed(0)} |`);
    }
  }
} finally {
  rmSync(home, { recursive: true, force: true });
}
