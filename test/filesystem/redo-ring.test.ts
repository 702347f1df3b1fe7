import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RedoRing } from '../../src/filesystem/redo/redo-ring.ts';

const mebi = 1024 * 1024;

function filled(ring: RedoRing, length: number): void {
  assert.equal(ring.room(length), 0);
  ring.advance(length);
  ring.clear();
}

test('an empty ring gives up its memory in parts from the end, all of it in the end, and asks for it again where it goes on', () => {
  const provided = new Set<number>();
  const ring = new RedoRing(64 * mebi, (from, to) => {
    for (let at = from; at < to; at += mebi) provided.add(at);
    return true;
  });
  filled(ring, 30 * mebi);
  assert.equal(provided.size, 31);
  const parts: number[] = [];
  for (let from = ring.giveUp(); from !== undefined; from = ring.giveUp()) {
    for (const at of provided) if (at >= from) provided.delete(at);
    parts.push(from / mebi);
  }
  assert.deepEqual(parts, [23, 15, 7, 0]);
  assert.equal(provided.size, 0);
  filled(ring, 2 * mebi);
  assert.equal(provided.size, 3);
});

test('what is put there between two parts keeps its memory', () => {
  const ring = new RedoRing(64 * mebi, () => true);
  filled(ring, 30 * mebi);
  assert.equal(ring.giveUp(), 23 * mebi);
  assert.equal(ring.room(4096), 0);
  assert.ok(ring.fits(4096 - 16));
});
