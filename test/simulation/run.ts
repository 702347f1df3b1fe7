import { codeOf } from '../../src/base/index.ts';
import type { Accepted, ProposalOutcome } from '../../src/consensus/index.ts';
import { Aftermath, recoveryMs } from './aftermath.ts';
import { Clients } from './clients.ts';
import { Disaster } from './disaster.ts';
import { type Fault, planFaults } from './faults.ts';
import { Violation } from './judges.ts';
import { checkLinearizable, type Operation } from './linearizability.ts';
import { type Mutant, mutantSettings, production } from './mutants.ts';
import { Roster } from './roster.ts';
import { type Settings, settingsOf, workloadMs } from './settings.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

export interface RunResult {
  readonly settings: Settings;
  readonly faults: readonly Fault[];
  /** undefined: every promise was kept. */
  readonly violation: { readonly judge: string; readonly message: string } | undefined;
  /** The judge of histories met its bound, and has no verdict. */
  readonly undecided: boolean;
  /** Blocks that could not be read at the end: see docs/consensus.md, “What is not promised”. Out of reach for any other reason is a violation. */
  readonly outOfReach: number;
  /** Blocks that were salvaged. */
  readonly salvaged: number;
  /** Blocks that were given up. */
  readonly givenUp: number;
  readonly deliveries: number;
  readonly operations: number;
  /** Virtual time, ms. */
  readonly time: number;
}

export interface RunOptions {
  readonly mutant?: Mutant;
  readonly settings?: Settings;
  readonly faults?: readonly Fault[];
  readonly trace?: Trace;
}

/** How much longer a workload may take that was held up. */
const catchUpMs = 30_000;

/** One run of the whole world from one seed. */
export function run(seed: number, options: RunOptions = {}): RunResult {
  const mutant = options.mutant ?? production;
  const settings = options.settings ?? { ...settingsOf(seed), ...mutantSettings(mutant) };
  const faults = options.faults ?? planFaults(settings);
  const world = new World(settings, mutant, options.trace ?? new Trace(false));
  const clients = new Clients(world);
  let violation: RunResult['violation'];
  let undecided = false;
  let salvaged = 0;
  let givenUp = 0;
  let outOfReach: ReadonlySet<string> = new Set();
  try {
    const roster = new Roster(world, clients);
    const disaster = settings.salvage ? new Disaster(world, roster.agreement!) : undefined;
    world.schedule(faults);
    world.runUntil(workloadMs(settings) * 1.2);
    roster.calm();
    world.heal();
    // What faults and rivals held up is made up for, while there is hope: a run counts only with so many answers.
    world.runUntil(world.now + catchUpMs, () => clients.isDone);
    clients.calm();
    disaster?.mend();
    const aftermath = new Aftermath(world, clients, roster);
    ({ outOfReach } = aftermath);
    aftermath.judge();
    disaster?.judge(world.judges.history);
    salvaged = disaster?.salvaged ?? 0;
    givenUp = disaster?.givenUp ?? 0;
    undecided = !judge(world, outOfReach, disaster?.before(world.judges.history));
  } catch (error) {
    // An assertion of the production code that fails is a find like any other.
    violation =
      error instanceof Violation ? { judge: error.judge, message: error.message } : { judge: codeOf(error), message: String((error as Error).stack) };
  }
  return {
    settings,
    faults,
    violation,
    undecided,
    outOfReach: outOfReach.size,
    salvaged,
    givenUp,
    deliveries: world.deliveries,
    operations: world.judges.history.length,
    time: world.now,
  };
}

/** False where the judge of histories has no verdict. */
function judge(world: World, outOfReach: ReadonlySet<string>, history: readonly Operation[] = world.judges.history): boolean {
  const { judges } = world;
  const verdict = checkLinearizable(history, { forgets: true, maxBranches: 1_000_000 });
  if (verdict.status === 'violation') throw new Violation('linearizability', verdict.reason);
  for (const block of world.blocks) {
    const until = world.now + recoveryMs;
    while (!outOfReach.has(block)) {
      const found = finalRead(world, block);
      if (found === null || (found !== undefined && judges.isNewest(block, found))) {
        if (found !== null) judges.agreement(block, found);
        break;
      }
      if (world.now >= until) throw new Violation('liveness', `no read of ${block} comes to rest`);
      world.runUntil(world.now + 100);
    }
  }
  return verdict.status === 'linearizable';
}

/** What the block holds; undefined: it was not answered. */
function finalRead(world: World, block: string): Accepted | null | undefined {
  const reading: { outcome?: ProposalOutcome | undefined; done: boolean } = { done: false };
  const done = (outcome: ProposalOutcome | undefined): void => {
    reading.outcome = outcome;
    reading.done = true;
  };
  world.left[0]!.run(block, { kind: 'read' }, { useHint: false, done });
  while (!reading.done) world.runUntil(world.now + 1);
  return reading.outcome?.status === 'committed' ? reading.outcome.accepted : undefined;
}
