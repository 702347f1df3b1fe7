import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { array, assert as assertProperty, boolean, constantFrom, integer, oneof, option, property, record, type Arbitrary } from 'fast-check';

import { bad, committed, conflict, failed, good, history, type Line, read, saw, unknown, write } from './histories.ts';
import { type Action, checkLinearizable, type Expectation, type Operation, type Outcome, type Verdict } from './linearizability.ts';
import { seeded } from '../suites/seeded.ts';

function ids(verdict: Verdict): number[] {
  return verdict.status === 'violation' ? verdict.operations.map(({ id }) => id) : [];
}

describe('known-good histories', () => {
  for (const [name, lines] of Object.entries(good)) {
    test(`${name} is linearizable`, () => assert.deepEqual(checkLinearizable(history(lines)), { status: 'linearizable' }));
  }
});

describe('known-bad histories', () => {
  for (const [name, { lines, offending, forgetsAllowed }] of Object.entries(bad)) {
    test(`${name} is a violation that names the operations`, () => {
      const verdict = checkLinearizable(history(lines));
      assert.equal(verdict.status, 'violation');
      assert.deepEqual(ids(verdict), offending);
      const forgetful = checkLinearizable(history(lines), { forgets: true });
      assert.equal(forgetful.status, forgetsAllowed ? 'linearizable' : 'violation');
    });
  }
});

