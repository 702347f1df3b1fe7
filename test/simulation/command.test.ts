import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Plan, readCommand } from './command.ts';
import type { RunResult } from './run.ts';
import { shrinkFaults } from './shrink.ts';
import { Trace } from './trace.ts';

/** The arguments of a printed line, as a shell would read them. */
function argumentsOf(line: string): string[] {
  const words = [...line.matchAll(/'([^']*)'|\S+/g)].map(([word, quoted]) => quoted ?? word);
  assert.deepEqual(words.slice(0, 4), ['npm', 'run', 'simulate', '--']);
  return words.slice(4);
}

/** The first seed of a command that fails, and how. */
function failure(plan: Plan): readonly [seed: number, RunResult] {
  for (let seed = 1; seed <= 100; seed++) {
    const result = plan.run(seed);
    if (result.violation !== undefined) return [seed, result];
  }
  throw new assert.AssertionError({ message: 'no seed fails' });
}

const commands = [
  ['--mutant', 'replies before its disk has synced'],
  ['--mutant', 'takes a minority for a majority', '--operations', '300'],
  ['--mutant', 'promises lower ballots', '--scenario', 'split-brain'],
];

for (const args of commands) {
  test(`the line that is printed runs the shrunk failure again: ${args.join(' ')}`, () => {
    const plan = new Plan(readCommand(args));
    const [seed, failed] = failure(plan);
    const least = shrinkFaults(failed, (faults) => plan.again(seed, faults));

    const replayed = readCommand(argumentsOf(plan.replayLine(seed, least)));
    assert.ok(replayed.trace);
    const lines: string[] = [];
    const again = new Plan(replayed).run(Number(replayed.seed), new Trace(true, (line) => lines.push(line)));
    assert.deepEqual([again.violation, again.deliveries, again.faults], [least.violation, least.deliveries, least.faults]);
    assert.equal(
      lines.filter((line) => line.includes('  -- ') && line.includes(' for ')).length,
      least.faults.length,
      'the trace tells of its faults',
    );
  });
}

test('a broken variant runs alone as it does among all', () => {
  const plan = new Plan(readCommand(['--mutant', 'votes after it lost its record']));
  const { settings } = plan.run(1);
  assert.deepEqual([settings.mending, settings.agreed, settings.evictionMs], [0, false, Infinity]);
});

test('faults are chosen by their place in the seed’s plan', () => {
  const all = new Plan(readCommand([])).run(3).faults;
  assert.ok(all.length > 2);
  const run = (faults: string): readonly unknown[] => new Plan(readCommand(['--faults', faults])).run(3).faults;
  assert.deepEqual(run('0,2'), [all[0], all[2]]);
  assert.deepEqual(run('none'), []);
  assert.throws(() => run('0,99'), /there is no fault 99/);
  assert.throws(() => new Plan(readCommand(['--mutant', 'none such'])), /there is no mutant/);
});
