import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Plan, readCommand } from './command.ts';
import type { Fault } from './faults.ts';
import type { RunResult } from './run.ts';
import { shrinkFaults } from './shrink.ts';

/** A run that fails where all the needed faults are there, by another judge where the first is not. */
function pretended(faults: readonly Fault[], needed: readonly Fault[]): RunResult {
  const missing = needed.filter((fault) => !faults.includes(fault));
  const judge = missing.length === 0 ? 'this one' : missing.length === needed.length ? 'another' : undefined;
  return { faults, violation: judge === undefined ? undefined : { judge, message: '' } } as RunResult;
}

test('what is left are the faults that the failure needs, and no others', () => {
  const all = Array.from({ length: 30 }, (_, at): Fault => ({ kind: 'crash', at, forMs: 1, host: 0 }));
  for (const places of [[], [0], [29], [3, 17], [3, 4, 21], [0, 14, 15, 29]]) {
    const needed = places.map((place) => all[place]!);
    const least = shrinkFaults(pretended(all, needed), (faults) => pretended(faults, needed));
    assert.deepEqual(least.faults, needed);
  }
});

test('a reply before its disk has synced needs few of many faults, a crash among them', () => {
  const plan = new Plan(readCommand(['--mutant', 'replies before its disk has synced']));
  let seed = 1;
  let failed = plan.run(seed);
  while (failed.violation === undefined) failed = plan.run(++seed);
  assert.ok(failed.faults.length > 15, 'there is something to leave out');
  const least = shrinkFaults(failed, (faults) => plan.again(seed, faults));
  assert.equal(least.violation?.judge, failed.violation?.judge);
  assert.ok(least.faults.length <= 5, `${least.faults.length} of ${failed.faults.length}`);
  assert.ok(least.faults.some(({ kind }) => kind === 'crash' || kind === 'disk-error'));
});
