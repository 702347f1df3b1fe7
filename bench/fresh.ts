/**
 * `node bench/fresh.ts`: what a synced write of 4 KiB takes from a daemon's first one on, window by window: processor time of its threads, and how long the program waited.
 * `WINDOWS=300,700,r15,300`: how many writes each window has, and a rest of so many seconds between two. `HOSTS=3`: one of a cluster of so many daemons on this machine.
 * Processor time tells code that is not compiled yet also beside other work; the clock does not.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { ClusterProcesses } from '../test/integration/cluster-processes.ts';
import { DaemonProcess } from '../test/integration/daemon-process.ts';

const hosts = Number(process.env['HOSTS'] ?? 1);
const windows = (process.env['WINDOWS'] ?? '100,200,700,1000,2000,2000').split(',');
const pageBytes = 4096;
const fileBytes = 16 * 1024 * 1024;
/** Until hosts that have just found each other have nothing more to say, in ms. */
const settleMs = 3000;
const parts = ['main', 'volume', 'V8', 'pool'] as const;
type Part = (typeof parts)[number];

/** Whose thread it is, by its name: V8's helpers compile and collect, the pool waits for disks. */
function partOf(name: string): Part {
  if (name.startsWith('V8Worker') || name.startsWith('DelayedTask')) return 'V8';
  return name.startsWith('libuv') ? 'pool' : 'volume';
}

/** Milliseconds that the threads of a daemon have been given a processor. */
function processorMs(pid: number): Readonly<Record<Part, number>> {
  const taken = { main: 0, volume: 0, V8: 0, pool: 0 };
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const of = (file: string): string => readFileSync(`/proc/${pid}/task/${task}/${file}`, 'latin1').trim();
    taken[task === String(pid) ? 'main' : partOf(of('comm'))] += Number(of('schedstat').split(' ')[0]) / 1e6;
  }
  return taken;
}

/** Writes and syncs so many pages at places that no two windows begin with. @returns the milliseconds of each. */
function writeSynced(descriptor: number, count: number, from: number): number[] {
  const page = Buffer.alloc(pageBytes, 7);
  return Array.from({ length: count }, (_, index) => {
    const place = (Math.imul(from + index, 1_103_515_245) >>> 0) % (fileBytes / pageBytes);
    page.writeUInt32LE(from + index);
    const began = performance.now();
    writeSync(descriptor, page, 0, pageBytes, place * pageBytes);
    fdatasyncSync(descriptor);
    return performance.now() - began;
  });
}

// As a host has it, see bench/memory.ts.
process.env['NODE_COMPILE_CACHE'] ??= path.resolve(import.meta.dirname, '../build/compile-cache');
const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
const cluster = hosts > 1 ? await ClusterProcesses.start(hosts, home) : undefined;
const daemons = cluster?.hosts ?? [await DaemonProcess.start(path.join(home, 'daemon'))];
try {
  const file = path.join(await daemons[0]!.mount('bench'), 'file');
  await sleep(settleMs);
  const descriptor = openSync(file, 'w');
  writeSync(descriptor, Buffer.alloc(fileBytes, 1));
  fdatasyncSync(descriptor);
  const pids = daemons.map((daemon) => daemon.daemonPid);
  console.log(
    `| writes until then | ms (median) | processor µs a write | ${daemons.map((_, index) => `host ${index}: ${parts.join(', ')}`).join(' | ')} |`,
  );
  console.log(`|---:|---:|---:|${daemons.map(() => '---|').join('')}`);
  let done = 0;
  for (const window of windows) {
    if (window.startsWith('r')) {
      await sleep(Number(window.slice(1)) * 1000);
      console.log(`| ${window.slice(1)} s of rest |`);
      continue;
    }
    const count = Number(window);
    const before = pids.map(processorMs);
    const times = writeSynced(descriptor, count, done).sort((a, b) => a - b);
    const taken = pids.map((pid, index) => {
      const now = processorMs(pid);
      return parts.map((part) => Math.round(((now[part] - before[index]![part]) * 1000) / count));
    });
    done += count;
    const sum = taken.flat().reduce((total, each) => total + each, 0);
    console.log(`| ${done} | ${times[count >> 1]!.toFixed(2)} | ${sum} | ${taken.map((each) => each.join(', ')).join(' | ')} |`);
  }
  closeSync(descriptor);
} finally {
  await (cluster ?? daemons[0]!)[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
}
