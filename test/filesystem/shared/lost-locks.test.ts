import assert from 'node:assert/strict';
import { test } from 'node:test';

import { LockGrace, type LostLocksNotice, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { bytes, errnoOf, open, put, root, user } from '../harness.ts';
import { flock, posix, Serving } from './serving.ts';

const aMoment = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A guest is given up, another program has its lock for a moment, and it is about to hear so: once what is returned is called. */
async function hearsLate(serving: Serving, guest: SharedFileSystem, peer: string, inode: number): Promise<() => void> {
  await serving.server.dismiss(peer);
  for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, flock('9', type), false);
  const arrive = serving.holdBack('relock');
  void Promise.resolve(guest.getattr(root)).catch(() => {});
  await aMoment();
  return arrive;
}

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

test('what a program writes that has lost its lock goes over nothing, until it has given the lock back', async () => {
  for (const kind of ['posix', 'flock'] as const) {
    const serving = new Serving(await open(new MemoryBlockStore()));
    const inode = await put(serving.volume, root, 'f', 'old', true);
    const guest = serving.guest('a');
    const lock = { ...flock('1', 'write'), kind };
    const [handle, other] = [await guest.open(inode, 2), await guest.open(inode, 2)];
    await guest.setlk(inode, lock, false);
    await serving.server.dismiss('a');
    await serving.own.setlk(inode, { ...lock, owner: '9' }, false);
    const theirs = await serving.own.open(inode, 2);
    await serving.own.write(inode, theirs, 0, bytes('new'), false);
    await serving.own.fsync(inode, theirs, false);
    await serving.own.setlk(inode, { ...lock, owner: '9', type: 'unlock' }, false);
    // Under way since before it knew; and afterwards.
    for (const append of [false, false, true]) assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false, append)), 'EIO');
    assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 9)).toString(), 'new');
    // A program that lost nothing, and takes the lock, may write.
    await guest.setlk(inode, { ...lock, owner: '2' }, false);
    assert.equal(await errnoOf(() => guest.write(inode, other, 0, bytes('n'), false)), 'none');
    await guest.setlk(inode, { ...lock, owner: '2', type: 'unlock' }, false);
    assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false)), 'EIO');
    await errnoOf(() => (kind === 'posix' ? guest.flush(inode, other, '1') : guest.release(inode, other, '1')));
    assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('N'), false)), 'none');
  }
});

test('nor by asking for another lock, which may be how its host hears of the loss, and is refused then', async () => {
  for (const others of ['write', 'read', 'unlock'] as const) {
    for (const [start, end] of [
      [0, 9],
      [15, 25],
    ] as const) {
      const serving = new Serving(await open(new MemoryBlockStore()));
      const inode = await put(serving.volume, root, 'f', 'old', true);
      const guest = serving.guest('a');
      const handle = await guest.open(inode, 2);
      await guest.setlk(inode, posix('1', 'read', 0, 9), false);
      await guest.setlk(inode, posix('1', 'read', 20, 29), false);
      await serving.server.dismiss('a');
      for (const type of ['write', others] as const) await serving.own.setlk(inode, posix('9', type, 0, 9), false);
      assert.equal(await errnoOf(() => guest.setlk(inode, posix('1', 'write', start, end), false)), 'EIO');
      assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false)), 'EIO');
      // It has what it had.
      await aMoment(1);
      assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('8', 'write', 29, 29), false)), 'EAGAIN');
      assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('8', 'write', 15, 19), false)), 'none');
      await guest.setlk(inode, posix('1', 'unlock', 0, 9), false);
      assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('new'), false)), 'none');
    }
  }
});

