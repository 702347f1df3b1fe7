import assert from 'node:assert/strict';
import { test } from 'node:test';

import { AnswerPace } from '../../src/store/answer-pace.ts';

test('an answer is late when it takes longer than nearly all did lately', () => {
  const pace = new AnswerPace();
  assert.equal(pace.lateMs, 0);
  for (let count = 0; count < 200; count++) pace.took(count % 2 === 0 ? 40 : 60);
  assert.ok(pace.lateMs > 120 && pace.lateMs < 180, String(pace.lateMs));
  for (let count = 0; count < 200; count++) pace.took(1);
  pace.took(201);
  assert.ok(pace.lateMs > 200, 'the first slow one announces others');
});

test('what took for ever keeps nobody waiting for ever, and is soon forgotten', () => {
  const pace = new AnswerPace();
  pace.took(60_000);
  assert.equal(pace.lateMs, 1000);
  for (let count = 0; count < 100; count++) pace.took(1);
  assert.ok(pace.lateMs < 10, String(pace.lateMs));
});
