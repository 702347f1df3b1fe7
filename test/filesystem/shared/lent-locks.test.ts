import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type FileLock, FileSystemError, LockGrace, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { encodeCall } from '../../../src/filesystem/shared/calls.ts';
import { LentLocks, locksKey } from '../../../src/filesystem/shared/lent-locks.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { errnoOf, open, put, root } from '../harness.ts';
import { posix, flock, Serving } from './serving.ts';

/** A guest that grants the locks of a file: its programs have taken some of it. */
async function lent(store = new MemoryBlockStore(), records?: MemoryRecords): Promise<{ serving: Serving; guest: SharedFileSystem; inode: number }> {
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = new SharedFileSystem('a', () => false, { records, clock: serving.time.clock });
  serving.welcome(guest, 'a');
  await serving.keeps(guest);
  await takeAll(guest, inode, serving);
  return { serving, guest, inode };
}

async function takeAll(guest: SharedFileSystem, inode: number, serving: Serving): Promise<void> {
  for (let time = 0; time < 2; time++) {
    await guest.setlk(inode, posix('1', 'write', 0, 9), false);
    await guest.setlk(inode, posix('1', 'unlock', 0, 9), false);
  }
  while (!serving.calls.includes('borrowLocks')) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setImmediate(resolve));
  serving.calls.length = 0;
}

test('a guest whose programs alone lock a file grants its locks without a question', async () => {
  const { serving, guest, inode } = await lent();
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await guest.setlk(inode, flock('1', 'write'), false);
  assert.equal(await errnoOf(() => guest.setlk(inode, posix('2', 'read', 5, 6), false)), 'EAGAIN');
  assert.equal((await guest.getlk(inode, posix('2', 'read', 5, 6)))?.type, 'write');
  const handle = await guest.open(inode, 2);
  await guest.flush(inode, handle, '1');
  await guest.setlk(inode, posix('2', 'read', 5, 6), false);
  assert.deepEqual(
    serving.calls.filter((method) => method !== 'open'),
    [],
  );
});

test('before anybody else takes a lock, or looks at one, the guest says which are held', async () => {
  const { serving, guest, inode } = await lent();
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await guest.setlk(inode, posix('1', 'unlock', 5, 9), false);
  assert.equal((await serving.own.getlk(inode, posix('9', 'write', 0, 99)))?.end, 4);
  assert.deepEqual(serving.calls, ['returnLocks']);
  assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('9', 'write', 0, 99), false)), 'EAGAIN');
  await serving.own.setlk(inode, posix('9', 'write', 5, 9), false);
  assert.equal(await errnoOf(() => guest.setlk(inode, posix('1', 'write', 5, 9), false)), 'EAGAIN');
  await guest.setlk(inode, posix('1', 'unlock', 0, 4), false);
  await serving.own.setlk(inode, posix('9', 'write', 0, 99), false);
});

test('another guest gets a lock that was given back without a word, and waits for one that was not', async () => {
  const { serving, guest, inode } = await lent();
  const other = serving.guest('b');
  await guest.setlk(inode, flock('1', 'write'), false);
  await guest.setlk(inode, flock('1', 'unlock'), false);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await other.setlk(inode, flock('1', 'write'), false);
  const waits = other.setlk(inode, posix('1', 'write', 0, 9), true);
  await guest.setlk(inode, posix('1', 'unlock', 0, 9), false);
  await waits;
  assert.equal(await errnoOf(() => guest.setlk(inode, posix('1', 'write', 0, 9), false)), 'EAGAIN');
});

