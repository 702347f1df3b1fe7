import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf } from '../../../src/base/index.ts';
import { complete, formCluster, type HostDaemon } from '../../docker/cluster-hosts.ts';
import { DockerLab } from '../../docker/lab.ts';
import { eventually } from '../../docker/process.ts';
import { SeededRandom } from '../../simulation/random.ts';
import { Starvation } from '../starved.ts';
import { ValueWorkload } from '../value-workload.ts';
import { type SlowOperation, slowMs, Workload } from '../workload.ts';
import { type ChaosScene, type Fault, usualFaults } from './faults.ts';
import { watchMoves } from './moves.ts';

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
  /** What can happen; the usual where absent. */
  readonly kinds?: readonly Fault[];
  /**
   * Nothing happens to a host before blocks are where they belong and all hosts answer again. With `atOnce` 1 no block is short of more than one replica at any time then, and no
   * operation of a host without trouble may take longer than is promised. Otherwise one that came back after it was counted out has its blocks no more, until they moved.
   */
  readonly whole?: boolean;
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
  /** Operations that took longer than is promised, by more than the daemons waited for a processor, where nothing was the matter but that other hosts were lost. Told in words. */
  readonly overdue: readonly string[];
}

/** A host's acceptor that was started anew says nothing for so long, in ms: a lease's term, and what it takes to be heard. */
const abstainMs = 4000;

/** When a host was in trouble, in milliseconds of the wall clock: until it was well again as far as the one who struck it knows. */
interface Trouble {
  readonly host: string;
  readonly fault: string;
  readonly loses: boolean;
  readonly from: number;
  to: number;
}

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
  const kinds = options.kinds ?? usualFaults;
  const env: NodeJS.ProcessEnv[] = [];
  for (const host of lab.hosts) {
    const more: NodeJS.ProcessEnv = {};
    for (const { prepare } of kinds) Object.assign(more, await prepare?.(lab, host));
    env.push({ INFINIT_EVICTION_DELAY: options.evictionDelay, ...more });
  }
  const daemons = await formCluster(lab, env);
  using _ = { [Symbol.dispose]: () => keepLogs(daemons, options.logs) };
  const chance = new SeededRandom(options.seed);
  const report = { acknowledged: 0, failures: 0, longestMs: 0, longestElsewhereMs: 0, overdue: [] as string[] };
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
    await using values = new ValueWorkload(daemons, volume);
    const troubles: Trouble[] = [];
    using moves = watchMoves(daemons);
    using starvation = new Starvation(daemons);
    await strikeAll(scene, chance, kinds, options, troubles);
    await complete(daemons).catch(async (error: unknown) => {
      for (const daemon of daemons) options.say(await standing(daemon));
      throw error;
    });
    await workload.runFor(1000);
    await workload.verify();
    await values.verify();
    report.acknowledged += workload.acknowledged;
    report.failures += workload.failures;
    report.longestMs = Math.max(report.longestMs, workload.longestMs);
    for (const slow of workload.slow) {
      const meanwhile = troubles.filter(({ from, to }) => from < slow.to && to > slow.from);
      const elsewhere = meanwhile.every(({ host }) => host !== slow.host);
      if (elsewhere) report.longestElsewhereMs = Math.max(report.longestElsewhereMs, Math.round(slow.to - slow.from));
      const starvedMs = starvation.during(slow);
      const told = `${tell(slow, [...meanwhile, ...moves.during(slow)])}, ${starvedMs} ms without a processor`;
      options.say(told);
      if (elsewhere && meanwhile.every(({ loses }) => loses) && slow.to - slow.from > slowMs + starvedMs + workload.usualMs)
        report.overdue.push(told);
    }
    for (const failed of workload.failed) {
      const meanwhile = troubles.filter(({ from, to }) => from < failed.to && to > failed.from);
      if (meanwhile.every(({ host }) => host !== failed.host))
        options.say(`${tell(failed, [...meanwhile, ...moves.during(failed)])}: ${failed.said}`);
    }
    options.say(
      `round ${round}: ${workload.acknowledged} acknowledged and there, ${values.acknowledged} of values, ${workload.failures} failed, the longest took ${workload.longestMs} ms`,
    );
    for (const daemon of daemons) await daemon.client.unmountVolume(volume, 'test');
  }
  return report;
}

/** A slow operation, and whom what ailed from when to when, in seconds since it began. */
function tell({ host, script, from, to, failed }: SlowOperation, meanwhile: readonly Omit<Trouble, 'loses'>[]): string {
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

async function strikeAll(
  scene: ChaosScene,
  chance: SeededRandom,
  kinds: readonly Fault[],
  options: ChaosOptions,
  troubles: Trouble[],
): Promise<void> {
  const well = new Set(scene.daemons.keys());
  let left = options.faults;
  const trouble = async (): Promise<void> => {
    while (left-- > 0) {
      const index = chance.pick([...well]);
      const fault = chance.pick(kinds);
      const hold = Math.round(chance.between(...fault.holdMs));
      well.delete(index);
      if (options.whole === true) {
        await complete(scene.daemons);
        await sleep(abstainMs);
      }
      const { name: host } = scene.daemons[index]!.host;
      options.say(`${host}: ${fault.name}, ${hold} ms`);
      const trouble = { host, fault: fault.name, loses: fault.loses === true, from: Date.now(), to: Infinity };
      troubles.push(trouble);
      await fault.strike(scene, index, hold);
      trouble.to = Date.now();
      well.add(index);
      await sleep(chance.between(...pauseMs));
    }
  };
  await Promise.all(Array.from({ length: options.atOnce }, trouble));
}
