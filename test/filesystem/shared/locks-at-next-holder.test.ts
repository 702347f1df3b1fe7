import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import { LockGrace, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall, decodeResult, encodeCall, encodeFailure, type SharedMethod } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { errnoOf, open, put, root } from '../harness.ts';
import { attributesOf, flock, posix, Serving } from './serving.ts';

const neverMs = 60_000;

test('the next holder is told of locks that are held, not of those that were given back', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const guest = first.guest('a');
  await guest.setlk(inode, flock('1', 'write'), false);
  await guest.setlk(inode, flock('1', 'unlock'), false);
  await guest.setlk(inode, posix('2', 'write', 0, 99), false);
  await guest.setlk(inode, posix('2', 'unlock', 50, 99), false);
  await first.volume.close();
  const second = new Serving(await open(store));
  second.welcome(guest, 'a');
  await guest.getattr(inode);
  const other = second.guest('b');
  await other.setlk(inode, flock('1', 'write'), false);
  await other.setlk(inode, posix('1', 'write', 50, 99), false);
  await assert.rejects(other.setlk(inode, posix('1', 'write', 0, 10), false), { errno: 'EAGAIN' });
});

test('a daemon that is started again knows of the locks of its programs, and one that went to another meanwhile is said to be lost', async () => {
  const records = new MemoryRecords();
  const daemon = (): SharedFileSystem => new SharedFileSystem('a', () => false, { records });
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const [inode, other] = [await put(first.volume, root, 'f', 'x', true), await put(first.volume, root, 'g', 'x', true)];
  const before = daemon();
  first.welcome(before, 'a');
  for (const each of [inode, other]) await before.setlk(each, flock('1', 'write'), false);
  await before.setlk(inode, posix('2', 'write', 0, Infinity), false);
  await before.setlk(inode, posix('2', 'unlock', 50, 99), false);
  await first.volume.close();
  const second = new Serving(await open(store));
  await second.own.setlk(other, flock('9', 'write'), false);
  const after = daemon();
  second.welcome(after, 'a');
  const handle = await after.open(other, 2);
  after.inherited(other, handle);
  assert.equal(await errnoOf(() => after.fsync(other, handle, false)), 'EIO');
  assert.equal(await errnoOf(() => second.own.setlk(inode, flock('9', 'read'), false)), 'EAGAIN');
  assert.equal(await errnoOf(() => second.own.setlk(inode, posix('9', 'write', 1000, 1000), false)), 'EAGAIN');
  await second.own.setlk(inode, posix('9', 'write', 50, 99), false);
  await after.setlk(inode, flock('1', 'unlock'), false);
  await after.setlk(inode, posix('2', 'unlock', 0, Infinity), false);
  // Its program believes to have it.
  assert.deepEqual([...records.left.keys()], [`lost ${other} flock 0 1@a`]);
  await after.setlk(other, flock('1', 'unlock'), false);
  assert.deepEqual([...records.left.keys()], []);
  await second.own.setlk(inode, flock('9', 'write'), false);
});

test('what a daemon had locked again and given back, and was killed before it had said that this is all, is not kept for the next one', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const ask = async (method: SharedMethod, args: readonly unknown[], term?: string): Promise<unknown> =>
    decodeResult(await serving.server.serve('a', encodeCall(method, args, undefined, term)));
  const [given, kept] = [posix('1@a', 'read', 0, 9), posix('2@a', 'read', 0, 9)];
  await ask('rejoin', ['first']);
  for (const lock of [given, kept]) await ask('relock', [inode, lock], 'first');
  await ask('rejoin', ['next']);
  await ask('relock', [inode, kept], 'next');
  await ask('relocked', ['mount', 'process'], 'next');
  assert.equal((await serving.own.getlk(inode, posix('9', 'write', 0, 9)))?.owner, kept.owner);
  await ask('setlk', [inode, { ...kept, type: 'unlock' }, false], 'next');
  assert.equal(await serving.own.getlk(inode, posix('9', 'write', 0, 9)), undefined);
});

