import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Progress } from '../../src/repair/progress.ts';

const mebibyte = 1024 * 1024;

/** A walk on a clock that the test moves. */
function walkOf(): { readonly progress: Progress; readonly pass: (seconds: number) => void } {
  let now = 0;
  const progress = new Progress(
    () => 0,
    () => now,
  );
  return { progress, pass: (seconds) => void (now += seconds * 1000) };
}

test('what is left of a move is reckoned by the bytes of copies, not by blocks', () => {
  const { progress, pass } = walkOf();
  progress.begin('moving', { blocks: 1200, bytes: 1000 * 100 + 200 * mebibyte });
  progress.enter('registers');
  pass(1);
  progress.advance({ blocks: 1000, bytes: 1000 * 100 });
  progress.enter('copies');
  pass(1);
  progress.advance({ blocks: 100, bytes: 100 * 1024 });
  pass(9);
  progress.advance({ blocks: 20, bytes: 50 * mebibyte - 100 * 1024 });
  const { done, total, etaSeconds } = progress.status();
  // By blocks it would have been 0.8 s.
  assert.deepEqual({ done, total, etaSeconds }, { done: 1120, total: 1200, etaSeconds: 30 });
});

test('while registers are walked over the copies behind them count, at the pace of the last move; nothing is said before there was one', () => {
  const { progress, pass } = walkOf();
  const all = { blocks: 1020, bytes: 1000 * 100 + 20 * mebibyte };
  const registers = { blocks: 500, bytes: 500 * 100 };
  progress.begin('moving', all);
  progress.enter('registers');
  pass(1);
  progress.advance(registers);
  assert.equal(progress.status().etaSeconds, undefined);
  progress.advance(registers);
  progress.enter('copies');
  assert.equal(progress.status().etaSeconds, undefined);
  pass(10);
  progress.advance({ blocks: 20, bytes: 20 * mebibyte });
  progress.walked();

  progress.begin('moving', all);
  progress.enter('registers');
  pass(2);
  progress.advance(registers);
  assert.equal(progress.status().etaSeconds, 2 + 10);
});

test('a host that has no copies knows what is left of its registers from the last walk on, also where further ones came', () => {
  const { progress, pass } = walkOf();
  progress.begin('checking', { blocks: 100, bytes: 10_000 });
  progress.enter('registers');
  progress.advance({ blocks: 100, bytes: 10_000 });
  progress.enter('copies');
  progress.walked();

  progress.begin('moving', { blocks: 110, bytes: 11_000 });
  progress.enter('registers');
  pass(3);
  progress.advance({ blocks: 50, bytes: 5000 });
  assert.equal(progress.status().etaSeconds, 3);
});

test('what was walked over before a restart is done and says nothing of the pace', () => {
  const { progress, pass } = walkOf();
  progress.begin('moving', { blocks: 100, bytes: 100 * mebibyte });
  progress.enter('registers');
  progress.enter('copies', { blocks: 60, bytes: 60 * mebibyte });
  assert.equal(progress.status().done, 60);
  pass(20);
  progress.advance({ blocks: 10, bytes: 10 * mebibyte });
  assert.equal(progress.status().etaSeconds, 60);
});

test('what waits for others once all was walked over is not said to end', () => {
  const { progress, pass } = walkOf();
  progress.begin('moving', { blocks: 3, bytes: 300 });
  progress.enter('registers');
  progress.advance({ blocks: 1, bytes: 100 });
  progress.enter('copies');
  pass(1);
  progress.advance({ blocks: 1, bytes: 100 });
  progress.walked();
  const { phase, done, total, etaSeconds } = progress.status();
  // One was removed meanwhile.
  assert.deepEqual({ phase, done, total, etaSeconds }, { phase: 'moving', done: 2, total: 2, etaSeconds: undefined });
});

test('a check takes as long as blocks are many, however large they are', () => {
  const { progress, pass } = walkOf();
  progress.begin('checking', { blocks: 40, bytes: 10 + 20 * mebibyte });
  progress.enter('registers');
  progress.enter('copies');
  pass(1);
  progress.advance({ blocks: 10, bytes: 19 * mebibyte });
  assert.equal(progress.status().etaSeconds, 3);
});