test('people are told of it for as long as that is so, and which process it is', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const [inode, other] = [await put(serving.volume, root, 'f', 'x', true), await put(serving.volume, root, 'g', 'x', true)];
  const told: (LostLocksNotice | undefined)[] = [];
  const guest = new SharedFileSystem('a', () => false, { clock: serving.time.clock, onFenced: (notice) => told.push(notice) });
  serving.welcome(guest, 'a');
  for (const [file, pid] of [
    [inode, 41],
    [other, 42],
  ] as const)
    await guest.setlk(file, { ...flock('1', 'write'), pid }, false);
  await serving.server.dismiss('a');
  for (const file of [inode, other]) await serving.own.setlk(file, flock('9', 'write'), false);
  await guest.getattr(inode);
  while (told.length === 0) await aMoment();
  assert.deepEqual(told, [{ files: 2, examples: [inode, other], processes: [41, 42] }]);
  await guest.setlk(inode, flock('1', 'unlock'), false);
  while (told.length === 1) await aMoment();
  assert.deepEqual(told[1], { files: 1, examples: [other], processes: [42] });
  await guest.setlk(other, flock('1', 'unlock'), false);
  while (told.length === 2) await aMoment();
  assert.deepEqual(told.slice(2), [undefined]);
});

test('nor anything that its host’s programs do to other files and names: databases lock one file for all that they have', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'db', 'old', true);
  const log = await put(serving.volume, root, 'db-wal', 'old', true);
  const guest = serving.guest('a');
  const [handle, logHandle] = [await guest.open(inode, 2), await guest.open(log, 2)];
  const shared = posix('1', 'read', 0, 9);
  await guest.setlk(inode, shared, false);
  await serving.server.dismiss('a');
  for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, posix('9', type, 0, 9), false);
  await guest.getattr(inode);
  const changes = [
    () => guest.write(log, logHandle, 0, bytes('OLD'), false),
    () => guest.writeMapped(log, logHandle, 0, bytes('OLD')),
    () => guest.setattr(log, { size: 0 }),
    () => guest.unlink(root, 'db-wal'),
    () => guest.rename(root, 'db-wal', root, 'other', 0),
    () => guest.create(root, 'db-journal', 0o644, 0, 2, user),
    // Who has a lock and asks for more of it, or for another, would write after that by what it read before.
    () => guest.setlk(inode, posix('1', 'write', 0, 9), false),
    () => guest.setlk(inode, posix('1', 'write', 20, 20), false),
  ];
  for (const change of changes) assert.equal(await errnoOf(change), 'EIO');
  assert.equal(Buffer.concat(await guest.read(log, logHandle, 0, 9)).toString(), 'old');
  // Another program, by its own lock.
  await guest.setlk(log, posix('2', 'write', 0, 9), false);
  assert.equal(await errnoOf(() => guest.write(log, logHandle, 0, bytes('new'), false)), 'none');
  await guest.setlk(log, posix('2', 'unlock', 0, 9), false);
  assert.equal(await errnoOf(() => guest.write(log, logHandle, 0, bytes('OLD'), false)), 'EIO');
  await errnoOf(() => guest.flush(inode, handle, '1'));
  await guest.setlk(inode, posix('1', 'write', 0, 9), false);
  await guest.write(log, logHandle, 0, bytes('New'), false);
  await guest.unlink(root, 'db-wal');
  assert.equal(Buffer.concat(await serving.own.read(inode, await serving.own.open(inode, 0), 0, 9)).toString(), 'old');
});

test('nor does it where its host was let in again and has not heard so, also while it takes its locks again', async () => {
  for (const isAtIt of [false, true]) {
    const serving = new Serving(await open(new MemoryBlockStore()));
    const inode = await put(serving.volume, root, 'f', 'old', true);
    const guest = serving.guest('a');
    const handle = await guest.open(inode, 2);
    await guest.setlk(inode, flock('1', 'write'), false);
    await serving.server.dismiss('a');
    let arrive = (): void => {};
    if (isAtIt) {
      arrive = serving.holdBack('relocked');
      await guest.getattr(inode);
      await serving.server.dismiss('a');
    }
    for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, flock('9', type), false);
    serving.calls.length = 0;
    serving.loseAnswers('rejoin');
    arrive();
    const looked = guest.getattr(inode);
    while (!serving.calls.includes('rejoin')) await aMoment(1);
    serving.loseAnswers(undefined);
    await looked;
    assert.equal(await errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false)), 'EIO');
    assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 9)).toString(), 'old');
  }
});

