import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Sealer } from '../../../src/block/index.ts';
import type { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { contentOf, errnoOf, open, put, root, user } from '../harness.ts';
import { Serving } from './serving.ts';
import { begin, guestOf, keeping, mebibyte, next, pattern } from './borrowing-guest.ts';

/** As a kernel does: no more than 1 MiB at a time. */
async function writeAll(guest: SharedFileSystem, inode: number, handle: number, offset: number, data: Buffer): Promise<void> {
  for (let at = 0; at < data.length; at += mebibyte) await guest.write(inode, handle, offset + at, data.subarray(at, at + mebibyte), false);
}

test('a guest that makes a file, writes it, changes its attributes and closes it asks twice before the close is answered', async () => {
  const { serving, guest } = await begin();
  await guest.lookup(root, 'f');
  serving.calls.length = 0;
  const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
  const { inode } = attributes;
  await guest.write(inode, handle, 0, Buffer.from('content'), false);
  const modified = { seconds: 1000, nanoseconds: 7 };
  assert.equal((await guest.setattr(inode, { mode: 0o600, modified, accessed: modified })).mode & 0o777, 0o600);
  assert.equal((await guest.getattr(inode)).size, 7);
  assert.equal((await guest.lookup(root, 'f'))?.size, 7);
  assert.deepEqual(serving.calls, ['create']);
  await guest.flush(inode, handle, '1');
  assert.deepEqual(serving.calls, ['create', 'put']);
  const seen = await serving.own.getattr(inode);
  assert.deepEqual([seen.size, seen.mode & 0o777, seen.modified], [7, 0o600, modified]);
  assert.equal((await contentOf(serving.volume, inode)).toString(), 'content');
  assert.deepEqual((await guest.getattr(inode)).changed, seen.changed);
});

test('whoever looks at a file that a guest is writing sees all that was answered', async () => {
  const { store, serving, guest } = await begin();
  const other = await keeping(serving, store);
  for (const [index, look] of [
    async (inode: number) => (await serving.own.getattr(inode)).size,
    async (inode: number) => (await other.getattr(inode)).size,
    async (_: number, name: string) => (await serving.own.lookup(root, name))?.size,
    async (_: number, name: string) => (await other.lookup(root, name))?.size,
    async (inode: number) => Buffer.concat(await serving.own.read(inode, await serving.own.open(inode, 0), 0, 100)).length,
    async (inode: number) => Buffer.concat(await other.read(inode, await other.open(inode, 0), 0, 100)).length,
    async (inode: number) => Buffer.concat(await guest.read(inode, await guest.open(inode, 0), 0, 100)).length,
    async (inode: number) => (await other.setattr(inode, { mode: 0o600 })).size,
    async (inode: number) => serving.own.lseek(inode, await serving.own.open(inode, 0), 0, 4),
  ].entries()) {
    const { attributes, handle } = await guest.create(root, `f${index}`, 0o644, 0, 1, user);
    const { inode } = attributes;
    await guest.write(inode, handle, 0, Buffer.from('content'), false);
    assert.ok(!serving.calls.includes('put'), `${index}`);
    assert.equal(await look(inode, `f${index}`), 7, `${index}`);
    await guest.write(inode, handle, 7, Buffer.from('more'), false);
    assert.equal((await serving.own.getattr(inode)).size, 11);
    serving.calls.length = 0;
  }
});

test('a stream of a guest goes into the store from there, and over what was there', async () => {
  const data = pattern(20 * mebibyte);
  const { store, serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', pattern(3 * mebibyte), true);
  const handle = await guest.open(inode, 1);
  await writeAll(guest, inode, handle, 0, data);
  await guest.write(inode, handle, 5 * mebibyte + 100, Buffer.from('over'), false);
  data.set(Buffer.from('over'), 5 * mebibyte + 100);
  assert.equal((await guest.getattr(inode)).size, data.length);
  await guest.fsync(inode, handle, false);
  assert.ok(!serving.calls.includes('write'));
  await guest.write(inode, handle, data.length, Buffer.from('tail'), false);
  await guest.flush(inode, handle, '1');
  await guest.release(inode, handle);
  assert.ok((await contentOf(serving.volume, inode)).equals(Buffer.concat([data, Buffer.from('tail')])));
  await serving.volume.abandon();
  store.restart();
  assert.ok((await contentOf(await open(store), inode)).equals(Buffer.concat([data, Buffer.from('tail')])), 'durable when it was closed');
});

test('what a guest has written survives the loss of the host that serves the volume, whether that had taken it or not', async () => {
  for (const when of ['before', 'taken', 'between'] as const) {
    const { store, serving, guest } = await begin();
    const data = pattern(12 * mebibyte);
    const inode = await put(serving.volume, root, 'f', 'x', true);
    const handle = await guest.open(inode, 1);
    await writeAll(guest, inode, handle, 0, data.subarray(0, 2 * mebibyte));
    if (when === 'taken') await guest.fsync(inode, handle, false);
    if (when === 'between') serving.loseAnswers('put');
    const synced = when === 'between' ? guest.fsync(inode, handle, false) : undefined;
    while (when === 'between' && !serving.calls.includes('put')) await new Promise((resolve) => setTimeout(resolve, 1));
    if (when !== 'between') await writeAll(guest, inode, handle, 2 * mebibyte, data.subarray(2 * mebibyte));
    const after = await next(serving, store);
    after.welcome(guest, 'guest', store);
    await synced;
    if (when === 'between') await writeAll(guest, inode, handle, 2 * mebibyte, data.subarray(2 * mebibyte));
    await guest.flush(inode, handle, '1');
    assert.ok((await contentOf(after.volume, inode)).equals(data), when);
  }
});

test('it is not written over what another host wrote since, and its program hears of that once', async () => {
  const { store, serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const handle = await guest.open(inode, 1);
  await guest.write(inode, handle, 0, Buffer.from('mine'), false);
  const after = await next(serving, store);
  await after.own.write(inode, await after.own.open(inode, 1), 0, Buffer.from('theirs'), false);
  after.welcome(guest, 'guest', store);
  assert.equal(await errnoOf(async () => guest.fsync(inode, handle, false)), 'EIO');
  assert.equal(await errnoOf(async () => guest.fsync(inode, handle, false)), 'none');
  assert.equal(await errnoOf(async () => guest.flush(inode, handle, '1')), 'EIO');
  assert.equal(await errnoOf(async () => guest.flush(inode, handle, '1')), 'none');
  assert.equal((await contentOf(after.volume, inode)).toString(), 'theirs');
});

test('a guest that becomes the host that serves the volume goes on with what its programs wrote', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  let isHeld = false;
  const guest = await keeping(
    serving,
    store,
    guestOf(serving, () => isHeld),
  );
  const data = pattern(5 * mebibyte);
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const handle = await guest.open(inode, 1);
  await writeAll(guest, inode, handle, 0, data);
  await serving.volume.abandon();
  store.restart();
  isHeld = true;
  const volume = await open(store);
  const after = new Serving(volume, undefined, guest);
  await guest.fsync(inode, handle, false);
  assert.ok((await contentOf(after.volume, inode)).equals(data));
});

test('a volume without room says so to a guest by the next fsync, and by the close', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store, { sizeBytes: 3 * mebibyte }));
  const guest = await keeping(serving, store);
  const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
  await writeAll(guest, attributes.inode, handle, 0, pattern(5 * mebibyte));
  assert.equal(await errnoOf(async () => guest.fsync(attributes.inode, handle, false)), 'ENOSPC');
  assert.equal(await errnoOf(async () => guest.flush(attributes.inode, handle, '1')), 'ENOSPC');
});

