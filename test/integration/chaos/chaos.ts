import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf } from '../../../src/base/index.ts';
import { complete, formCluster, type HostDaemon } from '../../docker/cluster-hosts.ts';
import { DockerLab } from '../../docker/lab.ts';
import { eventually } from '../../docker/process.ts';
import { SeededRandom } from '../../simulation/random.ts';
import { type SlowOperation, Workload } from '../workload.ts';

export interface ChaosOptions {
  readonly hosts: number;
  /** Faults of one round, after which everything heals and is verified. */
  readonly faults: number;
  readonly rounds: number;
  /** Which faults, whom they hit and for how long. Not their timing to the millisecond: these are real processes. */
  readonly seed: number;
  /** Hosts in trouble at once. With more than a minority of a block's replicas operations fail meanwhile; nothing acknowledged may be lost all the same. */
  readonly atOnce: number;
  /** `infinit daemon --eviction-delay`: with one shorter than the faults hosts are counted out meanwhile, blocks move, and hosts come back as newcomers. */
  readonly evictionDelay: string;
  /** Where what the daemons said is kept; it goes with the hosts where absent. */
  readonly logs?: string;
  readonly say: (line: string) => void;
}

export interface ChaosReport {
  readonly acknowledged: number;
  readonly failures: number;
  readonly longestMs: number;
  /** The longest on a host that had no trouble of its own meanwhile. */
  readonly longestElsewhereMs: number;
}

/** When a host was in trouble, in milliseconds of the wall clock: until it was well again as far as the one who struck it knows. */
interface Trouble {
  readonly host: string;
  readonly fault: string;
  readonly from: number;
  to: number;
}

/** What can happen to a host. Each resolves once the host is to be well again. */
interface Fault {
  readonly name: string;
  strike(scene: ChaosScene, index: number, holdMs: number): Promise<void>;
}

const faults: readonly Fault[] = [
  {
    name: 'kill -9 of holder and daemon',
    async strike({ daemons, comeBack }, index, holdMs) {
      await daemons[index]!.kill();
      await sleep(holdMs);
      await comeBack(index);
    },
  },
  { name: 'kill -9 of the daemon', strike: ({ daemons }, index) => daemons[index]!.crash() },
  { name: 'upgrade', strike: ({ daemons }, index) => daemons[index]!.replace() },
  {
    name: 'stop and start',
    async strike({ daemons, comeBack }, index, holdMs) {
      await daemons[index]!.stop();
      await sleep(holdMs);
      await comeBack(index);
    },
  },
  {
    name: 'freeze',
    async strike({ daemons }, index, holdMs) {
      daemons[index]!.freeze('SIGSTOP');
      await sleep(holdMs);
      daemons[index]!.freeze('SIGCONT');
    },
  },
  {
    name: 'cut off',
    async strike({ lab }, index, holdMs) {
      await lab.cut(index);
      await sleep(holdMs);
      await lab.heal(index);
    },
  },
  {
    name: 'deaf',
    async strike({ lab }, index, holdMs) {
      await lab.hosts[index]!.must('iptables', ['-A', 'INPUT', '-i', 'eth0', '-j', 'DROP']);
      await sleep(holdMs);
      await lab.hosts[index]!.must('iptables', ['-F', 'INPUT']);
    },
  },
  {
    name: 'mute',
    async strike({ lab }, index, holdMs) {
      await lab.hosts[index]!.must('iptables', ['-A', 'OUTPUT', '-o', 'eth0', '-j', 'DROP']);
      await sleep(holdMs);
      await lab.hosts[index]!.must('iptables', ['-F', 'OUTPUT']);
    },
  },
  {
    name: 'slow network',
    async strike({ lab }, index, holdMs) {
      const link = ['dev', 'eth0', 'root'];
      await lab.hosts[index]!.must('tc', ['qdisc', 'add', ...link, 'tbf', 'rate', '4mbit', 'burst', '32k', 'latency', '300ms']);
      await sleep(holdMs);
      await lab.hosts[index]!.must('tc', ['qdisc', 'del', ...link]);
    },
  },
];

interface ChaosScene {
  readonly lab: DockerLab;
  readonly daemons: readonly HostDaemon[];
  /** Starts a host's daemon again and mounts the volume of the round. */
  readonly comeBack: (index: number) => Promise<void>;
}

/** Milliseconds that a fault lasts, at least and at most: on both sides of the volume lease's term. */
const holdMs = [200, 7000] as const;
/** Milliseconds between two faults of one kind of trouble. */
const pauseMs = [0, 1500] as const;

/** How long a host that came back may take to mount: the longest fault of the others, and what the cluster needs after that. */
const comeBackMs = 60_000;

