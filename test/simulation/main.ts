/**
 * npm run simulate -- --seeds N [--from S]     N seeds from S (1) on; stops at nothing, exits 1 where one failed
 *                     --seed S [--trace]       one seed; with a trace that a person can read
 *                     --scenario NAME [--seeds N] [--trace]
 *                     --mutants [--seeds N]    every broken variant, and how many seeds it took to catch it
 *                     --mutant NAME --seed S --trace
 */
import { parseArgs } from 'node:util';

import { describeFault, type Fault, planFaults } from './faults.ts';
import { type Mutant, mutants, production } from './mutants.ts';
import { run, type RunResult } from './run.ts';
import { scenarios } from './scenarios.ts';
import { type Settings, settingsOf } from './settings.ts';
import { shrinkFaults } from './shrink.ts';
import { Trace } from './trace.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    scenario: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    operations: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
});

/** Seeds given to a mutant before it counts as missed. */
const seedsPerMutant = 300;

function count(text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${text} is no count`);
  return value;
}

interface Plan {
  readonly mutant: Mutant;
  readonly settings: (seed: number) => Settings;
  readonly faults: (settings: Settings) => readonly Fault[];
}

function plan(): Plan {
  const mutant = values.mutant === undefined ? production : mutants.find(({ name }) => name === values.mutant);
  if (mutant === undefined) throw new Error(`there is no mutant “${values.mutant}”: ${mutants.map(({ name }) => name).join(', ')}`);
  const operations = values.operations === undefined ? undefined : count(values.operations, 1);
  if (values.scenario === undefined)
    return { mutant, settings: (seed) => ({ ...settingsOf(seed, operations), ...mutant.settings }), faults: planFaults };
  const scenario = scenarios.find(({ name }) => name === values.scenario);
  if (scenario === undefined) throw new Error(`there is no scenario “${values.scenario}”: ${scenarios.map(({ name }) => name).join(', ')}`);
  console.log(scenario.story);
  return { mutant, settings: scenario.settings, faults: scenario.faults };
}

function runPlanned({ mutant, settings, faults }: Plan, seed: number, trace?: Trace, chosen?: readonly Fault[]): RunResult {
  const drawn = settings(seed);
  return run(seed, { mutant, settings: drawn, faults: chosen ?? faults(drawn), ...(trace === undefined ? {} : { trace }) });
}

function tell(planned: Plan, seed: number, result: RunResult): void {
  console.log(`seed ${seed} FAILED, ${result.violation!.message}`);
  const least = shrinkFaults(result, (faults) => runPlanned(planned, seed, undefined, faults));
  console.log(`  ${least.faults.length} of ${result.faults.length} faults are needed:`);
  for (const fault of least.faults) console.log(`    ${describeFault(fault)}`);
  console.log(`  replay: npm run simulate -- --seed ${seed}${values.scenario === undefined ? '' : ` --scenario ${values.scenario}`} --trace`);
}

function one(planned: Plan, seed: number): boolean {
  const result = runPlanned(planned, seed, values.trace ? new Trace(true, (line) => console.log(line)) : undefined);
  console.log(JSON.stringify(result.settings));
  if (result.violation !== undefined) tell(planned, seed, result);
  else
    console.log(
      `seed ${seed} kept every promise: ${result.operations} operations, ${result.deliveries} deliveries, ${(result.time / 1000).toFixed(1)} s of simulated time`,
    );
  return result.violation === undefined;
}

function many(planned: Plan, from: number, seeds: number): boolean {
  const begun = performance.now();
  const cpu = process.cpuUsage();
  let [failed, undecided, outOfReach, deliveries, operations, time] = [0, 0, 0, 0, 0, 0];
  for (let seed = from; seed < from + seeds; seed++) {
    const result = runPlanned(planned, seed);
    deliveries += result.deliveries;
    operations += result.operations;
    time += result.time;
    if (result.undecided) undecided++;
    outOfReach += result.outOfReach;
    if (result.violation === undefined) continue;
    failed++;
    tell(planned, seed, result);
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const busySeconds = (user + system) / 1e6;
  console.log(
    `${seeds} seeds, ${operations} operations, ${deliveries} deliveries, ${(time / 3_600_000).toFixed(1)} h of simulated time in ${seconds.toFixed(1)} s ` +
      `(${Math.round(deliveries / seconds)} deliveries/s, judges included; ${Math.round(deliveries / busySeconds)} a second of processor time): ${failed} failed, ${undecided} undecided, ${outOfReach} blocks out of reach at the end`,
  );
  return failed === 0;
}

function allMutants(limit: number): boolean {
  let missed = 0;
  for (const mutant of mutants) {
    const begun = performance.now();
    let seed = 1;
    let result = run(seed, { mutant });
    while (result.violation === undefined && seed < limit) result = run(++seed, { mutant });
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    const verdict = result.violation === undefined ? `MISSED in ${limit} seeds` : `caught at seed ${seed} by the judge of ${result.violation.judge}`;
    if (result.violation === undefined) missed++;
    console.log(`${mutant.name.padEnd(60)} ${verdict} (${seconds} s)`);
  }
  console.log(`${mutants.length} mutants, ${missed} missed`);
  return missed === 0;
}

function main(): boolean {
  if (values.mutants) return allMutants(count(values.seeds, seedsPerMutant));
  const planned = plan();
  if (values.seed !== undefined) return one(planned, count(values.seed, 1));
  if (values.trace) return one(planned, count(values.from, 1));
  return many(planned, count(values.from, 1), count(values.seeds, values.scenario === undefined ? 100 : 20));
}

process.exitCode = main() ? 0 : 1;
