/**
 * `node bench/fuse.ts [seconds]`: the FUSE session alone, over a file system in memory, beside tmpfs in the same run. What it shows is the
 * price of the kernel protocol in TypeScript: operations a second, and the server's CPU time for one request, which other load changes less.
 */
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Mounted } from '../test/fuse/mounted.ts';

/** What one round of a workload does; returns the bytes it moved. */
type Round = (directory: string, worker: number, round: number) => number;

const mebi = 1 << 20;
const block = Buffer.alloc(mebi, 'x');
const files = 64;

const workloads: Readonly<Record<string, Round>> = {
  stat: (directory, _worker, round) => (statSync(`${directory}/file-${round % files}`), 0),
  'create, close, unlink': (directory, worker, round) => {
    const file = `${directory}/made-${worker}-${round}`;
    closeSync(openSync(file, 'w'));
    unlinkSync(file);
    return 0;
  },
  'create 1 KiB, close, unlink': (directory, worker, round) => {
    const file = `${directory}/made-${worker}-${round}`;
    const fd = openSync(file, 'w');
    writeSync(fd, block, 0, 1024);
    closeSync(fd);
    unlinkSync(file);
    return 1024;
  },
  'open, close': (directory, _worker, round) => (closeSync(openSync(`${directory}/file-${round % files}`, 'r')), 0),
  'write 64 MiB in 1 MiB pieces, close': (directory, worker) => {
    const fd = openSync(`${directory}/stream-${worker}`, 'w');
    for (let i = 0; i < 64; i++) writeSync(fd, block);
    closeSync(fd);
    return 64 * mebi;
  },
  'read 4 KiB past the page cache': (directory, worker, round) => {
    const fd = (direct[worker] ??= openSync(`${directory}/stream-${worker}`, constants.O_RDONLY | constants.O_DIRECT));
    return readSync(fd, aligned, 0, 4096, (round % 1000) * 4096);
  },
  'read 1 MiB past the page cache': (directory, worker, round) => {
    const fd = (direct[worker] ??= openSync(`${directory}/stream-${worker}`, constants.O_RDONLY | constants.O_DIRECT));
    return readSync(fd, aligned, 0, mebi, (round % 64) * mebi);
  },
};

const direct: Record<number, number> = {};
/** Memory whose address suits O_DIRECT. */
const aligned = Buffer.from(new SharedArrayBuffer(mebi));

interface Measured {
  readonly rounds: number;
  readonly bytes: number;
  readonly seconds: number;
}

interface Task {
  readonly workload: string;
  readonly directory: string;
  readonly worker: number;
  readonly seconds: number;
}

function work({ workload, directory, worker, seconds }: Task): Measured {
  const round = workloads[workload]!;
  const started = performance.now();
  let [rounds, bytes, now] = [0, 0, started];
  while ((now = performance.now()) - started < seconds * 1000) bytes += round(directory, worker, rounds++);
  return { rounds, bytes, seconds: (now - started) / 1000 };
}

async function measure(workload: string, directory: string, workers: number, seconds: number): Promise<Measured> {
  const results = await Promise.all(
    Array.from({ length: workers }, (_, worker) => {
      const thread = new Worker(new URL(import.meta.url), { workerData: { workload, directory, worker, seconds } satisfies Task });
      return new Promise<Measured>((resolve, reject) => thread.once('message', resolve).once('error', reject));
    }),
  );
  const sum = (of: (result: Measured) => number): number => results.reduce((total, result) => total + of(result), 0);
  return { rounds: sum(({ rounds }) => rounds), bytes: sum(({ bytes }) => bytes), seconds: sum((result) => result.seconds) / workers };
}

function rate({ rounds, bytes, seconds }: Measured): string {
  return bytes / rounds >= 65_536 ? `${Math.round(bytes / seconds / 1e6)} MB/s` : `${Math.round(rounds / seconds)}`;
}

const requests = (operations: Readonly<Record<string, number>>): number => Object.values(operations).reduce((sum, count) => sum + count, 0);

async function main(seconds: number): Promise<void> {
  // For stat nothing may be answered from the kernel's caches; all else is as a volume is mounted.
  const uncached = await Mounted.start({ entrySeconds: 3600, attributeSeconds: 0 });
  const cached = await Mounted.start();
  const memory = mkdtempSync('/dev/shm/infinit-bench-');
  try {
    for (const directory of [uncached.directory, cached.directory, memory]) {
      for (let i = 0; i < files; i++) closeSync(openSync(`${directory}/file-${i}`, 'w'));
    }
    console.log('| workload | clients | per second | tmpfs | requests a round | server CPU µs a request |\n|---|---|---|---|---|---|');
    for (const workload of Object.keys(workloads)) {
      for (const workers of [1, 4]) {
        const mounted = workload === 'stat' ? uncached : cached;
        const before = await mounted.statistics();
        const ours = await measure(workload, mounted.directory, workers, seconds);
        const after = await mounted.statistics();
        const tmpfs = await measure(workload, memory, workers, seconds / 2);
        const served = requests(after.operations) - requests(before.operations);
        const cpu = after.cpu.user + after.cpu.system - before.cpu.user - before.cpu.system;
        console.log(
          `| ${workload} | ${workers} | ${rate(ours)} | ${rate(tmpfs)} | ${(served / ours.rounds).toFixed(1)} | ${(cpu / served).toFixed(1)} |`,
        );
      }
    }
    console.log(
      `\nLongest wake-up of the server: ${(await cached.statistics()).longestWakeupMs.toFixed(1)} ms. Load: ${loadavg()[0]!.toFixed(1)} on ${availableParallelism()} cores.`,
    );
  } finally {
    await uncached[Symbol.asyncDispose]();
    await cached[Symbol.asyncDispose]();
    rmSync(memory, { recursive: true });
  }
}

if (isMainThread) await main(Number(process.argv[2] ?? 0.7));
else parentPort!.postMessage(work(workerData as Task));
