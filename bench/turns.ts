/**
 * `node bench/turns.ts [FILES] [CACHED]`: a volume in its thread over a store in this one, without a mount: FILES (20,000) files made, listed, looked up
 * and removed while CACHED (2,000) inodes fit into memory. For both threads: CPU time an operation, the longest turn of the event loop (without what it waited for a
 * processor, so that a busy machine hardly counts) and how many turns took over 5 ms. V8 collects garbage as in the daemon.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isMainThread, MessageChannel, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';

import { silentLogger, systemClock } from '../src/base/index.ts';
import { Sealer } from '../src/block/index.ts';
import { daemonNodeFlags } from '../src/cli/node-flags.ts';
import { LogDisk } from '../src/disk/index.ts';
import { Volume } from '../src/filesystem/index.ts';
import { PortStore, servePort } from '../src/store/port/index.ts';
import { Store } from '../src/store/index.ts';

const files = Number(process.argv[2] ?? 20_000);
const maxCachedInodes = Number(process.argv[3] ?? 2000);
const lookups = 5000;
const longMs = 5;
const pauseMs = 20;
/** So often it is looked how long the thread waited for a processor, in ms: at each turn it would be a third of all work. */
const delayEveryMs = 1;
/** Of the main thread: longest turn, long turns, CPU ms; then whether to begin anew. */
const [longest, long, total, anew] = [0, 1, 2, 3] as const;

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

/** How long the calling thread could have run and had no processor, in ms; 0 where the kernel does not count it. */
function delayReader(): () => number {
  const descriptor = openSync('/proc/thread-self/schedstat', 'r');
  const text = Buffer.alloc(80);
  return () => Number(text.toString('latin1', 0, readSync(descriptor, text, 0, text.length, 0)).split(' ')[1]) / 1e6;
}

/**
 * Takes the time of each turn of this thread's event loop, less what it waited for a processor. Not the thread's CPU time: the kernel counts that by its tick, of 4 ms,
 * which is good for sums and not for a turn.
 */
function watchTurns(figures: Float64Array): void {
  const delayMs = delayReader();
  let [before, looked, delayed, cpu] = [performance.now(), performance.now(), delayMs(), cpuMs()];
  const turn = (): void => {
    let took = performance.now() - before;
    if (took > longMs || before - looked > delayEveryMs) {
      const now = delayMs();
      took = Math.max(0, took - (now - delayed));
      delayed = now;
      looked = performance.now();
    }
    if (figures[anew] === 1) {
      figures.fill(0);
      cpu = cpuMs();
    } else {
      figures[longest] = Math.max(figures[longest]!, took);
      if (took > longMs) figures[long]!++;
      figures[total] = cpuMs() - cpu;
    }
    before = performance.now();
    setImmediate(turn).unref();
  };
  setImmediate(turn).unref();
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, pauseMs));

async function serveStore(): Promise<void> {
  const directory = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? tmpdir(), 'infinit-turns-'));
  try {
    await using disk = await LogDisk.open(directory);
    await using store = await Store.open({ self: 'host', incarnation: 1, disk, logger: silentLogger });
    const { port1, port2 } = new MessageChannel();
    servePort(port1, store);
    const figures = new Float64Array(new SharedArrayBuffer(32));
    watchTurns(figures);
    const worker = new Worker(new URL(import.meta.url), { workerData: { port: port2, figures }, transferList: [port2], argv: process.argv.slice(2) });
    await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
    port1.close();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function workOnVolume({ port, figures }: { readonly port: MessagePort; readonly figures: Float64Array }): Promise<void> {
  const own = new Float64Array(4);
  watchTurns(own);
  const options = { maxCachedInodes };
  const volumeId = 'a'.repeat(32);
  const volume = await Volume.open({
    store: new PortStore(port),
    sealer: new Sealer(),
    volumeId,
    session: 1,
    clock: systemClock,
    options,
    logger: silentLogger,
  });
  const caller = { uid: 0, gid: 0, pid: 1 };
  const phase = async (what: string, count: number, run: () => Promise<unknown>): Promise<void> => {
    own[anew] = figures[anew] = 1;
    await pause();
    const started = performance.now();
    await run();
    const rate = Math.round(count / ((performance.now() - started) / 1000));
    await pause();
    const of = (name: string, measured: Float64Array): string =>
      `${name} ${((measured[total]! * 1000) / count).toFixed(1)} µs, longest ${measured[longest]!.toFixed(1)} ms, ${measured[long]} over ${longMs}`;
    console.log(`${what.padEnd(16)} ${rate.toLocaleString('en').padStart(9)}/s; ${of('volume', own)}; ${of('main', figures)}`);
  };
  const list = async (): Promise<void> => {
    for (let cookie = 0; ; await nextTurn()) {
      const entries = await volume.readdir(1, 0, cookie, 64 * 1024, true);
      if (entries.length === 0) return;
      for (const { attributes } of entries) if (attributes !== undefined) volume.forget(attributes.inode, 1);
      cookie = entries.at(-1)!.cookie;
    }
  };
  const lookUp = async (): Promise<void> => {
    const found = await volume.lookup(1, `file-${Math.floor(Math.random() * files)}`);
    volume.forget(found!.inode, 1);
  };
  const each = async (count: number, step: (index: number) => Promise<void>): Promise<void> => {
    for (let index = 0; index < count; index++) {
      await step(index);
      if (index % 8 === 0) await nextTurn();
    }
  };
  await phase('create', files, () =>
    each(files, async (index) => {
      const { attributes, handle } = await volume.create(1, `file-${index}`, 0o100644, 0o22, 2, caller);
      await volume.release(attributes.inode, handle);
      volume.forget(attributes.inode, 1);
    }),
  );
  await phase('write out', files, () => volume.recall());
  for (let turn = 0; turn < 2; turn++) await phase('list', files, list);
  await phase('look up', lookups, () => each(lookups, lookUp));
  await phase('look up by 16', lookups, () => each(lookups / 16, async () => void (await Promise.all(Array.from({ length: 16 }, lookUp)))));
  await phase('unlink', files, () => each(files, async (index) => volume.unlink(1, `file-${index}`)));
  await phase('write out', files, () => volume.recall());
  await volume.close();
  port.close();
  parentPort!.close();
}

if (!isMainThread) await workOnVolume(workerData);
else if (daemonNodeFlags.every((flag) => process.execArgv.includes(flag))) await serveStore();
else process.exitCode = spawnSync(process.execPath, [...daemonNodeFlags, ...process.argv.slice(1)], { stdio: 'inherit' }).status ?? 1;