/** @throws what is not merely a lack of hosts. */
function outOfReach(error: unknown): undefined {
  const code = codeOf(error);
  if (code !== 'unavailable' && code !== 'unknown-outcome' && code !== 'deadline-exceeded') throw error;
}

/** Real daemons under a workload whose every acknowledged write is checked, while hosts die, freeze, go deaf and come back. @throws AssertionError. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  await using lab = await DockerLab.up({ hosts: options.hosts, engines: false, network: true });
  const daemons = await formCluster(
    lab,
    lab.hosts.map(() => ({ INFINIT_EVICTION_DELAY: options.evictionDelay })),
  );
  using _ = { [Symbol.dispose]: () => keepLogs(daemons, options.logs) };
  const chance = new SeededRandom(options.seed);
  const report = { acknowledged: 0, failures: 0, longestMs: 0, longestElsewhereMs: 0 };
  for (let round = 1; round <= options.rounds; round++) {
    const volume = `round-${round}`;
    for (const index of chance.sample([...daemons.keys()], daemons.length)) await daemons[index]!.mount(volume);
    const scene: ChaosScene = {
      lab,
      daemons,
      comeBack: async (index) => {
        await daemons[index]!.start();
        // With others in trouble too, what the mount must read may be out of reach for a while.
        await eventually(`${daemons[index]!.host.name} mounts again`, () => daemons[index]!.mount(volume).then(() => true, outOfReach), comeBackMs);
      },
    };
    await using workload = new Workload(daemons, volume);
    const troubles: Trouble[] = [];
    await strikeAll(scene, chance, options, troubles);
    await complete(daemons).catch(async (error: unknown) => {
      for (const daemon of daemons) options.say(await standing(daemon));
      throw error;
    });
    await workload.runFor(1000);
    await workload.verify();
    report.acknowledged += workload.acknowledged;
    report.failures += workload.failures;
    report.longestMs = Math.max(report.longestMs, workload.longestMs);
    for (const slow of workload.slow) {
      const meanwhile = troubles.filter(({ from, to }) => from < slow.to && to > slow.from);
      if (meanwhile.every(({ host }) => host !== slow.host))
        report.longestElsewhereMs = Math.max(report.longestElsewhereMs, Math.round(slow.to - slow.from));
      options.say(tell(slow, meanwhile));
    }
    options.say(
      `round ${round}: ${workload.acknowledged} acknowledged and there, ${workload.failures} failed, the longest took ${workload.longestMs} ms`,
    );
    for (const daemon of daemons) await daemon.client.unmountVolume(volume, 'test');
  }
  return report;
}

/** A slow operation, and whom what ailed from when to when, in seconds since it began. */
function tell({ host, script, from, to, failed }: SlowOperation, meanwhile: readonly Trouble[]): string {
  const seconds = (time: number): string => ((time - from) / 1000).toFixed(1);
  const troubles = meanwhile.map((trouble) => `${trouble.host} ${trouble.fault} ${seconds(trouble.from)} to ${seconds(trouble.to)}`);
  return `  ${host}, ${seconds(to)} s${failed ? ', failed' : ''}, at ${new Date(from).toISOString()}: ${script.slice(0, 40)} (${troubles.join(', ') || 'nobody in trouble'})`;
}

function keepLogs(daemons: readonly HostDaemon[], directory: string | undefined): void {
  if (directory === undefined) return;
  mkdirSync(directory, { recursive: true });
  for (const { host, log } of daemons) writeFileSync(path.join(directory, `${host.name}.log`), log);
}

/** What a host makes of the others, for a run whose hosts do not come together again. */
async function standing({ host, client, log }: HostDaemon): Promise<string> {
  const [nodes, status] = await Promise.allSettled([client.listNodes(), client.status()]);
  const roster = status.status === 'fulfilled' ? status.value.roster : status.reason;
  return `${host.name}: ${JSON.stringify(nodes)} ${JSON.stringify(roster)}\n${log.split('\n').slice(-40).join('\n')}`;
}

async function strikeAll(scene: ChaosScene, chance: SeededRandom, options: ChaosOptions, troubles: Trouble[]): Promise<void> {
  const well = new Set(scene.daemons.keys());
  let left = options.faults;
  const trouble = async (): Promise<void> => {
    while (left-- > 0) {
      const index = chance.pick([...well]);
      const fault = chance.pick(faults);
      const hold = Math.round(chance.between(...holdMs));
      well.delete(index);
      const { name: host } = scene.daemons[index]!.host;
      options.say(`${host}: ${fault.name}, ${hold} ms`);
      const trouble = { host, fault: fault.name, from: Date.now(), to: Infinity };
      troubles.push(trouble);
      await fault.strike(scene, index, hold);
      trouble.to = Date.now();
      well.add(index);
      await sleep(chance.between(...pauseMs));
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, trouble));
}
