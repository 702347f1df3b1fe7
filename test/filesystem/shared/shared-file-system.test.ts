import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, InfinitError } from '../../../src/base/index.ts';
import { Appends, FileSystemError, LockGrace, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { eventually } from '../../docker/process.ts';
import { decodeCall, encodeFailure } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import type { BlockStore } from '../../../src/store/index.ts';
import { bytes, contentOf, errnoOf, open, put, root, user } from '../harness.ts';
import { attributesOf, flock, none, posix, Serving, standIn } from './serving.ts';

const openAppend = 0o2001;
const neverMs = 60_000;

test('hosts that append to one file through files open for long lose nothing', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'log', '');
  const writers = [serving.own, serving.guest('a'), serving.guest('b')];
  const handles = await Promise.all(writers.map((writer) => writer.open(inode, openAppend)));
  // Each kernel believes that the file ends where it last wrote.
  await Promise.all(
    writers.map(async (writer, index) => {
      for (let line = 0; line < 10; line++) await writer.write(inode, handles[index]!, line * 2, bytes(`${index}\n`), false, true);
    }),
  );
  const lines = (await contentOf(serving.volume, inode)).toString().split('\n').filter(Boolean);
  assert.deepEqual(
    [0, 1, 2].map((index) => lines.filter((line) => line === String(index)).length),
    [10, 10, 10],
  );
});

test('what a file that is open for appending writes to a place of its own lands there', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', '0123456789');
  for (const host of [serving.own, serving.guest('a')]) {
    const handle = await host.open(inode, openAppend);
    // A page of mapped memory, or pwrite after O_APPEND was cleared.
    await host.write(inode, handle, 2, bytes('XY'), false);
    assert.equal((await contentOf(serving.volume, inode)).toString(), '01XY456789');
  }
});

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
  const daemon = (): SharedFileSystem => new SharedFileSystem('a', () => false, undefined, records);
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
  assert.deepEqual([...records.left.keys()], []);
  await second.own.setlk(inode, flock('9', 'write'), false);
});

test('what the programs of a mount had goes when their host has another mount, and not when another daemon serves it', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const daemon = (mount: string): SharedFileSystem => {
    const guest = new SharedFileSystem('a', () => false, undefined, new MemoryRecords(), mount);
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
    const guest = new SharedFileSystem('a', () => false, undefined, undefined, mount);
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
  const guest = new SharedFileSystem('a', () => false, undefined, undefined, 'mount');
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
  const second = new Serving(await open(store), grace);
  const attempts = [second.own, second.guest('b')].map((other) => other.setlk(inode, flock('9', 'write'), false));
  for (const attempt of attempts) attempt.catch(() => {});
  second.welcome(guest, 'a');
  // This one had none, and says so, too.
  second.guest('c');
  for (const attempt of attempts) await assert.rejects(attempt, { errno: 'EAGAIN' });
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

test('a host that was given up hears so, and opens its files again', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  await serving.server.dismiss('a');
  await serving.own.setlk(inode, flock('9', 'write'), false);
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'x');
  await assert.rejects(async () => guest.fsync(inode, handle, false), { errno: 'EIO' }, 'its lock went to another');
});

test('a guest of a host that opened the volume anew takes its locks again with whatever it asks first', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  await first.volume.syncfs();
  let server = first.server;
  const guest = new SharedFileSystem('a', () => false);
  guest.setBacking({ kind: 'remote', ask: (call) => server.serve('a', call) });
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  // Nothing told the guest: the lease is where it was.
  await first.volume.abandon();
  const second = new Serving(await open(store));
  const others = await second.volume.open(inode, 0);
  server = second.server;
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => second.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
  await second.volume.unlink(root, 'f');
  second.volume.forget(inode, 1);
  await guest.release(inode, handle);
  assert.equal(Buffer.concat(await second.volume.read(inode, others, 0, 10)).toString(), 'x', 'a handle of the table before is nobody else’s');
});

test('a host that was given up for a moment finds its files without a name again', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 2);
  await serving.volume.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  const closeHandles = await serving.server.dismiss('a');
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'x');
  await closeHandles();
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'x');
  await guest.release(inode, handle);
  assert.equal(await attributesOf(serving.volume, inode), undefined);
});

test('a host that is given up and does not come back has nothing open a while later', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  await serving.guest('a').open(inode, 2);
  await serving.volume.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  const closeHandles = await serving.server.dismiss('a');
  assert.ok((await attributesOf(serving.volume, inode)) !== undefined);
  await closeHandles();
  assert.equal(await attributesOf(serving.volume, inode), undefined);
});