test('appends of a guest and of others each find their place', async () => {
  const { store, serving, guest } = await begin();
  const other = await keeping(serving, store);
  const inode = await put(serving.volume, root, 'f', '', true);
  const handles = await Promise.all([guest.open(inode, 1), other.open(inode, 1), serving.own.open(inode, 1)]);
  const hosts = [guest, other, serving.own];
  for (let index = 0; index < 30; index++) {
    const who = (index % 7) % 3;
    await hosts[who]!.write(inode, handles[who]!, 0, Buffer.from(`${index};`), false, true);
  }
  await Promise.all(hosts.map(async (host, index) => host.fsync(inode, handles[index]!, false)));
  assert.equal((await contentOf(serving.volume, inode)).toString(), Array.from({ length: 30 }, (_, index) => `${index};`).join(''));
});

test('whoever gives a lock back has said what it wrote', async () => {
  for (const kind of ['posix', 'flock'] as const)
    for (const how of ['unlock', 'read', 'close'] as const) {
      const { serving, guest } = await begin();
      const inode = await put(serving.volume, root, 'f', 'x', true);
      const locked = await put(serving.volume, root, 'lock', '', true);
      const [handle, lockHandle] = [await guest.open(inode, 1), await guest.open(locked, 1)];
      const lock = { kind, owner: '7', pid: 7, start: 0, end: Infinity } as const;
      await guest.setlk(locked, { ...lock, type: 'write' }, false);
      await guest.write(inode, handle, 0, Buffer.from('under the lock'), false);
      assert.ok(!serving.calls.includes('put'));
      if (how !== 'close') await guest.setlk(locked, { ...lock, type: how }, false);
      else if (kind === 'posix') await guest.flush(locked, lockHandle, '7');
      else await guest.release(locked, lockHandle, '7');
      assert.ok(serving.calls.includes('put'), `${kind} ${how}`);
      assert.ok(!serving.calls.slice(0, serving.calls.indexOf('put')).includes(how === 'close' ? (kind === 'posix' ? 'flush' : 'release') : 'none'));
      assert.equal((await contentOf(serving.volume, inode)).toString(), 'under the lock');
    }
});

