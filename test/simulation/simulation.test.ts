import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Plan, readCommand } from './command.ts';
import { mutants } from './mutants.ts';
import { run, type RunResult } from './run.ts';
import { scenarios } from './scenarios.ts';
import { settingsOf } from './settings.ts';
import { Trace } from './trace.ts';

/** Real time for fresh seeds: what it covers grows with the machine, what it may cost does not. */
const budgetMs = 20_000;
const seedsPerMutant = 300;

const { seeds } = JSON.parse(readFileSync(new URL('seeds.json', import.meta.url), 'utf8')) as {
  readonly seeds: readonly (readonly [seed: number, operations: number])[];
};

/** Every promise was kept and the judges have a verdict. */
function assertKept({ violation, undecided }: RunResult, seed: number, how = ''): void {
  assert.equal(violation?.message, undefined, `npm run simulate -- --seed ${seed}${how} --trace`);
  assert.ok(!undecided, `seed ${seed}${how}: the judge of histories has no verdict`);
}

/** Likewise, and no block is out of reach, not even in the way that is documented. */
function assertKeptInReach(result: RunResult, seed: number, how = ''): void {
  assertKept(result, seed, how);
  assert.equal(result.outOfReach, 0, `seed ${seed}${how}: blocks out of reach`);
}

void test('seeds that once failed keep every promise', () => {
  for (const [seed, operations] of seeds)
    assertKeptInReach(run(seed, { settings: settingsOf(seed, operations) }), seed, ` --operations ${operations}`);
});

void test('a host that does not know that it was counted out brings no block where nobody can be asked', () => {
  const heavy = mutants.find(({ answersUnconfirmed }) => answersUnconfirmed === true)!.settings;
  for (const seed of [26, 33]) {
    assertKeptInReach(run(seed, { settings: { ...settingsOf(seed), ...heavy } }), seed, ' with the settings of that mutant');
  }
});

void test('a host that comes back after it was counted out holds no pointer that nobody knows of', () => {
  const { settings } = mutants.find(({ name }) => name.startsWith('answers though nobody confirms'))!;
  for (const seed of [34, 347]) {
    const { violation, outOfReach } = run(seed, { settings: { ...settingsOf(seed), ...settings } });
    assert.equal(violation, undefined);
    assert.equal(outOfReach, 0);
  }
});

void test('where a copy rots and two more are given up, five are no majority: the block is out of reach, which is no violation', () => {
  const seed = 130007885;
  const result = run(seed);
  assertKept(result, seed);
  assert.equal(result.outOfReach, 1);
});

void test('hosts that are lost for good while four views are in force keep none of them from retiring, and what is left of their blocks is salvaged', () => {
  const plan = new Plan(readCommand(['--scenario', 'lost-majority']));
  let salvaged = 0;
  for (const seed of [6, 43, 63, 99]) {
    const result = plan.run(seed);
    assertKeptInReach(result, seed, ' --scenario lost-majority');
    salvaged += result.salvaged;
  }
  assert.ok(salvaged > 0);
});

void test('what is lost with all its hosts is given up wherever it belongs, and what is left elsewhere is not passed over for what is older', () => {
  const plan = new Plan(readCommand(['--scenario', 'lost-blocks']));
  for (const seed of [7300562, 40815, 700626, 701171]) assertKeptInReach(plan.run(seed), seed, ' --scenario lost-blocks');
});

void test('a host that was counted out while its disk was full gives up what that refused to forget', () => {
  assertKeptInReach(new Plan(readCommand(['--scenario', 'outcasts'])).run(55), 55, ' --scenario outcasts');
});

void test('fresh seeds keep every promise', (context) => {
  const first = Math.floor(Date.now() / 1000);
  const end = performance.now() + budgetMs;
  let seed = first;
  let outOfReach = 0;
  for (; performance.now() < end; seed++) {
    const result = run(seed);
    assertKept(result, seed);
    outOfReach += result.outOfReach;
  }
  context.diagnostic(`seeds ${first} to ${seed - 1}, ${outOfReach} blocks out of reach in the way that is documented`);
});

for (const { name } of scenarios) {
  void test(`scenario ${name} keeps every promise`, () => {
    const plan = new Plan(readCommand(['--scenario', name]));
    for (let seed = 1; seed <= 3; seed++) assertKeptInReach(plan.run(seed), seed, ` --scenario ${name}`);
  });
}

for (const mutant of mutants.filter(({ slow }) => slow !== true)) {
  void test(`a core that ${mutant.name} is caught`, (context) => {
    for (let seed = 1; seed <= seedsPerMutant; seed++) {
      const { violation } = run(seed, { mutant });
      if (violation !== undefined) return context.diagnostic(`seed ${seed}, ${violation.judge}`);
    }
    assert.fail(`not in ${seedsPerMutant} seeds`);
  });
}

void test('a seed replays to the letter', () => {
  const traced = (): string[] => {
    const lines: string[] = [];
    run(4711, { trace: new Trace(true, (line) => lines.push(line)) });
    return lines;
  };
  assert.deepEqual(traced(), traced());
});
