import { openSync, closeSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { HostDaemon } from '../../docker/cluster-hosts.ts';
import type { LabHost } from '../../docker/host.ts';
import type { DockerLab } from '../../docker/lab.ts';
import { must } from '../../docker/process.ts';

/** Where a fault strikes. */
export interface ChaosScene {
  readonly lab: DockerLab;
  readonly daemons: readonly HostDaemon[];
  /** Starts a host's daemon again and mounts the volume of the round. */
  readonly comeBack: (index: number) => Promise<void>;
}

/** What can happen to a host. */
export interface Fault {
  readonly name: string;
  /** Milliseconds that it lasts, at least and at most. */
  readonly holdMs: readonly [number, number];
  /** The host is as good as dead meanwhile: what it served goes to another within what is promised. */
  readonly loses?: true;
  /** What a host needs before its first daemon starts, so that this can happen to it; returns what to add to the daemon's environment. */
  readonly prepare?: (lab: DockerLab, host: LabHost) => Promise<NodeJS.ProcessEnv>;
  /** Resolves once the host is to be well again. */
  strike(scene: ChaosScene, index: number, holdMs: number): Promise<void>;
}

/** On both sides of the volume lease's term. */
const usualMs = [200, 7000] as const;
/** Longer than a holder that stands still is left in peace, and than most deadlines. */
const longMs = [10_000, 30_000] as const;

/** Goes through iptables until it is over. */
function firewall(name: string, rule: (lab: DockerLab, index: number) => readonly string[], holdMs = usualMs): Fault {
  return {
    name,
    holdMs,
    async strike({ lab }, index, ms) {
      const [chain, ...match] = rule(lab, index) as [string, ...string[]];
      const host = lab.hosts[index]!;
      await host.must('iptables', ['-A', chain, ...match, '-j', 'DROP']);
      await sleep(ms);
      await host.must('iptables', ['-D', chain, ...match, '-j', 'DROP']);
    },
  };
}

function freeze(name: string, holdMs: readonly [number, number]): Fault {
  return {
    name,
    holdMs,
    loses: true,
    async strike({ daemons }, index, ms) {
      daemons[index]!.freeze('SIGSTOP');
      await sleep(ms);
      daemons[index]!.freeze('SIGCONT');
    },
  };
}

/** The host's processes end in some way, and come back when it is over. */
function away(name: string, end: (daemon: HostDaemon) => Promise<unknown>): Fault {
  return {
    name,
    holdMs: usualMs,
    loses: true,
    async strike({ daemons, comeBack }, index, ms) {
      await end(daemons[index]!);
      await sleep(ms);
      await comeBack(index);
    },
  };
}

/** What happens where nothing else is asked for. Seeds count on their order. */
export const usualFaults: readonly Fault[] = [
  away('kill -9 of holder and daemon', (daemon) => daemon.kill()),
  { name: 'kill -9 of the daemon', holdMs: usualMs, strike: ({ daemons }, index) => daemons[index]!.crash() },
  { name: 'upgrade', holdMs: usualMs, strike: ({ daemons }, index) => daemons[index]!.replace() },
  away('stop and start', (daemon) => daemon.stop()),
  freeze('freeze', usualMs),
  {
    name: 'cut off',
    holdMs: usualMs,
    loses: true,
    async strike({ lab }, index, holdMs) {
      await lab.cut(index);
      await sleep(holdMs);
      await lab.heal(index);
    },
  },
  firewall('deaf', () => ['INPUT', '-i', 'eth0']),
  firewall('mute', () => ['OUTPUT', '-o', 'eth0']),
  {
    name: 'slow network',
    holdMs: usualMs,
    async strike({ lab }, index, holdMs) {
      const link = ['dev', 'eth0', 'root'];
      await lab.hosts[index]!.must('tc', ['qdisc', 'add', ...link, 'tbf', 'rate', '4mbit', 'burst', '32k', 'latency', '300ms']);
      await sleep(holdMs);
      await lab.hosts[index]!.must('tc', ['qdisc', 'del', ...link]);
    },
  },
];

const mebibyte = 2 ** 20;
/** The disk of a host that can become full. */
const diskBytes = 768 * mebibyte;
const hourMs = 3_600_000;

/** What only happens where it is asked for, with `--also` or `--only`. */
export const furtherFaults: readonly Fault[] = [
  freeze('long freeze', longMs),
  {
    // The processes that come after it die while they open the store, or the volume.
    name: 'daemons that die one after the other',
    holdMs: [50, 2500],
    strike: ({ daemons }, index, holdMs) => daemons[index]!.crash(3, holdMs),
  },
  {
    name: 'full disk',
    holdMs: usualMs,
    async prepare(_lab, host) {
      const state = path.join(host.directory, 'state');
      await host.must('mkdir', ['-p', state]);
      await host.must('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'state', state]);
      return {};
    },
    async strike({ lab }, index, holdMs) {
      const host = lab.hosts[index]!;
      const filler = path.join(host.directory, 'state', 'filler');
      await host.run('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k']);
      await sleep(holdMs);
      await host.must('rm', [filler]);
    },
  },
  firewall('lossy network', () => ['INPUT', '-i', 'eth0', '-m', 'statistic', '--mode', 'random', '--probability', '0.15']),
  firewall('deaf to one other', (lab, index) => ['INPUT', '-s', lab.addressOf((index + 1) % lab.hosts.length)]),
  firewall('mute to two others', (lab, index) => ['OUTPUT', '-d', [1, 2].map((step) => lab.addressOf((index + step) % lab.hosts.length)).join()]),
  clock('clock an hour ahead', hourMs),
  clock('clock an hour behind', -hourMs),
];

/** The wall clock of a host's daemon jumps, and jumps back. */
function clock(name: string, byMs: number): Fault {
  const offsetOf = ({ directory }: LabHost): string => path.join(directory, 'clock');
  const set = (host: LabHost, ms: number): void => {
    // In place: the daemon has the file mapped.
    const file = openSync(offsetOf(host), 'r+');
    writeSync(file, new Uint8Array(new BigInt64Array([BigInt(ms)]).buffer), 0, 8, 0);
    closeSync(file);
  };
  return {
    name,
    holdMs: usualMs,
    async prepare(lab, host) {
      const library = path.join(lab.directory, 'clock.so');
      await must('cc', ['-shared', '-fPIC', '-O2', '-o', library, path.join(import.meta.dirname, 'clock.c'), '-ldl']);
      writeFileSync(offsetOf(host), new Uint8Array(8));
      return { LD_PRELOAD: library, CHAOS_CLOCK: offsetOf(host) };
    },
    async strike({ lab }, index, holdMs) {
      set(lab.hosts[index]!, byMs);
      await sleep(holdMs);
      set(lab.hosts[index]!, 0);
    },
  };
}

/** @throws Error where there is no fault of that name. */
export function faultNamed(name: string): Fault {
  const all = [...usualFaults, ...furtherFaults];
  const fault = all.find((one) => one.name === name);
  if (fault === undefined) throw new Error(`there is no fault ${JSON.stringify(name)}, but: ${all.map((one) => one.name).join(', ')}`);
  return fault;
}
