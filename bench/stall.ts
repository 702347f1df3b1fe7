/**
 * `node bench/stall.ts [holder] [guest] [storing]`: how long programs on the other hosts stand still when one of three hosts is lost: the one that serves the volume, one
 * that uses it as a guest, one that only stores. Real daemons, each in namespaces of its own. The longest operation of each kind is told, and the wait for the locks that a
 * program on the lost host had.
 * `ROUNDS` (2); `HOW=cut`: the host goes with its network, so that no closed connection tells of it; `HOGS` (0): busy processes beside it all.
 */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { complete, formCluster, type HostDaemon } from '../test/docker/cluster-hosts.ts';
import { DockerLab } from '../test/docker/lab.ts';
import type { HostProcess } from '../test/docker/namespaces.ts';
import { eventually } from '../test/docker/process.ts';
import type { Slow } from './stall/probe.ts';

/** How long the programs run before a host is lost, and after, in ms: twice as long as anybody may stand still. */
const [beforeMs, afterMs] = [2000, 12_000];
/** Failures that are told. */
const maxToldFailures = 20;
const locker = path.join(import.meta.dirname, '../test/integration/locker.ts');
const steady = ['open', 'read', 'write', 'fsync', 'mkdir', 'flock', 'fcntl'];
const kinds = [...steady, 'held flock', 'held fcntl'];

interface Loss {
  /** Which host is lost; the first to mount the volume serves it. */
  readonly victim: number;
  readonly mounts: readonly number[];
}

const losses: Readonly<Record<string, Loss>> = {
  holder: { victim: 0, mounts: [0, 1, 2] },
  guest: { victim: 1, mounts: [0, 1, 2] },
  storing: { victim: 2, mounts: [0, 1] },
};

const rounds = Number(process.env['ROUNDS'] ?? 2);
const cut = process.env['HOW'] === 'cut';
const hogs = Array.from({ length: Number(process.env['HOGS'] ?? 0) }, () => spawn('sh', ['-c', 'while :; do :; done']));
const longest = new Map<string, number[]>();
const failures: string[] = [];

function note(row: string, kind: string, ms: number): void {
  const row_ = `${row} | ${kind}`;
  longest.set(row_, [...(longest.get(row_) ?? []), ms]);
}

/** What a host that was lost had mounted is not there to be unmounted. */
async function restart(lab: DockerLab, daemons: readonly HostDaemon[], victim: number): Promise<void> {
  if (cut) await lab.heal(victim);
  await daemons[victim]!.start();
  await complete(daemons);
}

async function lose(lab: DockerLab, daemons: readonly HostDaemon[], name: string, volume: string): Promise<void> {
  const { victim, mounts } = losses[name]!;
  for (const index of mounts) await daemons[index]!.mount(volume);
  const directory = (index: number): string => path.join(daemons[index]!.mountDir, volume);
  const lost = daemons[victim]!;
  const withHeld = mounts.includes(victim);
  const programs: HostProcess[] = [];
  if (withHeld) {
    await lost.sh(volume, 'touch held-flock held-fcntl');
    for (const kind of ['flock', 'fcntl']) {
      const log = `${kind}-${volume}`;
      programs.push(await lost.host.spawn(log, process.execPath, [locker, kind, path.join(directory(victim), `held-${kind}`)]));
      await eventually('the lock is taken', () => (lost.host.log(log).includes('locked') ? true : undefined));
    }
  }
  const others = mounts.filter((index) => index !== victim);
  const probes = await Promise.all(
    others.map((index) => {
      const { host } = daemons[index]!;
      const probe = path.join(import.meta.dirname, 'stall/probe.ts');
      return host.spawn(`probe-${volume}`, process.execPath, [probe, directory(index), host.name, ...(withHeld ? ['held'] : [])]);
    }),
  );
  for (const index of others) {
    const ready = (): number =>
      daemons[index]!.host.log(`probe-${volume}`)
        .split('\n')
        .filter((line) => line === 'ready').length;
    await eventually('the programs run', () => (ready() === steady.length ? true : undefined), 60_000);
  }
  await sleep(beforeMs);
  const killed = Date.now();
  if (cut) await lab.cut(victim);
  await lost.kill();
  await sleep(afterMs);
  for (const probe of probes) await probe.kill('SIGTERM');
  for (const index of others) {
    const { host } = daemons[index]!;
    const told = host
      .log(`probe-${volume}`)
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Slow)
      .filter(({ end }) => end >= killed);
    for (const kind of kinds) {
      const own = told.filter((slow) => slow.kind === kind);
      // A wait for a lock began long before.
      const took = own.map(({ end, ms }) => (kind.startsWith('held') ? end - killed : ms));
      if (!kind.startsWith('held') || withHeld) note(`${name} lost | ${host.name}`, kind, Math.max(0, ...took));
      for (const { ms, error } of own)
        if (error !== undefined && (error !== 'not ended' || ms > 1000))
          failures.push(`${name} lost, ${host.name}, ${kind}, after ${ms} ms: ${error}`);
    }
  }
  for (const program of programs) await program.kill('SIGKILL');
  await restart(lab, daemons, victim);
  for (const index of others) await daemons[index]!.client.unmountVolume(volume, 'test');
  await lost.client.unmountVolume(volume, 'test').catch(() => {});
}

await using lab = await DockerLab.up({ hosts: 3, engines: false, network: true });
try {
  const daemons = await formCluster(lab);
  const chosen = process.argv.slice(2);
  for (let round = 1; round <= rounds; round++)
    for (const name of Object.keys(losses).filter((loss) => chosen.length === 0 || chosen.includes(loss)))
      await lose(lab, daemons, name, `${name}-${round}`);
} finally {
  for (const hog of hogs) hog.kill('SIGKILL');
}
const rows = [...new Set([...longest.keys()].map((key) => key.split(' | ').slice(0, 2).join(' | ')))];
console.log(`| lost | on host | ${kinds.join(' | ')} |\n|---|---|${kinds.map(() => '---:|').join('')}`);
for (const row of rows)
  console.log(
    `| ${row} | ${kinds
      .map(
        (kind) =>
          longest
            .get(`${row} | ${kind}`)
            ?.map((ms) => (ms / 1000).toFixed(1))
            .join(' ') ?? '',
      )
      .join(' | ')} |`,
  );
for (const failure of failures.slice(0, maxToldFailures)) console.log(failure);
