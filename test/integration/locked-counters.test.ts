/**
 * Programs of three hosts count under a lock in two volumes, while daemons are frozen, killed and lost: no two of them ever count the same number, and nobody waits for a lock for long. What a program
 * was told has failed may have been done or not.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { seeded } from '../suites/seeded.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

/** Nobody waits for ever; how long it was at the most is said. What is promised of a lost host, 5 s, other tests see to. */
const longestWaitMs = 60_000;
const kinds = ['flock', 'fcntl'] as const;
const volumes = ['one', 'two'] as const;
const seed = Number(process.env['SEED'] ?? 1);
const rounds = Number(process.env['ROUNDS'] ?? 3);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A host stands still for a while, kernel and programs apart. */
async function freeze(host: DaemonProcess, ms: number): Promise<void> {
  const pids = [host.pid, host.daemonPid];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  await pause(ms);
  for (const pid of pids.toReversed()) process.kill(pid, 'SIGCONT');
}

suite('programs of three hosts that count under a lock', () => {
  let cluster: ClusterProcesses;
  const running = new Set<ChildProcess>();
  const logs: string[] = [];
  before(async () => {
    cluster = await ClusterProcesses.start(3);
  });
  after(async () => {
    for (const child of running) child.kill('SIGKILL');
    await cluster[Symbol.asyncDispose]();
  });

  const logOf = (volume: string, kind: string, host: number): string =>
    path.join(cluster.hosts[host]!.directory, `${volume}-${kind}-${logs.length}.log`);

  async function begin(host: number): Promise<void> {
    for (const volume of volumes) {
      const place = await cluster.hosts[host]!.mount(volume);
      for (const kind of kinds) {
        const log = logOf(volume, kind, host);
        logs.push(log);
        writeFileSync(log, '');
        const child = spawn(process.execPath, [path.join(import.meta.dirname, 'locked-counter.ts'), kind, path.join(place, kind), log], {
          stdio: ['ignore', 'ignore', 'inherit'],
        });
        running.add(child);
        child.once('exit', () => running.delete(child));
      }
    }
  }

  /** Numbers that were counted, by volume and kind, and what else was said. */
  function counted(): { readonly numbers: Map<string, number[]>; readonly errors: Map<string, number>; readonly longest: number } {
    const numbers = new Map<string, number[]>();
    const errors = new Map<string, number>();
    let longest = 0;
    for (const log of logs) {
      const of = path.basename(log).split('-').slice(0, 2).join(' ');
      for (const line of readFileSync(log, 'utf8').split('\n').filter(Boolean)) {
        const [outcome, waited] = line.split(' ') as [string, string];
        longest = Math.max(longest, Number(waited));
        if (Number.isNaN(Number(outcome))) errors.set(outcome, (errors.get(outcome) ?? 0) + 1);
        else numbers.set(of, [...(numbers.get(of) ?? []), Number(outcome)]);
      }
    }
    return { numbers, errors, longest };
  }

  /** Who has counted these, and when. */
  function told(of: string, numbers: readonly number[]): string {
    const lines = logs.flatMap((log) => {
      const isOf = path.basename(log).startsWith(of.replace(' ', '-'));
      return isOf
        ? readFileSync(log, 'utf8')
            .split('\n')
            .map((line) => `${path.basename(path.dirname(log))} ${line}`)
        : [];
    });
    return lines.filter((line) => numbers.includes(Number(line.split(' ')[1])) || / E/.test(line)).join(', ');
  }

  test('none counts what another has counted, whatever becomes of their daemons', { timeout: 500_000 }, async (t) => {
    const { hosts } = cluster;
    const places: Record<string, string> = {};
    // Each volume is served by another host.
    for (const [index, volume] of volumes.entries()) {
      places[volume] = await hosts[index]!.mount(volume);
      await sh(`cd ${places[volume]}; for kind in ${kinds.join(' ')}; do printf 000000000 > $kind; done; sync`);
    }
    for (const host of hosts.keys()) await begin(host);
    const chance = seeded(seed);
    const fates: string[] = [];
    for (let round = 0; round < rounds; round++) {
      await pause(1500 + chance() * 1500);
      const index = Math.floor(chance() * hosts.length);
      const host = hosts[index]!;
      const what = chance();
      if (what < 0.5) {
        const ms = Math.round(2000 + chance() * 6000);
        fates.push(`${Date.now()} h${index} frozen for ${ms}`);
        await freeze(host, ms);
      } else if (what < 0.8) {
        fates.push(`${Date.now()} h${index}'s daemon killed`);
        await host.crash();
      } else {
        fates.push(`${Date.now()} h${index} lost`);
        await host.kill();
        await pause(6000);
        await host.restart();
        await cluster.complete();
        await begin(index);
      }
    }
    await pause(3000);
    for (const child of running) child.kill('SIGTERM');
    const ends = performance.now() + 60_000;
    while (running.size > 0 && performance.now() < ends) await pause(50);
    assert.equal(running.size, 0, 'all end');
    const { numbers, errors, longest } = counted();
    const sums = [...numbers].map(([of, each]) => `${of}: ${each.length}`);
    t.diagnostic(`${fates.join(', ')}; ${sums.join(', ')}; ${[...errors].map((each) => each.join(' ')).join(', ')}; longest wait ${longest} ms`);
    assert.equal(numbers.size, volumes.length * kinds.length);
    for (const [of, each] of numbers) {
      const twice = each.filter((number, at) => each.indexOf(number) !== at);
      assert.deepEqual(twice, [], `${of} was counted twice: ${told(of, twice)}`);
      const [volume, kind] = of.split(' ') as [string, string];
      const last = Number(readFileSync(path.join(await hosts[2]!.mount(volume), kind), 'utf8'));
      assert.ok(last >= Math.max(...each), `${of}: ${last} after ${Math.max(...each)}`);
    }
    assert.ok(longest < longestWaitMs, `${longest} ms`);
  });
});
