import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import { FileSystemError, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { Undelivered } from '../../../src/filesystem/shared/undelivered.ts';
import { eventually } from '../../docker/process.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { errnoOf, open, put, root } from '../harness.ts';
import { attributesOf, flock, none, posix, Serving, standIn } from './serving.ts';

test('a file that is closed in a lapse of the lease is closed and unlocked when the lease goes on', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  let held = true;
  const host = new SharedFileSystem('host', () => held);
  host.setBacking({ kind: 'local', volume, grace: none });
  const [inode, plain] = [await put(volume, root, 'f', 'x', true), await put(volume, root, 'plain', 'x', true)];
  const handles = [await host.open(inode, 2), await host.open(plain, 2)];
  await host.setlk(inode, flock('1', 'write'), false);
  for (const name of ['f', 'plain']) await host.unlink(root, name);
  for (const each of [inode, plain]) volume.forget(each, 1);
  held = false;
  const closes = [host.release(inode, handles[0]!, '1'), host.release(plain, handles[1]!)];
  await new Promise(setImmediate);
  held = true;
  await Promise.all(closes);
  for (const each of [inode, plain]) assert.equal(await attributesOf(volume, each), undefined, 'nobody has it open');
});

test('what the kernel gives back in a lapse of the lease counts when the lease goes on', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { volume } = serving;
  let held = true;
  const host = new SharedFileSystem('host', () => held);
  host.setBacking({ kind: 'local', volume, grace: none });
  const inode = await put(volume, root, 'f', 'x', true);
  await host.lookup(root, 'f');
  await host.unlink(root, 'f');
  held = false;
  host.forget(inode, 2);
  held = true;
  assert.equal(await attributesOf(volume, inode), undefined, 'nobody refers to it');
});

test('a file that is closed while its lock is taken again at the next host is unlocked there', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const other = await put(first.volume, root, 'other', 'x', true);
  const guest = first.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  // As many as are taken again at once.
  for (let at = 1; at < 64; at++) await guest.setlk(inode, posix('3', 'write', 2 * at, 2 * at), false);
  await guest.setlk(other, flock('2', 'write'), false);
  const last = await guest.open(other, 2);
  await first.volume.close();
  const second = new Serving(await open(store));
  const gate = Promise.withResolvers<void>();
  const relocked: unknown[] = [];
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const { method, args } = decodeCall(call);
      const answer = await second.server.serve('a', call);
      if (method === 'relock') {
        relocked.push(args[0]);
        await gate.promise;
      }
      return answer;
    },
  });
  await eventually('the first are taken again', () => (relocked.length === 64 ? true : undefined));
  const closes = [guest.release(inode, handle, '1'), guest.release(other, last, '2')];
  gate.resolve();
  await Promise.all(closes);
  for (const each of [inode, other]) await second.own.setlk(each, flock('9', 'write'), false);
  assert.ok(!relocked.includes(other), 'what is closed is not locked any more');
});

test('who closed a file finds its locks gone, also while what they protected is being made durable', async () => {
  const volume = await open(new MemoryBlockStore());
  const slow = standIn(volume, {
    syncfs: async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      await volume.syncfs();
    },
  });
  const host = new SharedFileSystem('host', () => true);
  host.setBacking({ kind: 'local', volume: slow, grace: none });
  const inode = await put(volume, root, 'f', 'x');
  const close = (owner: string): Promise<void> => host.setlk(inode, { ...posix(owner, 'write', 0, Infinity), type: 'unlock' }, false);
  await host.setlk(inode, posix('1', 'write', 0, 9), false);
  void close('1');
  await host.setlk(inode, posix('2', 'write', 0, 9), false);
  assert.equal(await errnoOf(() => host.setlk(inode, posix('1', 'read', 0, 9), false)), 'EAGAIN', 'what is held is held');
  void close('2');
  assert.equal(await host.getlk(inode, posix('1', 'write', 0, 9)), undefined);
});

test('a close unlocks also where nothing can be made durable, and says so', async () => {
  const volume = await open(new MemoryBlockStore());
  const full = standIn(volume, { syncfs: () => Promise.reject(new FileSystemError('ENOSPC')) });
  const host = new SharedFileSystem('host', () => true);
  host.setBacking({ kind: 'local', volume: full, grace: none });
  const inode = await put(volume, root, 'f', 'x');
  const handle = await host.open(inode, 2);
  await host.setlk(inode, flock('1', 'write'), false);
  await host.setlk(inode, posix('1', 'write', 0, 9), false);
  assert.equal(await errnoOf(() => host.flush(inode, handle, '1')), 'ENOSPC');
  await host.setlk(inode, posix('2', 'write', 0, 9), false);
  assert.equal(await errnoOf(() => host.release(inode, handle, '1')), 'ENOSPC');
  await host.setlk(inode, flock('2', 'write'), false);
});

