/**
 * The exhaustive search: the real acceptor and proposer through *every* order of deliveries, delays, time-outs and the faults of a scenario.
 *
 *     node test/simulation/exhaustive.ts --exhaustive [--quick | --long] [--scenario TEXT] | --mutants
 *
 * explores all scenarios (--quick: to the bound of the tests; --long: those too that take very long; --scenario: those whose name contains
 * TEXT), says how many states each had, and fails on a violation with the steps that led to it. `--mutants` does the same with each broken variant
 * and fails where one is *not* caught.
 *
 * The bound: an operation gives up after `maxAttempts` phases or `maxWakes` timers; a timer fires while nothing of its phase is under way;
 * one answer a phase may be too slow to count, others that are count as lost; the faults are those of the scenario's budget. How the number of states is kept small, and why that loses nothing, is told where it is
 * done: `exhaustive-world.ts` (orders) and `exhaustive-host.ts` (states of a proposer, checked as it goes).
 */
import { pathToFileURL } from 'node:url';

import { productionRules } from '../../src/consensus/index.ts';
import { Host } from './exhaustive-host.ts';
import { Judge, runAlone } from './exhaustive-judge.ts';
import { type Mutant, mutants, operationOf, type Scenario, scenarios } from './exhaustive-scenarios.ts';
import { FingerprintSet } from './fingerprint.ts';
import { type Transition, World, type WorldState } from './exhaustive-world.ts';

export interface ExploreOptions {
  readonly mutant?: Mutant;
  readonly maxStates?: number;
}

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** Ways in which all operations ended, counted by what they were told. */
  readonly endings: number;
  readonly seconds: number;
  /** False where the limit of states was met. */
  readonly isComplete: boolean;
  readonly violation?: { readonly reason: string; readonly trace: readonly string[] };
}

interface Frame {
  readonly state: WorldState;
  readonly transitions: readonly Transition[];
  next: number;
}

/** Explores everything that can happen in a scenario, up to its bound, or until the first violation. */
export function explore(scenario: Scenario, { mutant, maxStates = Infinity }: ExploreOptions = {}): Exploration {
  const begun = performance.now();
  const rules = mutant?.rules ?? productionRules;
  const { acceptors, parts, views, maxAttempts, maxWakes, proposers, budget } = scenario;
  const hosts = Object.entries(proposers).map(
    ([peer, tasks]) =>
      new Host({ peer, operations: tasks.map(operationOf), views, floor: 10 * scenario.prelude.length }, rules, mutant?.reusesIncarnation),
  );
  const world = new World({ acceptors, parts, views, hosts, rules, maxAttempts, maxWakes });
  let states = acceptors.map(() => undefined) as Parameters<World['initial']>[0];
  for (const task of scenario.prelude) ({ states } = runAlone(world, operationOf(task), states, acceptors, rules));
  const judge = new Judge(scenario, world, rules);

  const visited = new FingerprintSet();
  const stack: Frame[] = [];
  let transitions = 0;
  const visit = (state: WorldState): string | undefined => {
    if (!visited.add(world.fingerprint(state))) return undefined;
    const reason = judge.violation(state);
    stack.push({ state, transitions: world.transitions(state), next: 0 });
    return reason;
  };
  let reason = visit(world.initial(states, budget));
  while (reason === undefined && stack.length > 0 && visited.size < maxStates) {
    const frame = stack.at(-1)!;
    const transition = frame.transitions[frame.next++];
    if (transition === undefined) {
      stack.pop();
      continue;
    }
    transitions++;
    reason = visit(transition.state);
  }
  const seconds = (performance.now() - begun) / 1000;
  const counts = { states: visited.size, transitions, endings: judge.endings, seconds, isComplete: reason === undefined && stack.length === 0 };
  if (reason === undefined) return counts;
  // The last frame is the state in which the violation showed; those below it tell how it came about.
  const trace = stack.slice(0, -1).map(({ transitions, next }) => transitions[next - 1]!.label());
  return { ...counts, violation: { reason, trace } };
}

/** The scenarios of every test run, each to its smaller bound. */
export function quickScenarios(): Scenario[] {
  return scenarios.flatMap((scenario) => (scenario.quickAttempts === undefined ? [] : [{ ...scenario, maxAttempts: scenario.quickAttempts }]));
}

function print(name: string, { states, transitions, endings, seconds, isComplete, violation }: Exploration): void {
  const verdict = violation === undefined ? (isComplete ? 'no violation' : 'stopped') : 'VIOLATION';
  console.log(
    `${verdict}: ${name}: ${states.toLocaleString('en')} states, ${transitions.toLocaleString('en')} transitions, ${endings} endings, ${seconds.toFixed(1)} s`,
  );
}

function main(args: readonly string[]): void {
  const wanted = args.includes('--scenario') ? (args[args.indexOf('--scenario') + 1] ?? '') : '';
  const chosen = (args.includes('--quick') ? quickScenarios() : scenarios).filter(
    ({ name, isLong }) => name.includes(wanted) && (isLong !== true || args.includes('--long')),
  );
  if (args.includes('--mutants')) {
    for (const mutant of mutants) {
      const result = explore(
        scenarios.find(({ name }) => name === mutant.scenario)!,
        { mutant },
      );
      print(`${mutant.name}, in “${mutant.scenario}”`, result);
      if (result.violation === undefined) process.exitCode = 1;
    }
    return;
  }
  for (const scenario of chosen) {
    const result = explore(scenario);
    print(scenario.name, result);
    if (result.violation === undefined) continue;
    console.log([...result.violation.trace, result.violation.reason].map((line) => `  ${line}`).join('\n'));
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main(process.argv.slice(2));
