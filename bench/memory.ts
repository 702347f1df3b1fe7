/**
 * `node bench/memory.ts [FILES]`: what the daemon takes when idle, and how it fares with FILES (100,000) empty files in one directory: rates by
 * tenth as the directory grows, look-ups, listing, removal, and resident memory before, at the height and afterwards. `REST_SECONDS=10`: look-ups once more after
 * so long a pause, in which what was made is written out.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, opendirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { DaemonProcess } from '../test/integration/daemon-process.ts';

const files = Number(process.argv[2] ?? 100_000);
const lookups = 2000;
/** What is written out, and freed, in the background. */
const settleMs = 10_000;
const restMs = Number(process.env['REST_SECONDS'] ?? 0) * 1000;

/** Resident MiB of a process, and what of it is its own: not the program's text, which all processes of Node share. */
function memory(pid: number): string {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number => Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)![1]) / 1024);
  return `${of('Rss')} MiB, ${of('Anonymous')} its own`;
}

function rate(count: number, action: (index: number) => void): string {
  const started = performance.now();
  for (let index = 0; index < count; index++) action(index);
  return `${Math.round(count / ((performance.now() - started) / 1000)).toLocaleString('en')}/s`;
}

const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
const daemon = await DaemonProcess.start(path.join(home, 'daemon'));
// A program that was never run before compiles itself first; the second start is like all later ones.
await daemon.stop();
await daemon.restart();
try {
  const served = Number(readFileSync(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8').trim().split(' ')[0]);
  await sleep(settleMs / 2);
  console.log(`idle: holder ${memory(daemon.pid)}; daemon ${memory(served)}`);
  const many = path.join(await daemon.mount('bench'), 'many');
  await sleep(settleMs / 2);
  console.log(`one volume mounted: daemon ${memory(served)}`);
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
  for (let round = 1; round <= 3; round++) {
    await sleep(2 * settleMs);
    console.log(`${(round * 2 * settleMs) / 1000} s later: daemon ${memory(served)}`);
  }
} finally {
  await daemon[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
}
