import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SalvagedBlock } from '../../src/api/index.ts';
import { renderSalvage } from '../../src/cli/commands/repair.ts';

function block(address: string, result: SalvagedBlock['result'], reason?: string): SalvagedBlock {
  const record = { version: 1, ballot: '1', removed: false, replicas: ['a'] };
  return { address, missing: ['b'], damaged: [], holders: ['a'], ...record, result, ...(reason === undefined ? {} : { reason }) };
}

test('below a list of blocks stands how many there are of each result', () => {
  const blocks = [block('10', 'refused', 'wait'), block('11', 'possible'), block('12', 'refused', 'wait')];
  const lines = renderSalvage({ looked: 5, underQuorum: 3, rewritten: 0, givenUp: 0, blocks }, 'table').split('\n');
  assert.deepEqual(lines.slice(-5), [
    '',
    '2 refused: wait',
    '1 possible',
    'missing in all: b',
    '5 mutable blocks of this host: 3 without a majority in reach, 0 rewritten, 0 given up',
  ]);
  const more = renderSalvage({ looked: 5000, underQuorum: 3200, rewritten: 3200, givenUp: 0, blocks }, 'table').split('\n');
  assert.deepEqual(more.slice(-6, -3), ['', 'of the first 3, which are listed:', '2 refused: wait']);
  const counted = {
    results: [
      { result: 'possible', count: 3199 },
      { result: 'refused', reason: 'wait', count: 1 },
    ],
    missing: ['c', 'b'],
  } as const;
  const whole = renderSalvage({ looked: 5000, underQuorum: 3200, rewritten: 0, givenUp: 0, blocks, ...counted }, 'table').split('\n');
  assert.deepEqual(whole.slice(-6, -1), ['', 'the first 3 are listed; of all:', '3199 possible', '1 refused: wait', 'missing in all: b c']);
  assert.deepEqual(renderSalvage({ looked: 5, underQuorum: 0, rewritten: 0, givenUp: 0, blocks: [] }, 'table').split('\n').length, 1);
});

test('how much is accepted is said before it is', () => {
  const answer = { looked: 5, underQuorum: 0, rewritten: 0, givenUp: 0, accepted: false, percentLost: 70, blocks: [] };
  assert.match(
    renderSalvage(answer, 'table'),
    /^with --force also of what is not found: for 70 in 100 such keys, names and blocks it is said .* most of their hosts were lost together; whatever is found stays/,
  );
});
