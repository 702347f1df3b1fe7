import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { FileLock } from '../../src/filesystem/index.ts';
import { LockTable } from '../../src/filesystem/locks/locks.ts';
import { errnoOf } from './harness.ts';

const lock = (owner: string, type: FileLock['type'], start = 0, end = Infinity, kind: FileLock['kind'] = 'posix'): FileLock => ({
  kind,
  type,
  owner,
  pid: 1,
  start,
  end,
});
const inode = 5;

test('readers share, a writer waits for them in turn', async () => {
  const table = new LockTable();
  void table.set(inode, lock('a', 'read'), false);
  void table.set(inode, lock('b', 'read'), false);
  assert.equal(await errnoOf(() => table.set(inode, lock('c', 'write'), false)), 'EAGAIN');
  let granted = false;
  const waiting = Promise.resolve(table.set(inode, lock('c', 'write'), true)).then(() => (granted = true));
  void table.set(inode, lock('a', 'unlock'), false);
  await Promise.resolve();
  assert.equal(granted, false);
  void table.set(inode, lock('b', 'unlock'), false);
  await waiting;
  assert.equal(table.conflict(inode, lock('a', 'read'))?.owner, 'c');
});

test('a waiter for whose lock there is no room is refused, and not who made way for it', async () => {
  const table = new LockTable({ most: 3 });
  void table.set(inode, lock('a', 'write', 0, 99), false);
  void table.set(inode, lock('b', 'write', 100, 100), false);
  void table.set(inode, lock('b', 'write', 102, 102), false);
  const middle = errnoOf(() => table.set(inode, lock('b', 'read', 20, 30), true));
  const other = errnoOf(() => table.set(inode, lock('c', 'read', 40, 50), true));
  table.release(inode, 'posix', 'a');
  assert.deepEqual(await Promise.all([middle, other]), ['none', 'ENOMEM']);
  assert.equal(table.conflict(inode, lock('d', 'write', 40, 50)), undefined);
});

test('of all files together a volume takes a bounded number of locks, and as many again once some are given back', () => {
  const table = new LockTable({ mostOfAll: 4 });
  for (let file = 1; file <= 4; file++) void table.set(file, lock('a', 'write', 0, 9), false);
  assert.throws(() => void table.set(5, lock('a', 'write', 0, 9), false), { errno: 'ENOMEM' });
  assert.equal(table.has(5), false, 'nothing stays of what was refused');
  void table.set(1, lock('a', 'read', 0, 9), false);
  void table.set(1, { ...lock('a', 'write', 4, 5), type: 'unlock' }, false);
  table.release(1, 'posix', 'a');
  void table.set(5, lock('a', 'write', 0, 9), false);
  assert.throws(() => void table.set(6, lock('a', 'write', 0, 9), false), { errno: 'ENOMEM' });
  table.replace(5, () => true, []);
  void table.set(6, lock('a', 'write', 0, 9), false);
});

test('ranges are split, changed and merged, byte by byte as in a simple table', () => {
  const table = new LockTable();
  const size = 40;
  const owners = ['a', 'b', 'c'];
  const model = owners.map(() => Array.from({ length: size }, () => 'unlock'));
  let state = 12345;
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
  for (let step = 0; step < 5000; step++) {
    const who = random(3);
    const start = random(size);
    const end = start + random(size - start);
    const type = (['read', 'write', 'unlock'] as const)[random(3)]!;
    const free = owners.every(
      (_, other) =>
        other === who ||
        model[other]!.slice(start, end + 1).every((held) => held === 'unlock' || type === 'unlock' || (held === 'read' && type === 'read')),
    );
    const wanted = lock(owners[who]!, type, start, end);
    if (free) {
      void table.set(inode, wanted, false);
      model[who]!.fill(type, start, end + 1);
    } else assert.throws(() => table.set(inode, wanted, false));
    const at = random(size);
    for (const [other, held] of model.entries()) {
      const seen = table.conflict(inode, lock('probe', 'write', at, at));
      if (held[at] !== 'unlock') assert.ok(seen !== undefined);
      if (model.every((line) => line[at] === 'unlock')) assert.equal(seen, undefined, `owner ${other}`);
    }
  }
  for (const owner of owners) void table.set(inode, lock(owner, 'unlock'), false);
  assert.equal(table.has(inode), false);
});

test('a wait that would close a circle is refused', async () => {
  const table = new LockTable();
  void table.set(1, lock('a', 'write'), false);
  void table.set(2, lock('b', 'write'), false);
  const waiting = Promise.resolve(table.set(2, lock('a', 'write'), true));
  assert.equal(await errnoOf(() => table.set(1, lock('b', 'write'), true)), 'EDEADLK');
  table.release(2, 'posix', 'b');
  await waiting;
});

test('flock locks do not meet fcntl locks, and never a deadlock check', async () => {
  const table = new LockTable();
  void table.set(1, lock('a', 'write', 0, Infinity, 'flock'), false);
  void table.set(1, lock('b', 'write'), false);
  void table.set(2, lock('b', 'write', 0, Infinity, 'flock'), false);
  const abort = new AbortController();
  const first = Promise.resolve(table.set(2, lock('a', 'write', 0, Infinity, 'flock'), true, abort.signal));
  const second = Promise.resolve(table.set(1, lock('b', 'write', 0, Infinity, 'flock'), true, abort.signal));
  abort.abort();
  assert.equal(await errnoOf(() => first), 'EINTR');
  assert.equal(await errnoOf(() => second), 'EINTR');
});

test('a cancelled waiter takes nothing and lets the next one by', async () => {
  const table = new LockTable();
  void table.set(1, lock('a', 'read'), false);
  const abort = new AbortController();
  const writer = Promise.resolve(table.set(1, lock('w', 'write'), true, abort.signal));
  const reader = Promise.resolve(table.set(1, lock('r', 'read'), true));
  await reader;
  abort.abort();
  assert.equal(await errnoOf(() => writer), 'EINTR');
  table.release(1, 'posix', 'a');
  table.release(1, 'posix', 'r');
  assert.equal(table.has(1), false);
});

test('converting a flock gives the old one up first', async () => {
  const table = new LockTable();
  void table.set(1, lock('a', 'read', 0, Infinity, 'flock'), false);
  void table.set(1, lock('b', 'read', 0, Infinity, 'flock'), false);
  assert.equal(await errnoOf(() => table.set(1, lock('a', 'write', 0, Infinity, 'flock'), false)), 'EAGAIN');
  assert.equal(table.conflict(1, lock('x', 'write', 0, Infinity, 'flock'))?.owner, 'b');
});