test('a host that is given up while it takes its locks again begins anew', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  await guest.setlk(inode, flock('1', 'write'), false);
  let dismissals = 1;
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const answer = serving.server.serve('a', call);
      if (decodeCall(call).method !== 'relock' || dismissals-- <= 0) return answer;
      await answer;
      // The host heard it and gave this one up before the answer was through.
      await serving.server.dismiss('a');
      throw new InfinitError('unavailable', 'the link broke');
    },
  });
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => serving.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
});

test('a failure that comes after the lease ended counts no more than another answer', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  await put(volume, root, 'f', 'x', true);
  const gate = Promise.withResolvers<void>();
  const old = standIn(volume, {
    unlink: async () => {
      await gate.promise;
      throw new FileSystemError('ENOENT');
    },
  });
  let held = true;
  const host = new SharedFileSystem('host', () => held);
  host.setBacking({ kind: 'local', volume: old, appends: new Appends(old), grace: none });
  const removed = host.unlink(root, 'f');
  held = false;
  gate.resolve();
  // The worker hears only later who has the lease.
  await new Promise(setImmediate);
  await volume.syncfs();
  const next = new Serving(await open(store));
  next.welcome(host, 'host');
  await removed;
  assert.equal(await next.volume.lookup(root, 'f'), undefined);
});

test('an operation whose outcome is not known is made again, and done once', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'log', '');
  await serving.volume.mkdir(root, 'd', 0o755, 0, { uid: 0, gid: 0, pid: 1 });
  const guest = serving.guest('a');
  const handle = await guest.open(inode, openAppend);
  const plain = await guest.open(inode, 1);
  let losing = 0;
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const answer = await serving.server.serve('a', call);
      if (losing-- > 0) throw new InfinitError('unknown-outcome', 'the answer was lost');
      return answer;
    },
  });
  // Opens both again at this backing.
  await guest.fsync(inode, handle, true);
  await guest.fsync(inode, plain, true);
  losing = 1;
  await guest.write(inode, plain, 0, bytes('a\n'), false);
  losing = 1;
  await guest.write(inode, handle, 0, bytes('b\n'), false, true);
  assert.equal((await contentOf(serving.volume, inode)).toString(), 'a\nb\n', 'not twice');
  losing = 1;
  await guest.rmdir(root, 'd');
});

test('an operation waits a minute for the lease, later ones of a longer lapse less, and those of another lapse as long again', async (t) => {
  const volume = await open(new MemoryBlockStore());
  let [held, now] = [false, 1_000_000];
  t.mock.method(performance, 'now', () => now);
  const host = new SharedFileSystem('host', () => held);
  host.setBacking({ kind: 'local', volume, appends: new Appends(volume), grace: none });
  /** What comes of an operation within so long: it looks ten times a second. */
  const after = async (...steps: readonly number[]): Promise<unknown[]> => {
    let outcome: unknown = 'waits';
    Promise.resolve(host.getattr(root)).then(
      () => (outcome = 'done'),
      (error: unknown) => (outcome = codeOf(error)),
    );
    const outcomes: unknown[] = [];
    for (const step of steps) {
      now += step;
      await sleep(300);
      outcomes.push(outcome);
    }
    return outcomes;
  };
  assert.deepEqual(await after(55_000, 6000), ['waits', 'unavailable']);
  assert.deepEqual(await after(15_000, 6000), ['waits', 'unavailable']);
  held = true;
  assert.deepEqual(await after(0), ['done']);
  held = false;
  assert.deepEqual(await after(25_000, 30_000, 6000), ['waits', 'waits', 'unavailable']);
  now += 3_600_000;
  assert.deepEqual(await after(25_000), ['waits'], 'what was an hour ago is another lapse');
  held = true;
  assert.deepEqual(await after(0), ['done']);
});

test('a volume is not called closed while its lease cannot be renewed', async () => {
  let held = true;
  const volume = await open(new MemoryBlockStore());
  const shared = new SharedFileSystem('holder', () => held);
  shared.setBacking({ kind: 'local', volume, appends: new Appends(volume), grace: none });
  held = false;
  await assert.rejects(shared.close(), { code: 'unavailable' });
  held = true;
  await shared.close();
});