test('a violation in one of many registers is reported for that register, in words', () => {
  const verdict = checkLinearizable(
    history([
      [0, 1, write('a'), committed(1), 'p'],
      [0, 1, write('b'), committed(1), 'q'],
      [2, 3, read, saw(null), 'q'],
    ]),
  );
  assert.ok(verdict.status === 'violation');
  assert.equal(verdict.register, 'q');
  assert.match(verdict.reason, /register q: no order explains #1 .*write b if anything → committed.*#2 .*read → nothing/);
});

/** Tries every order of every choice of unknown writes: slow, short and plainly right. */
function bruteForce(operations: readonly Operation[], forgets = false): boolean {
  const go = (rest: readonly Operation[], version: number, value: string | null): boolean => {
    const required = rest.filter(({ outcome }) => outcome.status !== 'unknown');
    if (required.length === 0) return true;
    return rest.some((operation) => {
      const others = rest.filter((other) => other !== operation);
      if (others.some((other) => other.end < operation.start)) return false;
      const { action, outcome } = operation;
      const fits = (seen: { version?: number; value: string | null }): boolean =>
        seen.value === value && (seen.version === undefined || seen.version === version || (forgets && value === null));
      if (outcome.status === 'failed') return go(others, version, value);
      if (outcome.status === 'value') return fits(outcome) && go(others, version, value);
      if (action.kind === 'read') return go(others, version, value);
      const { expect } = action;
      const holds = expect === 'any' || (expect === 'absent' ? value === null : expect === version);
      if (outcome.status === 'conflict') {
        const refused = !holds || (typeof expect === 'number' && value === null);
        return refused && (outcome.current === undefined || fits(outcome.current)) && go(others, version, value);
      }
      if (!holds) return false;
      const told = outcome.status === 'committed' ? outcome.version : undefined;
      const highest = forgets && value === null ? Math.max(version + 1, 8) : version + 1;
      for (let next = version + 1; next <= highest; next++) if ((told ?? next) === next && go(others, next, action.value)) return true;
      return false;
    });
  };
  return go(operations, 0, null);
}

const values = constantFrom<string | null>('a', 'b', 'c', null);
const maybeVersion = option(integer({ min: 0, max: 4 }), { nil: undefined, freq: 2 });
const expectations = oneof(constantFrom<Expectation>('any', 'any', 'absent'), integer({ min: 0, max: 3 }));
const anyLine: Arbitrary<Line> = record({
  start: integer({ min: 0, max: 12 }),
  length: integer({ min: 0, max: 8 }),
  isRead: boolean(),
  value: values,
  expect: expectations,
  version: maybeVersion,
  status: constantFrom('committed', 'committed', 'unknown', 'conflict', 'failed'),
  told: boolean(),
}).map(({ start, length, isRead, value, expect, version, status, told }): Line => {
  const end = start + length;
  if (isRead) return [start, end, read, saw(value, version)];
  const outcomes: Record<string, Outcome> = {
    committed: committed(version),
    unknown,
    failed,
    conflict: told ? conflict(value, version) : { status: 'conflict' },
  };
  return [start, end, write(value, expect), outcomes[status]!];
});

test('on small histories of any kind the verdict is that of trying every order', () => {
  let linearizable = 0;
  assertProperty(
    property(array(anyLine, { maxLength: 6 }), boolean(), (lines, forgets) => {
      const operations = history(lines);
      const expected = bruteForce(operations, forgets);
      if (expected) linearizable++;
      const verdict = checkLinearizable(operations, { forgets });
      assert.equal(verdict.status, expected ? 'linearizable' : 'violation');
      // What it names is impossible by itself once the other writes count as unknown.
      if (verdict.status !== 'violation') return;
      const named = new Set(ids(verdict));
      const rest = operations.flatMap((operation): Operation[] =>
        named.has(operation.id) || operation.outcome.status === 'unknown'
          ? [operation]
          : operation.outcome.status === 'committed'
            ? [{ ...operation, end: Infinity, outcome: unknown }]
            : [],
      );
      assert.equal(bruteForce(rest, forgets), false);
    }),
    { numRuns: 4000 },
  );
  assert.ok(linearizable > 400, `${linearizable} of the histories were linearizable: too few to tell`);
});

/** A register that takes each operation at one moment within its interval; `versions` is how much the answers tell. */
function atomicHistory(random: () => number, count: number, clients: number, versions: boolean): Operation[] {
  const operations: Operation[] = [];
  const moments: { readonly at: number; readonly operation: Omit<Operation, 'outcome'> }[] = [];
  const free = Array.from({ length: clients }, () => 0);
  for (let id = 0; id < count; id++) {
    const client = Math.floor(random() * clients);
    const start = free[client]! + random();
    const end = start + random() * 5;
    free[client] = end + 0.001;
    const at = start + random() * (end - start);
    const kind = random();
    const action: Action = kind < 0.5 ? read : write(kind > 0.97 ? null : `v${id}`, kind < 0.8 ? 'any' : kind < 0.9 ? 'absent' : Math.floor(id / 3));
    moments.push({ at, operation: { id, register: 'r', start, end, action } });
  }
  let [version, value]: [number, string | null] = [0, null];
  for (const { operation } of moments.sort((a, b) => a.at - b.at)) {
    const { action } = operation;
    const state = (): { version?: number; value: string | null } => (versions ? { version, value } : { value });
    if (action.kind === 'read') operations.push({ ...operation, outcome: { status: 'value', ...state() } });
    else {
      const holds = action.expect === 'any' || (action.expect === 'absent' ? value === null : action.expect === version);
      if (holds) [version, value] = [version + 1, action.value];
      const lost = random() < 0.02;
      const answer: Outcome = holds ? { status: 'committed', ...(versions ? { version } : {}) } : { status: 'conflict', current: state() };
      operations.push(lost ? { ...operation, end: Infinity, outcome: unknown } : { ...operation, outcome: answer });
    }
  }
  return operations;
}

test('histories of an atomic register are linearizable, with and without versions', () => {
  for (let seed = 0; seed < 60; seed++) {
    const verdict = checkLinearizable(atomicHistory(seeded(seed), 300, 5, seed % 2 === 0));
    assert.equal(verdict.status, 'linearizable', `seed ${seed}: ${JSON.stringify(verdict)}`);
  }
});

test('a stale read hidden in a long history is found and named', () => {
  let planted = 0;
  for (let seed = 0; seed < 12; seed++) {
    const operations = atomicHistory(seeded(seed), seed % 4 > 0 ? 400 : 120, 4, seed % 4 > 0);
    const last = operations.findLast(({ action, outcome }) => action.kind === 'read' && outcome.status === 'value' && outcome.value !== null)!;
    const overwritten = operations.find(
      ({ end, action, outcome }) => action.kind === 'write' && action.value !== null && outcome.status === 'committed' && end < last.start - 60,
    );
    if (overwritten?.action.kind !== 'write') continue;
    planted++;
    const outcome: Outcome = { status: 'value', value: overwritten.action.value };
    const verdict = checkLinearizable(operations.map((operation) => (operation === last ? { ...operation, outcome } : operation)));
    assert.ok(verdict.status === 'violation', `seed ${seed}: ${verdict.status}`);
    assert.ok(ids(verdict).includes(last.id), `seed ${seed}: ${verdict.reason}`);
    // Without versions hardly anything can be left out of the story.
    if (seed % 4 > 0) assert.ok(verdict.operations.length <= 6, `seed ${seed}: ${verdict.reason}`);
  }
  assert.ok(planted > 8);
});

test('ten thousand operations on one register are judged without a search', () => {
  assert.equal(checkLinearizable(atomicHistory(seeded(7), 10_000, 10, true), { maxBranches: 100 }).status, 'linearizable');
});

/** Nothing is there for long, and of a hundred and fifty writes nobody knows what became of them; then it is founded, and versions have gone on. */
function unansweredHistory(last: Outcome): Operation[] {
  const lines: Line[] = [];
  for (let at = 0; at < 500; at += 10) {
    lines.push(
      [at, Infinity, write(`any ${at}`), unknown],
      [at, Infinity, write(`absent ${at}`, 'absent'), unknown],
      [at, Infinity, write(null), unknown],
    );
    lines.push([at + 1, at + 5, read, saw(null)]);
  }
  lines.push(
    [500, 501, write('founded', 'absent'), committed(153)],
    [502, 503, write('next'), committed(154)],
    [504, Infinity, write('seen', 'absent'), unknown],
  );
  return history([...lines, [600, 601, read, last]]);
}

test('where hardly any write was answered there is a verdict all the same', () => {
  const options = { forgets: true, maxBranches: 50_000 };
  // Something was removed in between.
  assert.equal(checkLinearizable(unansweredHistory(saw('seen', 156)), options).status, 'linearizable');
  assert.equal(checkLinearizable(unansweredHistory(saw('seen', 155)), options).status, 'violation');
  assert.equal(checkLinearizable(unansweredHistory(saw('founded', 155)), options).status, 'violation');
});

test('a search that meets its bound gives no verdict', () => {
  const lines: Line[] = Array.from({ length: 14 }, (_, index) => [0, 100, write(`v${index}`), committed()]);
  lines.push([200, 201, read, saw('ghost')]);
  assert.deepEqual(checkLinearizable(history(lines), { maxBranches: 100 }), { status: 'undecided', register: 'r' });
});