test('blocks of what a guest writes over before it has said it do not stay', async () => {
  const { store, serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const handle = await guest.open(inode, 1);
  const before = store.immutableBytes;
  for (let time = 0; time < 5; time++) {
    await guest.write(inode, handle, 0, pattern(mebibyte), false);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await guest.fsync(inode, handle, false);
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok((await contentOf(serving.volume, inode)).equals(pattern(mebibyte)));
  assert.ok(store.immutableBytes - before < 1.5 * mebibyte, `${store.immutableBytes - before} bytes`);
});

test('what a program finds by name has all that programs of its host wrote, also where another host came to serve the volume', async () => {
  const { store, serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const handle = await guest.open(inode, 1);
  await guest.write(inode, handle, 0, Buffer.from('content'), false);
  const after = await next(serving, store);
  after.welcome(guest, 'guest', store);
  assert.equal((await guest.lookup(root, 'f'))?.size, 7);
});

test('a session that has no numbers for blocks left lends nothing, and guests write as before', async () => {
  const { serving, guest } = await begin();
  const { lending } = serving.volume;
  const { lend } = lending;
  lending.lend = () => Promise.resolve(undefined);
  const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
  await guest.write(attributes.inode, handle, 0, Buffer.from('content'), false);
  assert.ok(serving.calls.includes('write'));
  assert.equal((await contentOf(serving.volume, attributes.inode)).toString(), 'content');
  lending.lend = lend;
});

test('a guest that has used up the numbers that came with a file borrows it anew, and no two blocks bear the same', async () => {
  // Takes longer than what is granted lasts, at times.
  const data = pattern(80 * mebibyte);
  const { store, serving, guest } = await begin();
  const { lending } = serving.volume;
  const lend = lending.lend.bind(lending);
  const ranges: { readonly from: number; readonly to: number }[] = [];
  lending.lend = async (number, note) => {
    const lent = await lend(number, note);
    if (lent !== undefined) ranges.push({ from: lent.sequence, to: lent.sequence + 67 });
    return lent && { ...lent, sequences: 67 };
  };
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const handle = await guest.open(inode, 1);
  await writeAll(guest, inode, handle, 0, data);
  await guest.fsync(inode, handle, false);
  assert.ok((await contentOf(serving.volume, inode)).equals(data));
  const sealer = new Sealer();
  const opened = await Promise.all([...store.immutableAddresses()].map(async (address) => sealer.open(address, await store.get(address)).owner));
  const lent = opened.filter((owner) => owner.inode === inode && owner.sequence >= ranges[0]!.from).map(({ sequence }) => sequence);
  assert.ok(lent.length > 0);
  assert.equal(new Set(lent).size, lent.length);
  assert.ok(lent.every((sequence) => ranges.some(({ from, to }) => sequence > from && sequence <= to)));
});

test('a host of an earlier version is sent each write, and where it comes to serve the volume what it was not told is lost, said once', async () => {
  const { store, serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const handle = await guest.open(inode, 1);
  await guest.write(inode, handle, 0, Buffer.from('content'), false);
  const after = await next(serving, store);
  after.unknown.add('borrow').add('put');
  after.welcome(guest, 'guest', store);
  assert.equal(await errnoOf(async () => guest.fsync(inode, handle, false)), 'EIO');
  assert.equal(await errnoOf(async () => guest.fsync(inode, handle, false)), 'none');
  assert.equal(await errnoOf(async () => guest.flush(inode, handle, '1')), 'EIO');
  await guest.write(inode, handle, 0, Buffer.from('again'), false);
  assert.equal((await contentOf(after.volume, inode)).toString(), 'again');
  await guest.flush(inode, handle, '1');
});

test('names that a guest gives to a file that it writes, or takes from it, lose nothing of that where the host that serves the volume cannot ask for it', async () => {
  const { serving, guest } = await begin();
  guest.recall = () => Promise.reject(new Error('not heard'));
  for (const [index, change] of [
    async (inode: number, name: string) => guest.link(inode, root, `${name} too`),
    async (_: number, name: string) => guest.rename(root, name, root, `${name} moved`, 0),
    async (_: number, name: string) => guest.unlink(root, name),
  ].entries()) {
    // As kernels do.
    await guest.lookup(root, `f${index}`);
    const { attributes, handle } = await guest.create(root, `f${index}`, 0o644, 0, 1, user);
    const { inode } = attributes;
    await guest.write(inode, handle, 0, Buffer.from('content'), false);
    await change(inode, `f${index}`);
    await guest.flush(inode, handle, '1');
    assert.equal((await contentOf(serving.volume, inode)).toString(), 'content');
  }
});

test('of a file that a guest makes it knows that it has no extended attributes, and it makes the names in a directory durable with one question', async () => {
  const { serving, guest } = await begin();
  const directory = await guest.opendir(root);
  const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
  serving.calls.length = 0;
  assert.equal(await errnoOf(async () => guest.getxattr(attributes.inode, 'security.capability')), 'ENODATA');
  assert.deepEqual(await guest.listxattr(attributes.inode), []);
  assert.deepEqual(serving.calls, []);
  await guest.write(attributes.inode, handle, 0, Buffer.from('x'), false);
  await guest.fsync(attributes.inode, handle, false);
  serving.calls.length = 0;
  await guest.fsyncdir(root, directory);
  await guest.releasedir(root, directory);
  assert.equal(serving.calls.filter((method) => method === 'fsyncdir').length, 1);
  await guest.setxattr(attributes.inode, 'user.a', Buffer.from('b'), 0, false);
  assert.equal(Buffer.from(await guest.getxattr(attributes.inode, 'user.a')).toString(), 'b');
  assert.deepEqual(await guest.listxattr(attributes.inode), ['user.a']);
});

test('where programs of a guest write more at once than it has memory for, they wait for each other', async () => {
  const { serving, guest } = await begin();
  const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
  const { inode } = attributes;
  // A thread each, past the kernel's cache; first while the file is asked for, then while it is the guest's.
  for (const round of [0, 1]) {
    const writes = Array.from({ length: 80 }, (_, index) =>
      errnoOf(() => guest.write(inode, handle, index * mebibyte, Buffer.alloc(mebibyte, index + round), false)),
    );
    assert.deepEqual(new Set(await Promise.all(writes)), new Set(['none']));
  }
  await guest.fsync(inode, handle, false);
  const content = await contentOf(serving.volume, inode);
  for (let index = 0; index < 80; index++) assert.equal(content[index * mebibyte], index + 1);
});