test('a sync that waits while the volume goes to another host says what was lost with the one before', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', 'old', true);
  let held = true;
  const host = new SharedFileSystem('host', () => held);
  const backing = { kind: 'local', volume, appends: new Appends(volume), grace: none } as const;
  host.setBacking(backing);
  const [handle, other] = [await host.open(inode, 2), await host.open(inode, 2)];
  const directory = await host.opendir(root);
  await host.write(inode, handle, 0, bytes('new'), false);
  await host.mkdir(root, 'd', 0o755, 0, user);
  held = false;
  const syncs = [host.fsync(inode, handle, false), host.fsyncdir(root, directory)];
  host.markLost(volume.unsynced());
  await volume.abandon();
  const next = new Serving(await open(store));
  next.welcome(host, 'host');
  for (const sync of syncs) await assert.rejects(async () => sync, { errno: 'EIO' });
  await host.fsync(inode, handle, false);
  assert.equal(await errnoOf(() => host.fsync(inode, other, false)), 'EIO', 'everybody who had it open hears of it');
  await host.fsync(inode, other, false);
  await host.fsyncdir(root, directory);
  assert.equal((await contentOf(next.volume, inode)).toString(), 'old');
});

test('what a close says of a loss is said at the next sync all the same', async () => {
  const volume = await open(new MemoryBlockStore());
  const { own } = new Serving(volume);
  const inode = await put(volume, root, 'f', 'old', true);
  const handle = await own.open(inode, 2);
  own.markLost([inode]);
  // A shell that appends looks at no close.
  assert.equal(await errnoOf(() => own.flush(inode, handle, 'x')), 'EIO');
  await own.release(inode, handle);
  const later = await own.open(inode, 2);
  assert.equal(await errnoOf(() => own.fsync(inode, later, false)), 'EIO');
  await own.fsync(inode, later, false);
  await own.flush(inode, later, 'x');
});

test('a read that waited for the lease is done again: what the cache gave was good for that moment only', async () => {
  const volume = await open(new MemoryBlockStore());
  const inode = await put(volume, root, 'f', 'right', true);
  let held = true;
  const host = new SharedFileSystem('host', () => held);
  const memory = new Uint8Array(5);
  const lending = standIn(volume, { read: async () => (memory.set(bytes('right')), [memory]) });
  host.setBacking({ kind: 'local', volume: lending, appends: new Appends(volume), grace: none });
  const handle = await host.open(inode, 0);
  const reading = host.read(inode, handle, 0, 5);
  held = false;
  // A turn later the cache has given the memory to another block.
  await new Promise(setImmediate);
  memory.set(bytes('wrong'));
  held = true;
  assert.equal(Buffer.concat([...(await reading)]).toString(), 'right');
  await host.close();
});

test('an operation that waits for a block when the lease ends is done at the next host, and never in the volume that was lost', async () => {
  const store = new MemoryBlockStore();
  const first = await open(store);
  const inode = await put(first, root, 'f', 'old', true);
  await first.close();
  const gate = Promise.withResolvers<void>();
  let slow = false;
  const way: BlockStore = {
    get: (address) => store.get(address),
    fetch: async (address) => {
      if (slow) await gate.promise;
      return store.fetch(address);
    },
    commit: (stages) => store.commit(stages),
  };
  const lost = await open(way);
  const host = new SharedFileSystem('host', () => true);
  host.setBacking({ kind: 'local', volume: lost, appends: new Appends(lost), grace: none });
  slow = true;
  const handle = host.open(inode, 2);
  const change = host.setattr(inode, { mode: 0o600 });
  const made = host.mkdir(root, 'd', 0o755, 0, user);
  const next = new Serving(await open(store));
  next.welcome(host, 'host');
  await lost.abandon();
  gate.resolve();
  await Promise.all([change, made]);
  assert.equal((await next.volume.getattr(inode)).mode & 0o777, 0o600);
  assert.ok((await next.volume.lookup(root, 'd')) !== undefined);
  await host.write(inode, await handle, 0, bytes('new'), false);
  assert.equal((await contentOf(next.volume, inode)).toString(), 'new');
});

test('a file that a program has open and that has no name any more outlives the host that served it, until it is closed', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const guest = first.guest('a');
  const kept = await put(first.volume, root, 'kept', 'text', true);
  const left = await put(first.volume, root, 'left', 'text', true);
  const handle = await guest.open(kept, 2);
  await first.volume.open(left, 2);
  for (const name of ['kept', 'left']) await guest.unlink(root, name);
  await first.volume.abandon();
  const opened = Promise.withResolvers<void>();
  const volume = await open(store, {}, { othersOpened: opened.promise });
  const second = new Serving(volume);
  second.welcome(guest, 'a');
  // Idle, as far as the program is concerned.
  await eventually('it is open there', () => (second.opens > 0 ? true : undefined));
  opened.resolve();
  await eventually('what nobody has open is gone', async () => ((await attributesOf(volume, left)) === undefined ? true : undefined));
  assert.equal(Buffer.concat(await guest.read(kept, handle, 0, 10)).toString(), 'text');
  await guest.release(kept, handle);
  await eventually('it goes when it is closed', async () => ((await attributesOf(volume, kept)) === undefined ? true : undefined));
});

