import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LockOwners } from '../../src/fuse/lock-owners.ts';
import { posix } from '../filesystem/shared/serving.ts';
import { MemoryRecords } from '../suites/memory-records.ts';

const handle = (low: number): { high: number; low: number } => ({ high: 1, low });

test('the next daemon knows who locked through which open file, until it is closed', () => {
  const records = new MemoryRecords();
  // A daemon of an earlier version had one record for all of a file.
  records.put([['owners 9', [['1.5', ['old', 'older']]]]]);
  const first = new LockOwners(records);
  for (const owner of ['a', 'b', 'c']) first.locked(7, handle(1), posix(owner, 'write', 0, 0));
  first.locked(7, handle(2), posix('b', 'write', 0, 0));
  first.flushed(7, 'c');
  const second = new LockOwners(records);
  second.flushed(7, 'b');
  const third = new LockOwners(records);
  assert.deepEqual([...third.released(7, handle(1))], ['a']);
  assert.deepEqual([...third.released(7, handle(2))], []);
  assert.deepEqual([...third.released(9, handle(5))], ['old', 'older']);
  assert.deepEqual([...records.left.keys()], []);
});

test('an owner costs as much as the first one, however many the file has', () => {
  const records = new MemoryRecords();
  const owners = new LockOwners(records);
  for (let at = 0; at < 1000; at++) owners.locked(7, handle(at % 3), posix(`${at}`, 'write', at, at));
  assert.ok(records.written < 1000 * 100, `${records.written} bytes`);
});
