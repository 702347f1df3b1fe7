import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atTurnEnd } from '../../src/base/index.ts';

test('what is put off to the end of a turn by what was put off comes in the same turn, behind the others', async () => {
  const calls: string[] = [];
  const nextTurn = new Promise<void>((resolve) => {
    atTurnEnd(() => {
      calls.push('batch');
      atTurnEnd(() => calls.push('frame'));
      setImmediate(resolve);
    });
  });
  atTurnEnd(() => calls.push('another batch'));
  setImmediate(() => calls.push('others'));
  assert.deepEqual(calls, []);
  await nextTurn;
  assert.deepEqual(calls, ['batch', 'another batch', 'frame', 'others']);
});