test('a file that loses its name before the host whose program has it open has opened it at the new holder stays until then', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const names = ['open', 'replaced', 'unused'];
  const inodes = await Promise.all(names.map((name) => put(first.volume, root, name, 'text', true)));
  await put(first.volume, root, 'new', '', true);
  await first.volume.abandon();
  const opened = Promise.withResolvers<void>();
  const volume = await open(store, {}, { othersOpened: opened.promise });
  const [inode, replaced, unused] = inodes as [number, number, number];
  // Another host's program, and the new holder's kernel, which drops what it knew of it.
  for (const name of ['open', 'unused']) await volume.unlink(root, name);
  await volume.rename(root, 'new', root, 'replaced', 0);
  await volume.syncfs();
  volume.forget(inode, 1);
  const handles = [await volume.open(inode, 2), await volume.open(replaced, 0)];
  await volume.release(replaced, handles[1]!);
  assert.ok((await attributesOf(volume, replaced)) !== undefined, 'another host may have it open, too');
  opened.resolve();
  for (const gone of [replaced, unused])
    await eventually('what nobody has open is gone', async () => ((await attributesOf(volume, gone)) === undefined ? true : undefined));
  assert.equal((await contentOf(volume, inode)).toString(), 'text');
  await volume.release(inode, handles[0]!);
  assert.equal(await attributesOf(volume, inode), undefined);
  const made = await put(volume, root, 'made', '', true);
  volume.forget(made, 1);
  await volume.unlink(root, 'made');
  assert.equal(await attributesOf(volume, made), undefined);
  await volume.close();
});

test('a file that is opened while the volume moves is opened once at the host where it counts, and closed there', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'text', true);
  const guest = new SharedFileSystem('a', () => false);
  const opening = guest.open(inode, 2);
  serving.welcome(guest, 'a');
  const handle = await opening;
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 4)).toString(), 'text');
  assert.equal(serving.opens, 1);
  // At home, in a lapse of the lease: what was opened there before the lapse is still good.
  let held = true;
  const { volume } = serving;
  const host = new SharedFileSystem('host', () => held);
  host.setBacking({ kind: 'local', volume, appends: new Appends(volume), grace: none });
  const kept = await host.open(inode, 2);
  held = false;
  const read = host.read(inode, kept, 0, 4);
  await new Promise(setImmediate);
  held = true;
  await read;
  await host.release(inode, kept);
  await guest.unlink(root, 'f');
  await guest.release(inode, handle);
  volume.forget(inode, 1);
  await eventually('nobody has it open', async () => ((await attributesOf(volume, inode)) === undefined ? true : undefined));
});

test('a file that cannot be opened again for want of an answer is tried until it is open or closed', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const [kept, closed] = [await put(serving.volume, root, 'kept', 'text', true), await put(serving.volume, root, 'closed', 'text', true)];
  const guest = serving.guest('a');
  await guest.open(kept, 2);
  const handle = await guest.open(closed, 2);
  serving.opens = 0;
  let cut = true;
  const refused: unknown[] = [];
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const { method, args } = decodeCall(call);
      if (cut && method === 'open') {
        refused.push(args[0]);
        throw new InfinitError('deadline-exceeded', 'no answer');
      }
      const answer = await serving.server.serve('a', call);
      if (method === 'open') serving.opens++;
      return answer;
    },
  });
  await eventually('both were tried', () => (new Set(refused).size === 2 ? true : undefined));
  await guest.release(closed, handle);
  cut = false;
  await eventually('what a program has open is open', () => (serving.opens > 0 ? true : undefined));
  assert.equal(serving.opens, 1);
});

test('an orphan of before is not removed by what a kernel gives back while hosts still open theirs', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', 'text', true);
  await before.open(inode, 2);
  await before.unlink(root, 'f');
  await before.syncfs();
  await before.abandon();
  const opened = Promise.withResolvers<void>();
  const volume = await open(store, {}, { othersOpened: opened.promise });
  volume.forget(inode, 1);
  await new Promise(setImmediate);
  const handle = await volume.open(inode, 2);
  opened.resolve();
  assert.equal((await contentOf(volume, inode)).toString(), 'text');
  await volume.release(inode, handle);
  await eventually('it goes when it is closed', async () => ((await attributesOf(volume, inode)) === undefined ? true : undefined));
});
