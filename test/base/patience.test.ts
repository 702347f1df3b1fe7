import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Patience, programPatienceMs, waningPatienceMs } from '../../src/base/index.ts';

/** @param wholeEveryMs as of {@link Patience}. */
function scene(wholeEveryMs?: number): { readonly patience: Patience; readonly pass: (ms: number) => void } {
  let now = 1000;
  const patience = new Patience({ monotonicMs: () => now, wallMs: () => 0 }, wholeEveryMs);
  return { patience, pass: (ms) => (now += ms) };
}

test('what begins while something is out of reach waits until a minute has passed in all, and a moment from then on', () => {
  const { patience, pass } = scene();
  assert.equal(patience.take(), programPatienceMs);
  patience.missed();
  pass(20_000);
  assert.equal(patience.take(), programPatienceMs - 20_000);
  pass(35_000);
  assert.equal(patience.take(), waningPatienceMs);
  patience.missed();
  pass(30_000);
  assert.equal(patience.take(), waningPatienceMs);
});

test('one that waited since before it was seen that it is out of reach counts from its beginning', () => {
  const { patience, pass } = scene();
  pass(programPatienceMs);
  patience.missed(1000);
  assert.equal(patience.take(), waningPatienceMs);
});

test('patience is whole again when it is in reach, and when nobody asked for a minute', () => {
  const { patience, pass } = scene();
  patience.missed();
  pass(55_000);
  patience.heard();
  assert.equal(patience.take(), programPatienceMs);
  patience.missed();
  pass(programPatienceMs + 1);
  assert.equal(patience.take(), programPatienceMs);
});

test('now and then something has all the time there is, if that is wanted', () => {
  const { patience, pass } = scene(120_000);
  patience.missed();
  const given: number[] = [];
  for (let at = 0; at < 12; at++) {
    pass(30_000);
    patience.missed();
    given.push(patience.take());
  }
  const [w, p] = [waningPatienceMs, programPatienceMs];
  assert.deepEqual(given, [p / 2, w, w, p, w, w, w, p, w, w, w, p]);
});
