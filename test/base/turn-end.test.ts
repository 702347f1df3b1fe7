import assert from 'node:assert/strict';
import { test } from 'node:test';

import { atTurnEnd, whenGathered } from '../../src/base/index.ts';

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

test('what was gathered is dealt with before the end of the turn, with all the promises that this settles', async () => {
  const calls: string[] = [];
  atTurnEnd(() => calls.push('end'));
  whenGathered(() => {
    calls.push('gathered');
    void Promise.resolve().then(() => atTurnEnd(() => calls.push('what came of it')));
    whenGathered(() => calls.push('next turn'));
  });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  assert.deepEqual(calls, ['gathered', 'end', 'what came of it']);
  await turn();
  assert.deepEqual(calls.slice(3), ['next turn']);
});
