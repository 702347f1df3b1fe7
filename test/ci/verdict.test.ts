import assert from 'node:assert/strict';
import { test } from 'node:test';

import { batchOf, closingLine, verdictOf } from '../../.ci/verdict.ts';

/** The end of what the spec reporter prints. */
function printed(pass: number, fail: number, files: readonly string[] = [], skipped = 0): string {
  const summary = `ℹ tests ${pass + fail}\nℹ pass ${pass}\nℹ fail ${fail}\nℹ cancelled 0\nℹ skipped ${skipped}\nℹ todo 0\n`;
  return `${summary}\n✖ failing tests:\n\n${files.map((file) => `test at ${file}:10:1\n✖ something\n`).join('')}`;
}

const fine = batchOf(printed(50, 0, [], 2), 0);
const [one, two] = ['test/one.test.ts', 'test/two.test.ts'];

test('all that passes passes', () => {
  assert.equal(closingLine(verdictOf([fine, fine], undefined)), '100 passed, 0 failed, 4 skipped');
});

test('what passes at its second try is named as unsteady, what fails twice has failed', () => {
  const first = [batchOf(printed(48, 2, [one, two]), 1), fine];
  assert.equal(
    closingLine(verdictOf(first, batchOf(printed(7, 0), 0))),
    `100 passed, 0 failed, 2 skipped, 2 unsteady (passed at the second try): ${one}, ${two}`,
  );
  assert.equal(
    closingLine(verdictOf(first, batchOf(printed(6, 1, [two]), 1))),
    `99 passed, 1 failed, 2 skipped, 1 unsteady (passed at the second try): ${one}`,
  );
});

test('a run that died is not made good by the second try of a file of another run', () => {
  for (const [output, code] of [
    ['▶ something\n', null],
    ['', 1],
    [printed(10, 0), 7],
    [printed(10, 1), 1],
    ['test at test/two.test.ts:1:1\n', null],
  ] as const) {
    const broken = batchOf(output, code);
    const failedToo = batchOf(printed(49, 1, [one]), 1);
    assert.equal(verdictOf([broken, fine], undefined).failed, 1, output);
    assert.equal(verdictOf([broken, failedToo], batchOf(printed(5, 0), 0)).failed, 1, output);
  }
});

test('a second try that dies clears nothing', () => {
  const { failed, unsteady } = verdictOf([batchOf(printed(49, 1, [one]), 1), fine], batchOf('', null));
  assert.deepEqual([failed, unsteady], [1, []]);
});

test('what the simulator finds is not forgotten, whatever a second try of others comes to', () => {
  const found = batchOf(printed(48, 2, ['test/simulation/simulation.test.ts', one]), 1);
  const { failed, unsteady } = verdictOf([found, fine], batchOf(printed(7, 0), 0));
  assert.deepEqual([failed, unsteady], [1, [one]]);
  assert.equal(verdictOf([batchOf(printed(49, 1, ['test/simulation/simulation.test.ts']), 1)], undefined).failed, 1);
});