test('what the programs of a mount had goes when their host has another mount, and not when another daemon serves it', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const records = new MemoryRecords();
  const daemon = (mount: string): SharedFileSystem => {
    const guest = new SharedFileSystem('a', () => false, { records: mount === 'first' ? records : new MemoryRecords(), mount });
    serving.welcome(guest, 'a');
    return guest;
  };
  const first = daemon('first');
  await first.open(inode, 2);
  await first.setlk(inode, flock('1', 'write'), false);
  await serving.volume.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  await daemon('first').getattr(root);
  assert.equal(await errnoOf(() => serving.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
  assert.ok((await attributesOf(serving.volume, inode)) !== undefined);
  const other = await put(serving.volume, root, 'g', 'y', true);
  // The daemon and the process that kept the mount were killed, and the daemon is back before it is given up.
  const second = daemon('second');
  const handle = await second.open(other, 2);
  await second.setlk(other, flock('1', 'write'), false);
  assert.equal(await attributesOf(serving.volume, inode), undefined, 'nobody can have it open any more');
  assert.equal(Buffer.concat(await second.read(other, handle, 0, 10)).toString(), 'y');
  assert.equal(await errnoOf(() => serving.own.setlk(other, flock('9', 'write'), false)), 'EAGAIN', 'what the new mount has locked stays');
});

test('locks of a mount that is no more go to who waits for them', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const daemon = (mount?: string): SharedFileSystem => {
    const guest = new SharedFileSystem('a', () => false, { mount });
    serving.welcome(guest, 'a');
    return guest;
  };
  // Of an earlier version, and taken over since by one that knows its mount's name.
  await daemon().setlk(inode, flock('1', 'write'), false);
  await daemon('first').getattr(root);
  assert.equal(await errnoOf(() => serving.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
  const waits = serving.own.setlk(inode, flock('9', 'write'), true);
  await daemon('second').getattr(root);
  await waits;
});

test('a guest whose holder is of an earlier version greets it without its mount’s name', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const guest = new SharedFileSystem('a', () => false, { mount: 'mount' });
  const greetings: unknown[] = [];
  guest.setBacking({
    kind: 'remote',
    ask: (bytes) => {
      const call = decodeCall(bytes);
      if (call.method === 'relocked') greetings.push(call.args[0]);
      if (call.args[0] === 'mount')
        return Promise.resolve(encodeFailure(new InfinitError('bad-argument', 'the arguments of "relocked" have wrong types')));
      return serving.server.serve('a', bytes);
    },
  });
  await guest.getattr(root);
  assert.deepEqual(greetings, ['mount', undefined]);
});

test('a flock whose conversion was refused is gone at the next holder as well', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const [guest, other] = [first.guest('a'), first.guest('b')];
  for (const each of [guest, other]) await each.setlk(inode, flock('1', 'read'), false);
  assert.equal(await errnoOf(() => guest.setlk(inode, flock('1', 'write'), false)), 'EAGAIN');
  await other.setlk(inode, flock('1', 'unlock'), false);
  await first.volume.close();
  const second = new Serving(await open(store));
  second.welcome(guest, 'a');
  await guest.getattr(inode);
  await second.guest('c').setlk(inode, flock('1', 'write'), false);
});

test('after a change of the holder nobody takes a lock before those who had it', async () => {
  using grace = new LockGrace(['a', 'c'].map((peer) => ({ peer, ms: neverMs })));
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const guest = first.guest('a');
  await guest.setlk(inode, flock('1', 'write'), false);
  await first.volume.close();
  const own = new SharedFileSystem('holder', () => true);
  // One comes while nobody serves the volume.
  const early = Promise.resolve(own.getlk(inode, flock('9', 'write')));
  const second = new Serving(await open(store), grace, own);
  const looks = [early, ...[second.own, second.guest('d')].map((other) => other.getlk(inode, flock('9', 'write')))];
  const attempts = [second.own, second.guest('b')].map((other) => other.setlk(inode, flock('9', 'write'), false));
  for (const attempt of attempts) attempt.catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 5));
  second.welcome(guest, 'a');
  // This one had none, and says so, too.
  second.guest('c');
  for (const attempt of attempts) await assert.rejects(attempt, { errno: 'EAGAIN' });
  for (const look of looks) assert.equal((await look)?.type, 'write');
});

test('a lock that another host got meanwhile is lost, and the program hears of it at its next fsync, once; a reader does not', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const guest = first.guest('a');
  const handle = await guest.open(inode, 1);
  await guest.setlk(inode, flock('1', 'write'), false);
  await first.volume.close();
  const second = new Serving(await open(store));
  await second.own.setlk(inode, flock('9', 'write'), false);
  second.welcome(guest, 'a');
  await guest.getattr(inode);
  const reader = await guest.open(inode, 0);
  await guest.flush(inode, reader, '5');
  await assert.rejects(async () => guest.fsync(inode, handle, false), { errno: 'EIO' });
  await guest.fsync(inode, handle, false);
});

test('a wait for a lock goes on at the next holder, and ends when its waiter does', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const other = first.guest('b');
  await other.setlk(inode, flock('9', 'write'), false);
  const waits = [first.own, first.guest('a')].map((waiter) => {
    const interrupt = new AbortController();
    return { waiter, interrupt, taken: waiter.setlk(inode, flock('1', 'write'), true, interrupt.signal) };
  });
  await new Promise((resolve) => setTimeout(resolve, 10));
  await Promise.all([first.server.drain(), first.volume.close()]);
  const second = new Serving(await open(store));
  second.welcome(other, 'b');
  await other.getattr(inode);
  for (const { waiter } of waits) second.welcome(waiter, waiter === first.own ? 'holder' : 'a');
  waits[0]!.interrupt.abort();
  await assert.rejects(waits[0]!.taken, { errno: 'EINTR' });
  await other.setlk(inode, flock('9', 'unlock'), false);
  await waits[1]!.taken;
});
