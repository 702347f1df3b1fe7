/**
 * `node bench/at-rest.ts [HOSTS …]`: what a cluster costs each of its hosts while nothing is asked of it: heartbeats, leases, membership, comparisons of repair. From clusters of
 * several sizes follows what each further host costs every other one. Processor time of all threads, from /proc, so Linux only.
 * `SETTLE` (20: seconds before what is measured), `SECONDS` (10), `BENCH_DIR`.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { BenchCluster } from './cluster/hosts.ts';

const sizes = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [3, 12, 24];
const settleMs = Number(process.env['SETTLE'] ?? 20) * 1000;
const seconds = Number(process.env['SECONDS'] ?? 10);

/** Milliseconds that the threads of a process have been given a processor. */
function processorMs(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).reduce((sum, task) => sum + Number(readFileSync(path.join(tasks, task, 'schedstat'), 'latin1').split(' ')[0]) / 1e6, 0);
}

async function measure(count: number, home: string): Promise<number> {
  await using cluster = await BenchCluster.start(home, count);
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const used = (): number => cluster.hosts.reduce((sum, { child }) => sum + processorMs(child.pid!), 0);
  const before = used();
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return (used() - before) / count / ((performance.now() - began) / 1000);
}

const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
try {
  console.log('| hosts | CPU ms a second, each host | for each further host |\n|---:|---:|---:|');
  let last: { readonly count: number; readonly ms: number } | undefined;
  for (const count of sizes) {
    const directory = path.join(home, String(count));
    mkdirSync(directory);
    const ms = await measure(count, directory);
    const further = last === undefined ? '' : ((ms - last.ms) / (count - last.count)).toFixed(2);
    console.log(`| ${count} | ${ms.toFixed(1)} | ${further} |`);
    last = { count, ms };
  }
} finally {
  rmSync(home, { recursive: true, force: true });
}
