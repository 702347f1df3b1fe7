import assert from 'node:assert/strict';
import { test } from 'node:test';

import { explore, quickScenarios } from './exhaustive.ts';
import { mutants, scenarios } from './exhaustive-scenarios.ts';

/** Far above what any of them takes: a search that gets there has lost its bound. */
const maxStates = 400_000;

for (const scenario of quickScenarios()) {
  test(`in no order of events is there a violation: ${scenario.name}`, () => {
    const { violation, isComplete, states, endings } = explore(scenario, { maxStates });
    assert.equal(violation, undefined, violation && [...violation.trace, violation.reason].join('\n'));
    assert.ok(isComplete, `stopped after ${states} states`);
    assert.ok(endings > 3, `only ${endings} different endings: the search looks at too little`);
  });
}

for (const mutant of mutants) {
  test(`the search catches: ${mutant.name}`, () => {
    const scenario = scenarios.find(({ name }) => name === mutant.scenario)!;
    const { violation, states } = explore(scenario, { mutant, maxStates });
    assert.ok(violation, `not within ${states} states`);
    assert.ok(violation.trace.length > 3 && violation.reason.length > 0);
  });
}

test('counting like acceptors once loses no outcome', () => {
  const [scenario] = quickScenarios();
  const small = { ...scenario!, maxAttempts: [2, 2] };
  const [merged, apart] = [explore(small), explore({ ...small, parts: 'abc' })];
  assert.equal(merged.endings, apart.endings);
  assert.ok(apart.states > 4 * merged.states, `${apart.states} and ${merged.states} states`);
});
