import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';

import type { FileLock } from '../../src/filesystem/index.ts';
import { LockSet } from '../../src/filesystem/locks/lock-set.ts';

/** What an owner has, without any order or structure. */
function putLock(before: readonly FileLock[], lock: FileLock): FileLock[] {
  const kept: FileLock[] = [];
  let { start, end } = lock;
  for (const held of before) {
    const own = held.kind === lock.kind && held.owner === lock.owner;
    if (!own || held.end + 1 < start || held.start > end + 1) kept.push(held);
    else if (held.type === lock.type) {
      start = Math.min(start, held.start);
      end = Math.max(end, held.end);
    } else {
      if (held.start < lock.start) kept.push(held.end < lock.start ? held : { ...held, end: lock.start - 1 });
      if (held.end > lock.end) kept.push(held.start > lock.end ? held : { ...held, start: lock.end + 1 });
    }
  }
  if (lock.type !== 'unlock') kept.push({ ...lock, start, end });
  return kept;
}

function inTheWay(held: FileLock, lock: FileLock): boolean {
  const overlap = held.start <= lock.end && held.end >= lock.start;
  return held.kind === lock.kind && held.owner !== lock.owner && (held.type === 'write' || lock.type === 'write') && overlap;
}

const show = ({ kind, owner, type, start, end }: FileLock): string => `${kind} ${owner} ${type} ${start} ${end}`;
const sorted = (locks: readonly FileLock[]): string[] => locks.map(show).toSorted();

const type = fc.constantFrom<FileLock['type'][]>('read', 'write', 'unlock');
const owner = fc.constantFrom('a', 'b', 'c');
/** @param within bytes. */
const lockWithin = (within: number): fc.Arbitrary<FileLock> =>
  fc
    .record({
      kind: fc.constantFrom<FileLock['kind'][]>('posix', 'posix', 'posix', 'flock'),
      type,
      owner,
      start: fc.nat(within),
      length: fc.option(fc.nat(9), { nil: Infinity, freq: 10 }),
    })
    .map(({ length, start, ...rest }) => ({ ...rest, pid: 1, start, end: start + length }));

test('it has what a list without order has, and finds what is in the way of a lock', () => {
  for (const within of [20, 3000])
    fc.assert(
      fc.property(fc.array(lockWithin(within), { maxLength: 300, size: 'max' }), lockWithin(within), (locks, probe) => {
        const set = new LockSet();
        let model: FileLock[] = [];
        for (const lock of locks) {
          const change = set.put(lock);
          model = putLock(model, lock);
          assert.ok(change.gone.every((gone) => !set.includes(gone)));
          assert.ok(change.come.every((come) => set.includes(come)));
        }
        assert.deepEqual(sorted(set.all()), sorted(model));
        assert.equal(set.size, model.length);
        const ways = model.filter((held) => inTheWay(held, probe));
        const found = set.conflict(probe);
        assert.equal(found?.start, ways.length === 0 ? undefined : Math.min(...ways.map(({ start }) => start)));
        const writers = ways.filter((held) => held.owner === 'b');
        assert.equal(set.conflict(probe, (held) => held.owner === 'b') !== undefined, writers.length > 0);
        for (const kind of ['posix', 'flock'] as const) {
          assert.equal(
            set.has(kind, 'a'),
            model.some((held) => held.kind === kind && held.owner === 'a'),
          );
          set.release(kind, 'a');
        }
        assert.deepEqual(sorted(set.all()), sorted(model.filter((held) => held.owner !== 'a')));
      }),
      { numRuns: 300 },
    );
});

test('locks of very many owners, in any order, are found and forgotten one by one', () => {
  const set = new LockSet();
  const many = 3000;
  const lockOf = (number: number, how: FileLock['type']): FileLock => ({
    kind: 'posix',
    type: how,
    owner: `${number}`,
    pid: 1,
    start: number,
    end: number,
  });
  const orderOf = (number: number): number => (number * 1009) % many;
  for (let at = 0; at < many; at++) set.put(lockOf(orderOf(at), 'write'));
  for (let at = 0; at < many; at++) set.put({ ...lockOf(at, 'read'), kind: 'flock', start: 0, end: Infinity });
  assert.equal(set.size, 2 * many);
  for (let at = 0; at < many; at++) {
    assert.equal(set.conflict({ ...lockOf(at, 'read'), owner: 'x' })?.owner, `${at}`);
    assert.equal(set.conflict(lockOf(at, 'read')), undefined);
  }
  for (let at = 0; at < many; at++) {
    const gone = orderOf(at + 7);
    assert.ok(set.release('posix', `${gone}`) && set.release('flock', `${gone}`));
    assert.equal(set.conflict({ ...lockOf(gone, 'write'), owner: 'x' }), undefined);
  }
  assert.deepEqual([set.size, set.all(), [...set.owners()]], [0, [], []]);
});
