import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type LostLocksNotice, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall, decodeResult, Dismissed } from '../../../src/filesystem/shared/calls.ts';
import { LostLocks } from '../../../src/filesystem/shared/lost-locks.ts';
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

test('nor what was asked of another opening of the volume, at the same host, by this daemon or the one before', async () => {
  for (const isRestarted of [false, true]) {
    const store = new MemoryBlockStore();
    const first = new Serving(await open(store));
    let serving = first;
    const inode = await put(first.volume, root, 'f', 'old', true);
    const records = new MemoryRecords();
    const arrives = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<Uint8Array>();
    const daemon = (): SharedFileSystem => new SharedFileSystem('a', () => false, { records, mount: 'mount' });
    const guest = daemon();
    guest.setBacking({
      kind: 'remote',
      ask: async (call) => {
        if (decodeCall(call).method !== 'write') return serving.server.serve('a', call);
        await arrives.promise;
        reached.resolve(await serving.server.serve('a', call));
        // A killed one hears of nothing.
        return isRestarted ? new Promise(() => {}) : reached.promise;
      },
    });
    const handle = await guest.open(inode, 2);
    await guest.setlk(inode, flock('1', 'write'), false);
    const written = errnoOf(() => guest.write(inode, handle, 0, bytes('OLD'), false));
    await aMoment();
    await first.volume.close();
    serving = new Serving(await open(store));
    for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, flock('9', type), false);
    if (isRestarted) guest.setBacking(undefined);
    const next = isRestarted ? daemon() : guest;
    next.setBacking({ kind: 'remote', ask: (call) => serving.server.serve('a', call) });
    const reopened = isRestarted ? await next.open(inode, 2) : handle;
    assert.equal(await errnoOf(() => next.write(inode, reopened, 0, bytes('OLD'), false)), 'EIO');
    arrives.resolve();
    await reached.promise.then((answer) => assert.throws(() => decodeResult(answer), Dismissed));
    if (!isRestarted) assert.equal(await written, 'EIO');
    assert.equal(Buffer.concat(await next.read(inode, reopened, 0, 9)).toString(), 'old');
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

/** A program of the guest writes to a file while its host hears that it was given up, and so lost a lock of this one, or another. */
async function writesInVain(
  serving: Serving,
  guest: Awaited<ReturnType<Serving['keepingGuest']>>,
  locked: number,
  file: number,
  handle: number,
): Promise<void> {
  const arrive = await hearsLate(serving, guest, 'guest', locked);
  const written = errnoOf(() => guest.write(file, handle, 0, bytes('OLD'), false));
  await aMoment();
  arrive();
  assert.equal(await written, 'EIO');
  assert.equal(Buffer.concat(await guest.read(file, handle, 0, 9)).toString(), 'old');
}

test('nor does it where the file was lent meanwhile to the host that has just heard of the loss', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', 'old', true);
  const guest = await serving.keepingGuest(store);
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  await writesInVain(serving, guest, inode, inode, handle);
});

test('nor to another file that was lent to it since, or is to be made larger, whoever serves the volume', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const [inode, log] = [await put(serving.volume, root, 'db', 'old', true), await put(serving.volume, root, 'db-wal', 'old', true)];
  const guest = await serving.keepingGuest(store);
  await guest.open(inode, 2);
  const handle = await guest.open(log, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  await writesInVain(serving, guest, inode, log, handle);
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

test('nor through the next daemon of its host, however often that is started again, until the lock is given back or its file is closed', async () => {
  for (const kind of ['posix', 'flock'] as const) {
    for (const ends of ['unlock', 'close'] as const) {
      const records = new MemoryRecords();
      const serving = new Serving(await open(new MemoryBlockStore()));
      const [inode, log] = [await put(serving.volume, root, 'db', 'old', true), await put(serving.volume, root, 'db-wal', 'old', true)];
      const told: (LostLocksNotice | undefined)[] = [];
      const daemon = (): SharedFileSystem => {
        const guest = new SharedFileSystem('a', () => false, { records, mount: 'mount', onFenced: (notice) => told.push(notice) });
        serving.welcome(guest, 'a');
        return guest;
      };
      const before = daemon();
      const lock = { ...flock('1', 'write'), kind, pid: 41 };
      await before.setlk(inode, lock, false);
      await serving.server.dismiss('a');
      for (const type of ['write', 'unlock'] as const) await serving.own.setlk(inode, { ...lock, owner: '9', type }, false);
      await before.getattr(inode);
      before.setBacking(undefined);
      let after = daemon();
      after.setBacking(undefined);
      after = daemon();
      const [handle, logHandle] = [await after.open(inode, 2), await after.open(log, 2)];
      after.inherited(inode, handle);
      for (const [file, open] of [[inode, handle] as const, [log, logHandle] as const])
        assert.equal(await errnoOf(() => after.write(file, open, 0, bytes('OLD'), false)), 'EIO');
      assert.equal(await errnoOf(() => after.unlink(root, 'db-wal')), 'EIO');
      assert.equal(await errnoOf(() => after.setlk(inode, lock, false)), 'EIO');
      // Whoever had it open may not have heard of it from the one before.
      assert.equal(await errnoOf(() => after.fsync(inode, handle, false)), 'EIO');
      while (told.length === 0) await aMoment();
      assert.deepEqual(told[0], { files: 1, examples: [inode], processes: [41] });
      if (ends === 'unlock') await after.setlk(inode, { ...lock, type: 'unlock' }, false);
      else await errnoOf(() => (kind === 'posix' ? after.flush(inode, handle, '1') : after.release(inode, handle, '1')));
      assert.equal(await errnoOf(() => after.write(log, logHandle, 0, bytes('new'), false)), 'none');
      assert.deepEqual([...records.left.keys()], []);
      after.setBacking(undefined);
      const last = daemon();
      assert.equal(await errnoOf(async () => last.write(log, await last.open(log, 2), 0, bytes('New'), false)), 'none');
    }
  }
});

test('nor where its host has lost locks of very many files, and has been given all back but one', () => {
  const lost = new LostLocks();
  const many = 70_000;
  const lock = posix('1', 'write', 0, 9);
  for (let inode = 1; inode <= many; inode++) lost.add(inode, lock);
  for (let inode = 1; inode < many; inode++) lost.forget(inode, lock);
  assert.ok(lost.fences(() => []));
  lost.forget(many, lock);
  assert.ok(!lost.fences(() => []));
});
