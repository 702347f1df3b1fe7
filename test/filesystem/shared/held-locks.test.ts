import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';

import type { FileLock } from '../../../src/filesystem/index.ts';
import { HeldLocks } from '../../../src/filesystem/shared/held-locks.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { flock, posix } from './serving.ts';

const sorted = (held: HeldLocks): string[] =>
  held
    .all()
    .map(({ inode, lock: { kind, owner, type, start, end, pid } }) => `${inode} ${kind} ${owner} ${type} ${start} ${end} ${pid}`)
    .toSorted();

test('whatever was locked and given back, the next daemon knows of the same locks', () => {
  const type = fc.constantFrom<FileLock['type'][]>('read', 'write', 'unlock');
  const owner = fc.constantFrom('1@a', '2@a');
  const part = fc
    .tuple(owner, type, fc.nat(6), fc.option(fc.nat(4), { nil: Infinity }))
    .map(([of, how, start, length]) => posix(of, how, start, start + length));
  const whole = fc.tuple(owner, type).map(([of, how]) => flock(of, how));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 2 }), fc.oneof({ weight: 3, arbitrary: part }, whole)), { maxLength: 25 }), (changes) => {
      const records = new MemoryRecords();
      const held = new HeldLocks(records);
      for (const [inode, lock] of changes) held.note(inode, lock);
      assert.deepEqual(sorted(new HeldLocks(records)), sorted(held));
    }),
    { numRuns: 1000 },
  );
});

test('a lock costs as much as the first one, however many the file has', () => {
  const records = new MemoryRecords();
  const held = new HeldLocks(records);
  for (let at = 0; at < 500; at++) {
    held.note(7, posix('1@a', 'write', 2 * at, 2 * at));
    held.note(7, posix(`${at + 2}@a`, 'read', 2 * at + 1, 2 * at + 1));
  }
  assert.ok(records.written < 1000 * 200, `${records.written} bytes`);
});

test('locks that a daemon of an earlier version left are known, and forgotten when they are given back', () => {
  const records = new MemoryRecords();
  records.put([['locks 7', [{ ...posix('1@a', 'write', 0, 9), end: null }, flock('2@a', 'read')].map((lock) => ({ ...lock, end: null }))]]);
  const held = new HeldLocks(records);
  assert.deepEqual(sorted(new HeldLocks(records)), sorted(held));
  assert.ok(held.has(7, 'flock', '2@a'));
  held.note(7, posix('1@a', 'unlock', 0, Infinity));
  held.note(7, flock('2@a', 'unlock'));
  assert.deepEqual([...records.left.keys()], []);
});
