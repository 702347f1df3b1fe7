import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LockGrace, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { bytes, errnoOf, open, put, root } from '../harness.ts';
import { flock, posix, Serving } from './serving.ts';

const aMoment = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test('a lock that others had while its host was given up is lost, also where it is free again', async () => {
  for (const lentMeanwhile of [false, true]) {
    const serving = new Serving(await open(new MemoryBlockStore()));
    const inode = await put(serving.volume, root, 'f', 'x', true);
    const [guest, other] = [serving.guest('a'), serving.guest('b')];
    const handle = await guest.open(inode, 1);
    await guest.setlk(inode, posix('1', 'write', 0, 9), false);
    await serving.server.dismiss('a');
    if (lentMeanwhile) {
      await serving.keeps(other);
      for (let time = 0; time < 3; time++) for (const type of ['write', 'unlock'] as const) await other.setlk(inode, posix('9', type, 50, 59), false);
      while (!serving.calls.includes('borrowLocks')) await aMoment(1);
      await aMoment();
    }
    for (const type of ['write', 'unlock'] as const) await other.setlk(inode, posix('9', type, 5, 5), false);
    // It hears that it was given up.
    await guest.getattr(inode);
    assert.equal(await errnoOf(() => guest.fsync(inode, handle, false)), 'EIO');
    await serving.own.setlk(inode, posix('8', 'write', 0, 9), false);
  }
});

test('nor is one given again that another program waited for', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const [inode, other] = [await put(serving.volume, root, 'f', 'x', true), await put(serving.volume, root, 'g', 'x', true)];
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  for (const owner of ['2', '3', '4', '5']) await guest.setlk(other, posix(owner, 'read', 0, 9), false);
  const waited = serving.own.setlk(inode, flock('9', 'write'), true);
  await aMoment();
  await serving.server.dismiss('a');
  await waited;
  await serving.own.setlk(inode, flock('9', 'unlock'), false);
  assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('X'), false)), 'EIO');
});

test('a lock that nobody had meanwhile is taken again, and one beside it is none', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 1);
  for (const lock of [posix('1', 'write', 0, 9), posix('2', 'read', 20, 29)]) await guest.setlk(inode, lock, false);
  // Before it was given up.
  for (const type of ['read', 'unlock'] as const) await serving.own.setlk(inode, posix('9', type, 25, 25), false);
  await serving.server.dismiss('a');
  for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, posix('9', type, 10, 19), false);
  for (const type of ['read', 'unlock'] as const) await serving.own.setlk(inode, posix('9', type, 20, 25), false);
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => guest.fsync(inode, handle, false)), 'none');
  assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('8', 'write', 0, 9), false)), 'EAGAIN');
  assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('8', 'write', 20, 20), false)), 'EAGAIN');
});

test('one that comes to the next holder when its time was over has lost what others had there since', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  const guest = first.guest('a');
  const handle = await guest.open(inode, 1);
  for (const lock of [flock('1', 'write'), posix('1', 'write', 0, 9)]) await guest.setlk(inode, lock, false);
  await first.volume.close();
  const second = new Serving(await open(store), new LockGrace([]));
  for (const type of ['write', 'unlock'] as const) await second.own.setlk(inode, flock('9', type), false);
  second.welcome(guest, 'a');
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => guest.fsync(inode, handle, false)), 'EIO');
  await second.own.setlk(inode, flock('9', 'write'), false);
  assert.equal(await errnoOf(() => second.own.setlk(inode, posix('9', 'write', 0, 9), false)), 'EAGAIN');
  // Once it is known here what others have is no loss of its own.
  await second.own.setlk(inode, posix('9', 'write', 10, 19), false);
  second.welcome(guest, 'a');
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => second.own.setlk(inode, posix('8', 'write', 0, 9), false)), 'EAGAIN');
});

test('who was given up by the holder before, and does not know, has lost its locks at the next one', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'old', true);
  const guest = first.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await first.volume.close();
  const second = new Serving(await open(store), new LockGrace([]));
  const greeted: string[] = [];
  second.server.knowLost(['a'], (peer) => greeted.push(peer));
  second.welcome(guest, 'a');
  await guest.getattr(inode);
  assert.deepEqual(greeted, ['a']);
  assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false)), 'EIO');
  await second.guest('b').setlk(inode, posix('9', 'write', 0, 9), false);
});

