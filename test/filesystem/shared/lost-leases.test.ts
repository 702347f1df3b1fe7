import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codeOf, InfinitError, programPatienceMs, waningPatienceMs } from '../../../src/base/index.ts';
import { FileSystemError, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { retryMs } from '../../../src/filesystem/shared/repeating.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import type { BlockStore } from '../../../src/store/index.ts';
import { bytes, contentOf, errnoOf, open, put, root, user } from '../harness.ts';
import { none, Serving, standIn } from './serving.ts';
import { VirtualTime } from './virtual-time.ts';

const openAppend = 0o2001;

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
  host.setBacking({ kind: 'local', volume: old, grace: none });
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
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const time = new VirtualTime();
  let held = false;
  const host = new SharedFileSystem('host', () => held, { clock: time.clock });
  host.setBacking({ kind: 'local', volume, grace: none });
  /** What has come of an operation after each of these times. */
  const after = async (...steps: readonly number[]): Promise<unknown[]> => {
    let outcome: unknown = 'waits';
    Promise.resolve(host.getattr(root)).then(
      () => (outcome = 'done'),
      (error: unknown) => (outcome = codeOf(error)),
    );
    const outcomes: unknown[] = [];
    for (const step of steps) {
      time.jump(step);
      t.mock.timers.tick(retryMs);
      await time.pass(0);
      outcomes.push(outcome);
    }
    return outcomes;
  };
  assert.deepEqual(await after(programPatienceMs - 1, 1), ['waits', 'unavailable']);
  assert.deepEqual(await after(waningPatienceMs - 1, 1), ['waits', 'unavailable']);
  held = true;
  assert.deepEqual(await after(0), ['done']);
  held = false;
  assert.deepEqual(await after(waningPatienceMs, programPatienceMs - waningPatienceMs - 1, 1), ['waits', 'waits', 'unavailable']);
  time.jump(3_600_000);
  assert.deepEqual(await after(waningPatienceMs), ['waits'], 'what was an hour ago is another lapse');
  held = true;
  assert.deepEqual(await after(0), ['done']);
});

test('a volume is not called closed while its lease cannot be renewed', async () => {
  let held = true;
  const volume = await open(new MemoryBlockStore());
  const shared = new SharedFileSystem('holder', () => held);
  shared.setBacking({ kind: 'local', volume, grace: none });
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
  const backing = { kind: 'local', volume, grace: none } as const;
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
  host.setBacking({ kind: 'local', volume: lending, grace: none });
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
  // The names of the root directory are in memory from the start.
  const parent = (await first.mkdir(root, 'parent', 0o755, 0, user)).inode;
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
  host.setBacking({ kind: 'local', volume: lost, grace: none });
  slow = true;
  const handle = host.open(inode, 2);
  const change = host.setattr(inode, { mode: 0o600 });
  const made = host.mkdir(parent, 'd', 0o755, 0, user);
  const next = new Serving(await open(store));
  next.welcome(host, 'host');
  await lost.abandon();
  gate.resolve();
  await Promise.all([change, made]);
  assert.equal((await next.volume.getattr(inode)).mode & 0o777, 0o600);
  assert.ok((await next.volume.lookup(parent, 'd')) !== undefined);
  await host.write(inode, await handle, 0, bytes('new'), false);
  assert.equal((await contentOf(next.volume, inode)).toString(), 'new');
});