test('a close that the host does not hear is told again until it does, before the same owner locks anew', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = new SharedFileSystem('a', () => false);
  let cut = false;
  guest.setBacking({
    kind: 'remote',
    ask: (call) => (cut ? Promise.reject(new InfinitError('deadline-exceeded', 'no answer')) : serving.server.serve('a', call)),
  });
  const [closed, flushed] = [await guest.open(inode, 2), await guest.open(inode, 2)];
  await guest.setlk(inode, flock('1', 'write'), false);
  await guest.setlk(inode, posix('2', 'write', 0, 9), false);
  await guest.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  cut = true;
  await assert.rejects(async () => guest.release(inode, closed, '1'), { code: 'deadline-exceeded' });
  await assert.rejects(async () => guest.flush(inode, flushed, '2'), { code: 'deadline-exceeded' });
  await assert.rejects(async () => guest.release(inode, flushed), { code: 'deadline-exceeded' });
  cut = false;
  await guest.setlk(inode, posix('2', 'write', 0, 0), false);
  await eventually('both are given back', async () => {
    const waits = [flock('9', 'write'), posix('9', 'write', 1, 9)].map((lock) => errnoOf(() => serving.own.setlk(inode, lock, false)));
    return (await Promise.all(waits)).every((errno) => errno === 'none') ? true : undefined;
  });
  await eventually('nobody has it open', async () => ((await attributesOf(serving.volume, inode)) === undefined ? true : undefined));
});

test('a lock that was granted by a volume that is no longer served does not count', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', 'x', true);
  const grace = Promise.withResolvers<void>();
  const host = new SharedFileSystem('host', () => true);
  host.setBacking({ kind: 'local', volume, grace: grace.promise });
  const guest = new SharedFileSystem('a', () => false);
  const answer = Promise.withResolvers<void>();
  const old = new Serving(volume);
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const given = await old.server.serve('a', call);
      await answer.promise;
      return given;
    },
  });
  const attempts = [host.setlk(inode, flock('1', 'write'), false), guest.setlk(inode, flock('1', 'write'), false)];
  const outcomes = Promise.all(attempts.map((attempt) => errnoOf(() => attempt)));
  await new Promise(setImmediate);
  await volume.abandon();
  const next = new Serving(await open(store));
  next.welcome(host, 'host');
  next.welcome(guest, 'a');
  grace.resolve();
  answer.resolve();
  assert.deepEqual((await outcomes).toSorted(), ['EAGAIN', 'none']);
  assert.equal(await errnoOf(() => next.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN', 'the next holder knows of it');
});

test('what a host answers to a release is heard, whatever it is; anything else is tried again, one after the other', async () => {
  const undelivered = new Undelivered();
  const tried: string[] = [];
  const release = (name: string, ...failures: Error[]): Promise<void> =>
    undelivered.add(async () => {
      tried.push(name);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
    });
  await Promise.all([release('a', new InfinitError('unavailable', 'not now')), release('b', new FileSystemError('EBADF')), release('c')]);
  assert.deepEqual(tried, ['a', 'b', 'c', 'a']);
});

test('the close of a file of which nothing is locked asks no other host', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = new SharedFileSystem('guest', () => false);
  const asked: string[] = [];
  guest.setBacking({
    kind: 'remote',
    ask: (call) => {
      asked.push(decodeCall(call).method);
      return serving.server.serve('guest', call);
    },
  });
  const [reader, writer] = [await guest.open(inode, 0), await guest.open(inode, 2)];
  const closes = (): number => asked.filter((method) => method === 'flush').length;
  await guest.flush(inode, reader, '1');
  assert.equal(closes(), 0);
  await guest.flush(inode, writer, '1');
  assert.equal(closes(), 0, 'what was written was durable when it was answered');
  await guest.setlk(inode, posix('1', 'read', 0, 1), false);
  await guest.flush(inode, reader, '1');
  assert.equal(closes(), 1);
  await guest.flush(inode, reader, '1');
  assert.equal(closes(), 1, 'it gave its locks back');
});