test('nor is it given one there that was given up once more before it could hear of the loss', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'old', true);
  const guest = first.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await first.volume.close();
  const second = new Serving(await open(store), new LockGrace([]));
  for (const type of ['write', 'unlock'] as const) await second.own.setlk(inode, posix('9', type, 0, 9), false);
  second.loseAnswers('relock');
  second.welcome(guest, 'a');
  while (!second.calls.includes('relock')) await aMoment(1);
  await second.server.dismiss('a');
  second.loseAnswers(undefined);
  assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false)), 'EIO');
});

test('before others are given what it had, the next holder will know of one that has not said its locks in time', async () => {
  const store = new MemoryBlockStore();
  const noted = Promise.withResolvers<void>();
  const unheard: string[] = [];
  using grace = new LockGrace([{ peer: 'a', ms: 5 }], undefined, (peer) => {
    unheard.push(peer);
    return noted.promise;
  });
  const serving = new Serving(await open(store), grace);
  const inode = await put(serving.volume, root, 'f', 'old', true);
  let isLocked = false;
  const locked = serving.own.setlk(inode, posix('9', 'write', 0, 9), false).then(() => (isLocked = true));
  await aMoment();
  assert.deepEqual([unheard, isLocked], [['a'], false]);
  noted.resolve();
  await locked;
});

test('a greeting whose locks another opening of the volume was told ends nobody’s wait', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'old', true);
  const guest = first.guest('a');
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  const second = Promise.withResolvers<Serving>();
  using grace = new LockGrace([{ peer: 'a', ms: 60_000 }]);
  let serving = first;
  const ask = async (call: Uint8Array): Promise<Uint8Array> => {
    if (decodeCall(call).method === 'relocked' && serving === first) {
      await first.volume.close();
      second.resolve((serving = new Serving(await open(store), grace)));
    }
    return serving.server.serve('a', call);
  };
  guest.setBacking({ kind: 'remote', ask });
  const { own } = await second.promise;
  assert.equal(await errnoOf(() => own.setlk(inode, posix('9', 'write', 0, 9), false)), 'EAGAIN');
  await guest.setlk(inode, posix('1', 'unlock', 0, 9), false);
  assert.equal(await errnoOf(() => own.setlk(inode, posix('9', 'write', 0, 9), false)), 'none');
});

test('a host that serves the volume itself by then has lost its own', async () => {
  const { own, volume } = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(volume, root, 'f', 'old', true);
  const handle = await own.open(inode, 2);
  await own.setlk(inode, posix('1', 'write', 0, 9), false);
  own.loseLocks();
  assert.equal(await errnoOf(() => own.write(inode, handle, 0, bytes('OLD'), false)), 'EIO');
  await own.setlk(inode, posix('1', 'unlock', 0, 9), false);
  assert.equal(await errnoOf(() => own.write(inode, handle, 0, bytes('new'), false)), 'none');
});

test('who closes a file and is told of a loss by that has no lock of it any more', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  guest.markLost([inode]);
  assert.equal(await errnoOf(() => guest.flush(inode, handle, '1')), 'EIO');
  await serving.own.setlk(inode, posix('9', 'write', 0, 9), false);
});

test('a lock that a killed daemon had given back, and told nobody, does not stay', async () => {
  const records = new MemoryRecords();
  const serving = new Serving(await open(new MemoryBlockStore()));
  const [inode, other] = [await put(serving.volume, root, 'f', 'x', true), await put(serving.volume, root, 'g', 'x', true)];
  const daemon = (): SharedFileSystem => {
    const guest = new SharedFileSystem('a', () => false, { records, mount: 'mount' });
    serving.welcome(guest, 'a');
    return guest;
  };
  const before = daemon();
  await before.setlk(inode, posix('1', 'write', 0, 9), false);
  await before.setlk(inode, posix('2', 'write', 20, 29), false);
  await before.setlk(other, flock('1', 'write'), false);
  const arrive = serving.holdBack('flush');
  const handle = await before.open(inode, 2);
  void Promise.resolve(before.flush(inode, handle, '1')).catch(() => {});
  await aMoment();
  before.setBacking(undefined);
  const after = daemon();
  await after.getattr(inode);
  // The kernel asks once more for what was not answered.
  await after.flush(inode, await after.open(inode, 2), '1');
  await serving.own.setlk(inode, posix('9', 'write', 0, 9), false);
  assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('9', 'write', 25, 25), false)), 'EAGAIN');
  assert.equal(await errnoOf(() => serving.own.setlk(other, flock('9', 'write'), false)), 'EAGAIN');
  arrive();
});