test('programs of one guest that wait for each other do so where the volume is open', async () => {
  const { serving, guest, inode } = await lent();
  await guest.setlk(inode, flock('1', 'write'), false);
  const waits = guest.setlk(inode, flock('2', 'write'), true);
  await guest.setlk(inode, flock('1', 'unlock'), false);
  await waits;
  assert.ok(serving.calls.includes('returnLocks'));
  assert.equal(await errnoOf(() => serving.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
});

test('a file that is closed while its locks are given back leaves none of them behind', async () => {
  for (const kind of ['flock', 'posix'] as const) {
    const { serving, guest, inode } = await lent();
    const lock = (owner: string): FileLock => ({ ...flock(owner, 'write'), kind });
    const handle = await guest.open(inode, 2);
    await guest.setlk(inode, lock('1'), false);
    const arrive = serving.holdBack('returnLocks');
    const waits = guest.setlk(inode, lock('2'), true);
    const closed = kind === 'flock' ? guest.release(inode, handle, '1') : guest.flush(inode, handle, '1');
    await new Promise((resolve) => setTimeout(resolve, 5));
    arrive();
    await closed;
    await waits;
    await guest.setlk(inode, lock('2'), false);
    await guest.setlk(inode, { ...lock('2'), type: 'unlock' }, false);
    await serving.own.setlk(inode, lock('9'), false);
  }
});

test('a file with very many locks goes back to where the volume is open, with all of them', async () => {
  const { serving, guest, inode } = await lent();
  const [many, inode2] = [600, await put(serving.volume, root, 'g', 'x', true)];
  await takeAll(guest, inode2, serving);
  for (let at = 0; at < many; at++) await guest.setlk(inode, posix('1', 'write', 2 * at, 2 * at), false);
  // What is left of one are many.
  await guest.setlk(inode2, posix('1', 'write', 0, 9999), false);
  for (let at = 0; at < many; at++) await guest.setlk(inode2, posix('1', 'unlock', 2 * at, 2 * at), false);
  assert.equal(serving.calls.filter((method) => method === 'returnLocks').length, 2);
  for (const at of [0, 2, 2 * many - 2]) {
    assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('9', 'write', at, at), false)), 'EAGAIN');
    assert.equal(await errnoOf(() => serving.own.setlk(inode2, posix('9', 'write', at + 1, at + 1), false)), 'EAGAIN');
    await serving.own.setlk(inode, posix('9', 'write', at + 1, at + 1), false);
    await serving.own.setlk(inode2, posix('9', 'write', at, at), false);
  }
});

test('a file that others lock is not lent', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  await serving.keeps(guest);
  await serving.own.setlk(inode, posix('9', 'read', 50, 59), false);
  await takeAll(guest, inode, serving);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  assert.deepEqual(serving.calls, ['setlk']);
});

test('the next holder is told of locks that its predecessor never heard of', async () => {
  const store = new MemoryBlockStore();
  const { serving, guest, inode } = await lent(store);
  await guest.setlk(inode, flock('1', 'write'), false);
  serving.grants.lentLocks.close();
  await serving.volume.close();
  using grace = new LockGrace([{ peer: 'a', ms: 60_000 }]);
  const second = new Serving(await open(store), grace);
  const attempt = second.own.setlk(inode, flock('9', 'write'), false);
  attempt.catch(() => {});
  second.welcome(guest, 'a');
  await assert.rejects(attempt, { errno: 'EAGAIN' });
  await guest.setlk(inode, flock('1', 'unlock'), false);
  await second.own.setlk(inode, flock('9', 'write'), false);
});

test('the next daemon of a guest says which locks the one before had granted, and before that nobody gets them', async () => {
  const records = new MemoryRecords();
  const { serving, guest, inode } = await lent(undefined, records);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await guest.setlk(inode, posix('2', 'write', 20, 29), false);
  await guest.setlk(inode, posix('1', 'unlock', 0, 9), false);
  const next = new SharedFileSystem('a', () => false, { records, clock: serving.time.clock });
  serving.unheard.add('a');
  const attempt = serving.own.setlk(inode, posix('9', 'write', 0, 9), true);
  for (let time = 0; time < 30; time++) await serving.time.pass(100);
  assert.ok(serving.grants.lentLocks.has('a', inode));
  serving.unheard.clear();
  serving.welcome(next, 'a');
  await next.getattr(root);
  await attempt;
  assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('9', 'write', 20, 29), false)), 'EAGAIN');
});

test('who must not wait for a lock is told soon that a guest which is not heard may have granted it, and then at once', async () => {
  const { serving, guest, inode } = await lent();
  const other = serving.guest('b');
  serving.unheard.add('a');
  const told: unknown[] = [];
  const attempts = [serving.own, other].map(async (host) => told.push(await errnoOf(() => host.setlk(inode, flock('9', 'write'), false))));
  await serving.time.pass(500);
  assert.deepEqual(told, [], 'a guest that is well may be slow');
  for (let time = 0; time < 15; time++) await serving.time.pass(100);
  assert.deepEqual(told, ['EAGAIN', 'EAGAIN']);
  await Promise.all(attempts);
  const [atOnce, waits] = [errnoOf(() => other.setlk(inode, flock('9', 'write'), false)), serving.own.setlk(inode, flock('9', 'write'), true)];
  await serving.time.pass(0);
  assert.equal(await atOnce, 'EAGAIN');
  serving.unheard.clear();
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await serving.time.pass(100);
  await waits;
  await other.setlk(inode, posix('9', 'write', 10, 19), false);
});

test('what a guest had granted is free once it is given up', async () => {
  const { serving, guest, inode } = await lent();
  await guest.setlk(inode, flock('1', 'write'), false);
  serving.unheard.add('a');
  let taken = false;
  const attempt = Promise.resolve(serving.own.setlk(inode, flock('9', 'write'), true)).then(() => (taken = true));
  for (let time = 0; time < 30; time++) await serving.time.pass(100);
  assert.ok(!taken);
  await serving.server.dismiss('a');
  await attempt;
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => guest.setlk(inode, flock('1', 'write'), false)), 'EIO');
});

