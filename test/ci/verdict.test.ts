import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Batch, batchOf, closingLine, slowest, together, verdictOf } from '../../.ci/verdict.ts';

/** The end of what the spec reporter prints; failures are in a file of cases that several share. */
function printed(pass: number, fail: number, skipped = 0): string {
  const summary = `ℹ tests ${pass + fail}\nℹ pass ${pass}\nℹ fail ${fail}\nℹ cancelled 0\nℹ skipped ${skipped}\nℹ todo 0\n`;
  return `${summary}\n✖ failing tests:\n\n${'test at test/cases.ts:10:1\n✖ something\n'.repeat(fail)}`;
}

const [one, two, drawn] = ['test/one.test.ts', 'test/two.test.ts', 'test/simulation/simulation.test.ts'];
const fine = batchOf('test/fine.test.ts', printed(50, 0, 2), 0);

test('all that passes passes', () => {
  assert.equal(closingLine(verdictOf([fine, fine], undefined)), '100 passed, 0 failed, 4 skipped');
});

test('what passes at its second try is named as unsteady, what fails twice has failed', () => {
  const first = [batchOf(one, printed(24, 1), 1), batchOf(two, printed(24, 1), 1), fine];
  const second = (secondOfTwo: string): Batch => together([batchOf(one, printed(3, 0), 0), batchOf(two, secondOfTwo, 1)]);
  assert.equal(
    closingLine(verdictOf(first, together([batchOf(one, printed(3, 0), 0), batchOf(two, printed(4, 0), 0)]))),
    `100 passed, 0 failed, 2 skipped, 2 unsteady (passed at the second try): ${one}, ${two}`,
  );
  assert.equal(closingLine(verdictOf(first, second(printed(3, 1)))), `99 passed, 1 failed, 2 skipped, 1 unsteady (passed at the second try): ${one}`);
});

test('a run that died is not made good by the second try of a file of another run', () => {
  for (const [output, code] of [
    ['▶ something\n', null],
    ['', 1],
    [printed(10, 0), 7],
    [printed(10, 0), null],
    ['test at test/two.test.ts:1:1\n', null],
  ] as const) {
    const broken = batchOf(two, output, code);
    const failedToo = batchOf(one, printed(49, 1), 1);
    assert.equal(verdictOf([broken, fine], undefined).failed, 1, output);
    assert.equal(verdictOf([broken, failedToo], batchOf(one, printed(5, 0), 0)).failed, 1, output);
  }
});

test('a second try that dies clears nothing', () => {
  const { failed, unsteady } = verdictOf([batchOf(one, printed(49, 1), 1), fine], batchOf(one, '', null));
  assert.deepEqual([failed, unsteady], [1, []]);
});

test('what the simulator finds is not forgotten, whatever a second try of others comes to', () => {
  const found = [batchOf(drawn, printed(24, 1), 1), batchOf(one, printed(24, 1), 1)];
  const { failed, unsteady } = verdictOf([...found, fine], batchOf(one, printed(7, 0), 0));
  assert.deepEqual([failed, unsteady], [1, [one]]);
  assert.equal(verdictOf([found[0]!], undefined).failed, 1);
});

test('the slowest files are told, the slowest first', () => {
  const seconds = new Map(Array.from({ length: 100 }, (_, index) => [`test/${index}.test.ts`, index]));
  const lines = slowest(seconds).split('\n');
  assert.equal(lines[1], '   99.0 s  test/99.test.ts');
  assert.ok(lines.length < 20 && !lines.some((line) => line.includes('test/5.test.ts')));
});
