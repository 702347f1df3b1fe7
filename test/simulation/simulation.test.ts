import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { mutants } from './mutants.ts';
import { run } from './run.ts';
import { scenarios } from './scenarios.ts';
import { settingsOf } from './settings.ts';
import { shrinkFaults } from './shrink.ts';
import { Trace } from './trace.ts';

/** Real time for fresh seeds: what it covers grows with the machine, what it may cost does not. */
const budgetMs = 20_000;
const seedsPerMutant = 300;

const { seeds } = JSON.parse(readFileSync(new URL('seeds.json', import.meta.url), 'utf8')) as {
  readonly seeds: readonly (readonly [seed: number, operations: number])[];
};

void test('seeds that once failed keep every promise', () => {
  for (const [seed, operations] of seeds) {
    assert.equal(run(seed, { settings: settingsOf(seed, operations) }).violation?.message, undefined, `seed ${seed}`);
  }
});

void test('a host that does not know that it was counted out brings no block where nobody can be asked', () => {
  const heavy = mutants.find(({ answersUnconfirmed }) => answersUnconfirmed === true)!.settings;
  for (const seed of [26, 33]) {
    const { violation, outOfReach } = run(seed, { settings: { ...settingsOf(seed), ...heavy } });
    assert.deepEqual([violation?.message, outOfReach], [undefined, 0], `seed ${seed}`);
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

void test('fresh seeds keep every promise', (context) => {
  const first = Math.floor(Date.now() / 1000);
  const end = performance.now() + budgetMs;
  let seed = first;
  for (; performance.now() < end; seed++) assert.equal(run(seed).violation?.message, undefined, `seed ${seed}`);
  context.diagnostic(`seeds ${first} to ${seed - 1}`);
});

for (const { name, settings, faults } of scenarios) {
  void test(`scenario ${name} keeps every promise`, () => {
    for (let seed = 1; seed <= 3; seed++) {
      const drawn = settings(seed);
      assert.equal(run(seed, { settings: drawn, faults: faults(drawn) }).violation?.message, undefined, `seed ${seed}`);
    }
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

void test('a failing run shrinks to fewer faults and fails by the same judge', () => {
  const mutant = mutants.find(({ name }) => name.startsWith('replies before'))!;
  for (let seed = 1; ; seed++) {
    const failed = run(seed, { mutant });
    if (failed.violation === undefined) continue;
    const least = shrinkFaults(failed, (faults) => run(seed, { mutant, faults }));
    assert.equal(least.violation?.judge, failed.violation.judge);
    assert.ok(least.faults.length <= failed.faults.length);
    return;
  }
});
