/**
 * npm run simulate -- --seeds N [--from S]     N seeds from S (1) on; stops at nothing, exits 1 where one failed or had no verdict
 *                     --seed S [--trace]       one seed; with a trace that a person can read
 *                     --scenario NAME [--seeds N] [--trace]
 *                     --mutants [--seeds N]    every broken variant, and how many seeds it took to catch it
 *                     --mutant NAME --seed S --trace
 *                     --operations N           longer or shorter runs
 *                     --seed S --faults 3,17   only these of the seed's faults, by their place from 0; “none”
 */
import { type Command, count, Plan, readCommand } from './command.ts';
import { describeFault } from './faults.ts';
import { mutants } from './mutants.ts';
import { run, type RunResult } from './run.ts';
import { shrinkFaults } from './shrink.ts';
import { Trace } from './trace.ts';

/** Seeds given to a mutant before it counts as missed. */
const seedsPerMutant = 300;

function tell(plan: Plan, seed: number, result: RunResult): void {
  console.log(`seed ${seed} FAILED, ${result.violation!.message}`);
  const least = shrinkFaults(result, (faults) => plan.again(seed, faults));
  console.log(`  ${least.faults.length} of ${result.faults.length} faults are needed:`);
  for (const fault of least.faults) console.log(`    ${describeFault(fault)}`);
  console.log(`  replay: ${plan.replayLine(seed, least)}`);
}

function one(plan: Plan, seed: number, { trace }: Command): boolean {
  const result = plan.run(seed, trace ? new Trace(true, (line) => console.log(line)) : undefined);
  console.log(JSON.stringify(result.settings));
  if (result.violation !== undefined) tell(plan, seed, result);
  else
    console.log(
      `seed ${seed} kept every promise: ${result.operations} operations, ${result.deliveries} deliveries, ${(result.time / 1000).toFixed(1)} s of simulated time`,
    );
  return result.violation === undefined;
}

function many(plan: Plan, from: number, seeds: number): boolean {
  const begun = performance.now();
  const cpu = process.cpuUsage();
  let [failed, undecided, outOfReach, salvaged, givenUp, deliveries, operations, time] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let seed = from; seed < from + seeds; seed++) {
    const result = plan.run(seed);
    deliveries += result.deliveries;
    operations += result.operations;
    time += result.time;
    if (result.undecided) {
      undecided++;
      console.log(`seed ${seed} has no verdict of the judge of histories`);
    }
    outOfReach += result.outOfReach;
    salvaged += result.salvaged;
    givenUp += result.givenUp;
    if (result.violation === undefined) continue;
    failed++;
    tell(plan, seed, result);
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const busySeconds = (user + system) / 1e6;
  console.log(
    `${seeds} seeds, ${operations} operations, ${deliveries} deliveries, ${(time / 3_600_000).toFixed(1)} h of simulated time in ${seconds.toFixed(1)} s ` +
      `(${Math.round(deliveries / seconds)} deliveries/s, judges included; ${Math.round(deliveries / busySeconds)} a second of processor time): ${failed} failed, ${undecided} undecided, ${outOfReach} blocks out of reach at the end, ${salvaged} salvages, ${givenUp} blocks given up`,
  );
  return failed + undecided === 0;
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

function main(command: Command): boolean {
  if (command.mutants) return allMutants(count(command.seeds, seedsPerMutant));
  const plan = new Plan(command);
  if (plan.story !== undefined) console.log(plan.story);
  if (command.seed !== undefined) return one(plan, count(command.seed, 1), command);
  if (command.trace) return one(plan, count(command.from, 1), command);
  return many(plan, count(command.from, 1), count(command.seeds, command.scenario === undefined ? 100 : 20));
}

process.exitCode = main(readCommand(process.argv.slice(2))) ? 0 : 1;
