/**
 * `node bench/volume.ts [TARGET=DIRECTORY …]`: an Infinit volume beside ext4 (a directory on this machine's disk) and any other mounted
 * directory given, in one run, workload by workload, as ratios. Run it on an otherwise idle machine. `HOSTS=3`: the volume is one of a cluster
 * of three daemons on this machine, each block three times, mounted on the first. `SHARED=1`: the others have it mounted as well, so no kernel caches, and it is also
 * measured on the second, whose operations the first serves. `PASSES=3`: all workloads so often, one table each. The first is of daemons that have just started, whose program V8 has not
 * compiled; the last of such as have run for a while.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

import { ClusterProcesses } from '../test/integration/cluster-processes.ts';
import { DaemonProcess } from '../test/integration/daemon-process.ts';
import { scratchFiles, workloads } from './volume-workloads.ts';

const rounds = Number(process.env['ROUNDS'] ?? 1);
const passes = Number(process.env['PASSES'] ?? 1);
const only = process.env['ONLY'];

function measure(name: string, directory: string): number {
  const script = path.join(import.meta.dirname, 'volume-workloads.ts');
  const result = spawnSync(process.execPath, [script, name, directory], { encoding: 'utf8' });
  if (result.status !== 0) throw new Error(`${name} in ${directory}: ${result.stderr}`);
  return Number(result.stdout.trim());
}

/** The directories to compare with, made before anything is started: one that is wrong leaves nothing behind. What an earlier run left there is in nobody's way. */
const others = process.argv.slice(2).map((argument): [string, string] => {
  const [name, directory = ''] = argument.split('=') as [string, string?];
  if (!existsSync(directory)) throw new Error(`${argument}: there is no such directory; give NAME=DIRECTORY`);
  // PostgreSQL works in a directory of its own.
  return [name, mkdtempSync(path.resolve(directory, 'bench-'))];
});
const home = mkdtempSync(path.join(process.env['BENCH_DIR'] ?? process.cwd(), '.bench-'));
// PostgreSQL runs as a user of its own.
chmodSync(home, 0o755);
const hosts = Number(process.env['HOSTS'] ?? 1);
const cluster = hosts > 1 ? await ClusterProcesses.start(hosts, home) : undefined;
const daemon = cluster?.hosts[0] ?? (await DaemonProcess.start(path.join(home, 'daemon')));

/** The same volume on the other hosts. */
async function onTheOthers(): Promise<[string, string][]> {
  if (process.env['SHARED'] === undefined) return [];
  const [second] = await Promise.all(cluster!.hosts.slice(1).map((host) => host.mount('bench')));
  const directory = path.join(second!, 'second');
  mkdirSync(directory);
  return [['infinit, second host', directory]];
}

const targets = new Map([['ext4', path.join(home, 'ext4')], ['infinit', await daemon.mount('bench')], ...(await onTheOthers()), ...others]);
for (const directory of targets.values()) if (directory !== targets.get('ext4')) chmodSync(directory, 0o755);
mkdirSync(targets.get('ext4')!);

/** With what makes the things that these work on. */
const chosen = new Set(Object.keys(workloads).filter((name) => only === undefined || new RegExp(only).test(name)));
for (const name of chosen) for (let { needs } = workloads[name]!; needs !== undefined; { needs } = workloads[needs]!) chosen.add(needs);

/** The chosen workloads on all targets. */
function pass(): void {
  const names = [...targets.keys()];
  console.log(`| workload | ${names.map((name) => (name === 'ext4' ? 'ext4' : `${name} | of ext4`)).join(' | ')} |`);
  console.log(`|---|${names.map((name) => (name === 'ext4' ? '---:' : '---:|---:')).join('|')}|`);
  for (const [name, { unit }] of Object.entries(workloads)) {
    if (!chosen.has(name)) continue;
    const rates = new Map<string, number>();
    for (let round = 0; round < (name.includes('read') || name === 'stat' ? rounds : 1); round++) {
      for (const [target, directory] of targets) rates.set(target, Math.max(rates.get(target) ?? 0, measure(name, directory)));
    }
    const base = rates.get('ext4')!;
    const show = (rate: number): string => (rate >= 100 ? Math.round(rate).toLocaleString('en') : rate.toPrecision(2));
    const cells = [...rates].map(([target, rate]) => (target === 'ext4' ? show(rate) : `${show(rate)} | ${(rate / base).toFixed(2)}`));
    console.log(`| ${name}, ${unit} | ${cells.join(' | ')} |`);
  }
}

try {
  for (let index = 1; index <= passes; index++) {
    if (passes > 1) console.log(`\n${index} of ${passes}:\n`);
    pass();
  }
} finally {
  for (const [target, directory] of targets) if (target !== 'infinit') rmSync(directory, { recursive: true, force: true });
  await (cluster ?? daemon)[Symbol.asyncDispose]();
  for (const file of [home, ...scratchFiles]) rmSync(file, { recursive: true, force: true });
}
