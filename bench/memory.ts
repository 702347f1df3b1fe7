/**
 * `node bench/memory.ts [FILES]`: what the daemon takes at rest, and how it fares with FILES (100,000; 0: none) empty files in one directory: rates by
 * tenth as the directory grows, look-ups, listing, removal, and resident memory before, at the height and afterwards. `REST_SECONDS=10`: look-ups once more after
 * so long a pause, in which what was made is written out. `HOSTS=3`: at rest only, one of a cluster of so many daemons on this machine, and the others.
 */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  opendirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ClusterProcesses } from '../test/integration/cluster-processes.ts';
import { DaemonProcess } from '../test/integration/daemon-process.ts';

const files = Number(process.argv[2] ?? 100_000);
const lookups = 2000;
/** At rest is who worked for less than this part of an interval, in each of the last two: as long as it takes a thread to give back what it does not need. */
const restingShare = 0.05;
const restIntervalMs = 5000;
/** After so many intervals it is measured all the same, and said. */
const maxIntervals = 12;
const restMs = Number(process.env['REST_SECONDS'] ?? 0) * 1000;

/** Resident MiB of a process, and what of it is its own: not the program's text, which all processes of Node share. */
function memory(pid: number): string {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number => Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)![1]) / 1024);
  return `${of('Rss')} MiB, ${of('Anonymous')} its own`;
}

/** Milliseconds that the threads of a process have been given a processor. */
function processorMs(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  return readdirSync(tasks).reduce((sum, task) => sum + Number(readFileSync(path.join(tasks, task, 'schedstat'), 'latin1').split(' ')[0]) / 1e6, 0);
}

/** Waits until a daemon is at rest; how long that took. */
async function atRest(pid: number): Promise<string> {
  let calm = 0;
  let before = processorMs(pid);
  for (let interval = 1; interval <= maxIntervals; interval++) {
    await sleep(restIntervalMs);
    const now = processorMs(pid);
    calm = now - before < restingShare * restIntervalMs ? calm + 1 : 0;
    before = now;
    if (calm === 2) return `at rest after ${(interval * restIntervalMs) / 1000} s`;
  }
  return 'NOT at rest';
}

/** What daemons take once the first of them is at rest, and 20 and 60 s later. */
async function sayAtRest(what: string, pids: readonly number[]): Promise<void> {
  const taken = (): string => pids.map(memory).join(' | ');
  console.log(`${what}: ${await atRest(pids[0]!)} ${taken()}`);
  await sleep(20_000);
  console.log(`  20 s later ${taken()}`);
  await sleep(40_000);
  console.log(`  60 s later ${taken()}`);
}

function rate(count: number, action: (index: number) => void): string {
  const started = performance.now();
  for (let index = 0; index < count; index++) action(index);
  return `${Math.round(count / ((performance.now() - started) / 1000)).toLocaleString('en')}/s`;
}

// As a host has it: the program is compiled before the daemon begins, which therefore never loads what strips types.
process.env['NODE_COMPILE_CACHE'] ??= path.resolve(import.meta.dirname, '../build/compile-cache');
const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
const hosts = Number(process.env['HOSTS'] ?? 1);
if (hosts > 1) await ofCluster();
else await ofOne();

async function ofCluster(): Promise<void> {
  try {
    await using cluster = await ClusterProcesses.start(hosts, home);
    const pids = cluster.hosts.map((host) => host.daemonPid);
    await sayAtRest(`${hosts} hosts, no volume mounted`, pids);
    await cluster.hosts[0]!.mount('bench');
    await sayAtRest('a volume mounted on the first', pids);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function ofOne(): Promise<void> {
  const daemon = await DaemonProcess.start(path.join(home, 'daemon'));
  try {
    const served = daemon.daemonPid;
    await sayAtRest('no volume mounted: daemon | holder', [served, daemon.pid]);
    const many = path.join(await daemon.mount('bench'), 'many');
    await sayAtRest('one volume mounted', [served]);
    if (files > 0) await withMany(many, served);
  } finally {
    await daemon[Symbol.asyncDispose]();
    rmSync(home, { recursive: true, force: true });
  }
}

async function withMany(many: string, served: number): Promise<void> {
  mkdirSync(many);
  const file = (index: number): string => path.join(many, `file-${index}`);
  for (let tenth = 0; tenth < 10; tenth++) {
    const from = Math.floor((files * tenth) / 10);
    const until = Math.floor((files * (tenth + 1)) / 10);
    const created = rate(until - from, (index) => closeSync(openSync(file(from + index), 'w')));
    const lookUp = (): string => rate(lookups, () => statSync(file(Math.floor(Math.random() * until))));
    const lookUpAnew = (): string => {
      writeFileSync('/proc/sys/vm/drop_caches', '2');
      return lookUp();
    };
    const told = [`create ${created}`, `look up ${lookUp()}`, `after the kernel forgot ${lookUpAnew()}`];
    if (restMs > 0) {
      await sleep(restMs);
      told.push(`at rest ${lookUpAnew()}`);
    }
    console.log(`${until.toLocaleString('en')} files: ${told.join(', ')}; daemon ${memory(served)}`);
  }
  for (const what of ['list', 'list again']) {
    const started = performance.now();
    const directory = opendirSync(many, { bufferSize: 1024 });
    let listed = 0;
    while (directory.readSync() !== null) listed++;
    directory.closeSync();
    console.log(
      `${what}: ${listed.toLocaleString('en')} names, ${Math.round(listed / ((performance.now() - started) / 1000)).toLocaleString('en')}/s`,
    );
  }
  for (let tenth = 0; tenth < 10; tenth++) {
    const from = Math.floor((files * tenth) / 10);
    const until = Math.floor((files * (tenth + 1)) / 10);
    console.log(`removed up to ${until.toLocaleString('en')}: ${rate(until - from, (index) => unlinkSync(file(from + index)))}`);
  }
  await sayAtRest('all removed', [served]);
}