test('nor does what was on its way when its host heard that it was given up, however long, unless the serving host is of an earlier version', async () => {
  for (const withoutTerms of [false, true]) {
    const serving = new Serving(await open(new MemoryBlockStore()));
    serving.withoutTerms = withoutTerms;
    const inode = await put(serving.volume, root, 'f', 'old', true);
    const guest = serving.guest('a');
    const handle = await guest.open(inode, 2);
    await guest.setlk(inode, flock('1', 'write'), false);
    await serving.server.dismiss('a');
    for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, flock('9', type), false);
    const arrive = serving.holdBack('write');
    const written = errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false));
    await aMoment(1);
    const looked = guest.getattr(inode);
    // The earlier one waits for what is on its way, for a time.
    if (withoutTerms) await aMoment();
    else await looked;
    arrive();
    assert.equal(await written, 'EIO');
    await looked;
    assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 9)).toString(), 'old');
  }
});

test('nor what the serving host had begun, and not done, when it gave the host up', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'old', true);
  const [guest, other] = [serving.guest('a'), serving.guest('b')];
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  await serving.keeps(other);
  await other.getattr(inode);
  // What that has in memory is waited for.
  serving.unheard.add('b');
  const written = errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false));
  await aMoment(1);
  await serving.server.dismiss('a');
  for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, flock('9', type), false);
  for (let pass = 0; pass < 20; pass++) await serving.time.pass(1000);
  assert.equal(await written, 'EIO');
  assert.equal(Buffer.concat(await serving.own.read(inode, await serving.own.open(inode, 0), 0, 9)).toString(), 'old');
});

test('nor what it wrote in its host’s memory before, and that host had not said', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', 'old', true);
  const guest = await serving.keepingGuest(store);
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  await guest.write(inode, handle, 0, bytes('OLD'), false);
  assert.ok(serving.calls.includes('borrow') && !serving.calls.includes('write'));
  await serving.server.dismiss('guest');
  const theirs = await serving.own.open(inode, 0);
  await serving.own.setlk(inode, flock('9', 'write'), false);
  assert.equal(Buffer.concat(await serving.own.read(inode, theirs, 0, 9)).toString(), 'old');
  await guest.getattr(root);
  assert.equal(await errnoOf(() => guest.fsync(inode, handle, false)), 'EIO');
  assert.equal(Buffer.concat(await serving.own.read(inode, theirs, 0, 9)).toString(), 'old');
});

test('nor does it where the file was lent meanwhile to the host that has just heard of the loss', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', 'old', true);
  const guest = await serving.keepingGuest(store);
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  const arrive = await hearsLate(serving, guest, 'guest', inode);
  const written = errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false));
  await aMoment();
  arrive();
  assert.equal(await written, 'EIO');
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 9)).toString(), 'old');
});

test('nor to another file that was lent to it since, or is to be made larger, whoever serves the volume', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const [inode, log] = [await put(serving.volume, root, 'db', 'old', true), await put(serving.volume, root, 'db-wal', 'old', true)];
  const guest = await serving.keepingGuest(store);
  await guest.open(inode, 2);
  const handle = await guest.open(log, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  const arrive = await hearsLate(serving, guest, 'guest', inode);
  const written = errnoOf(() => guest.write(log, handle, 0, bytes('OLD'), false));
  await aMoment();
  arrive();
  assert.equal(await written, 'EIO');
  assert.equal(Buffer.concat(await guest.read(log, handle, 0, 9)).toString(), 'old');
  const { own } = serving;
  const ownHandle = await own.open(log, 2);
  await own.setlk(inode, posix('1', 'write', 0, 9), false);
  own.loseLocks();
  assert.equal(await errnoOf(() => own.fallocate(log, ownHandle, 0, 0, 99)), 'EIO');
});

test('nor is a name taken away before it is known whether a lock is lost, however long that takes', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'db', 'old', true);
  await put(serving.volume, root, 'db-journal', 'old', true);
  const guest = serving.guest('a');
  await guest.setlk(inode, flock('1', 'write'), false);
  const arrive = await hearsLate(serving, guest, 'a', inode);
  const removed = errnoOf(() => guest.unlink(root, 'db-journal'));
  await aMoment();
  for (let pass = 0; pass < 7; pass++) await serving.time.pass(10_000);
  await removed;
  assert.ok((await serving.own.lookup(root, 'db-journal')) !== undefined);
  arrive();
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