test('a guest that never hears that it was lent the locks grants none, and is in nobody’s way', async () => {
  const { serving, guest, inode } = await lent();
  await serving.own.setlk(inode, posix('9', 'read', 0, 9), false);
  await serving.own.setlk(inode, posix('9', 'unlock', 0, 9), false);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await serving.time.pass(200);
  assert.ok(serving.grants.lentLocks.lend('a', inode) !== undefined);
  let errno: unknown;
  const attempt = Promise.resolve(serving.own.setlk(inode, posix('9', 'write', 0, 9), false)).catch(
    (error: unknown) => (errno = (error as FileSystemError).errno),
  );
  for (let time = 0; time < 15; time++) await serving.time.pass(100);
  await attempt;
  assert.equal(errno, 'EAGAIN', 'what it had locked it has');
});

test('a guest that cannot be heard grants nothing that it does not hold', async () => {
  const { serving, guest, inode } = await lent();
  await guest.setlk(inode, flock('1', 'write'), false);
  await guest.setlk(inode, flock('1', 'unlock'), false);
  await serving.time.pass(1100);
  await guest.setlk(inode, flock('1', 'write'), false);
  assert.deepEqual(serving.calls.slice(0, 2), ['returnLocks', 'setlk']);
});

test('an earlier loan that is given back late ends no later one', async () => {
  const { serving, guest, inode } = await lent();
  await guest.recall([locksKey(inode)]);
  await serving.time.pass(200);
  await takeAll(guest, inode, serving);
  await guest.setlk(inode, flock('1', 'write'), false);
  await serving.server.serve('a', encodeCall('returnLocks', [inode, 1, []]));
  assert.equal(await errnoOf(() => serving.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
});

test('a host of an earlier version is asked for each lock', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  serving.unknown.add('borrowLocks');
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  await serving.keeps(guest);
  for (let time = 0; time < 4; time++) await guest.setlk(inode, posix('1', 'write', 10 * time, 10 * time + 5), false);
  assert.deepEqual(serving.calls, ['setlk', 'setlk', 'setlk', 'setlk']);
});

test('a guest that grants the locks of as many files as it may gives back those that it used longest ago', async () => {
  const { serving, guest, inode } = await lent();
  const most = 1024;
  const files = [inode];
  while (files.length < most) files.push(await put(serving.volume, root, `g${files.length}`, ''));
  for (const file of files.slice(1)) await takeAll(guest, file, serving);
  const next = await put(serving.volume, root, 'next', '');
  const lock = posix('1', 'write', 0, 9);
  const use = async (file: number): Promise<readonly string[]> => {
    serving.calls.length = 0;
    await guest.setlk(file, lock, false);
    await guest.setlk(file, { ...lock, type: 'unlock' }, false);
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    return [...serving.calls];
  };
  // All of them were used a moment ago.
  for (let time = 0; time < 3; time++) assert.deepEqual(await use(next), ['setlk', 'setlk']);
  for (let pause = 0; pause < 200; pause++) {
    await guest.statfs();
    await serving.time.pass(300);
  }
  assert.deepEqual(await use(inode), []);
  assert.deepEqual(
    (await use(next)).filter((method) => method === 'returnLocks'),
    ['returnLocks'],
  );
  await use(next);
  assert.deepEqual(await use(next), []);
  assert.deepEqual(await use(inode), [], 'one that was used since is kept');
  assert.deepEqual(await use(files[1]!), ['setlk', 'setlk']);
});

test('where the locks of as many files are lent as may be, those that were lent longest ago are asked back', async () => {
  const most = 4096;
  const asked: number[] = [];
  let nowMs = 0;
  const locks = new LentLocks({
    now: () => nowMs,
    sleep: () => new Promise((resolve) => setImmediate(resolve)),
    recall: async (_peer, keys) => void asked.push(...keys),
    contend: () => {},
    isContended: () => false,
    silence: () => undefined,
  });
  for (let inode = 1; inode <= most; inode++) assert.ok(locks.lend('a', inode) !== undefined);
  assert.equal(locks.lend('b', most + 1), undefined);
  assert.deepEqual(asked, [], 'they were lent a moment ago');
  nowMs = 60_000;
  for (let time = 0; time < 3; time++) assert.equal(locks.lend('b', most + 1), undefined);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(asked, [locksKey(1)]);
  assert.equal(locks.has('a', 1), false);
  assert.ok(locks.lend('b', most + 1) !== undefined);
  assert.equal(locks.lend('b', most + 2), undefined);
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(locks.lend('b', most + 2) !== undefined);
});
