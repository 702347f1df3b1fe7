import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Sealer } from '../../../src/block/index.ts';
import { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { contentOf, errnoOf, open, put, root, user } from '../harness.ts';
import { Serving } from './serving.ts';

const mebibyte = 1024 * 1024;

let guests = 0;

async function keeping(serving: Serving, store: MemoryBlockStore, guest = new SharedFileSystem('guest', () => false)): Promise<SharedFileSystem> {
  serving.welcome(guest, `guest ${++guests}`, store);
  await guest.getattr(root);
  while (!serving.calls.includes('renew')) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 1));
  await guest.getattr(root);
  serving.calls.length = 0;
  return guest;
}

async function begin(): Promise<{ store: MemoryBlockStore; serving: Serving; guest: SharedFileSystem }> {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  return { store, serving, guest: await keeping(serving, store) };
}

/** The host that serves the volume is lost, and another one opens it. */
async function next(serving: Serving, store: MemoryBlockStore): Promise<Serving> {
  await serving.volume.abandon();
  store.restart();
  return new Serving(await open(store));
}

function pattern(bytes: number): Buffer {
  const data = Buffer.alloc(bytes);
  for (let at = 0; at + 4 <= bytes; at += 4) data.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return data;
}

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
  const guest = await keeping(serving, store, new SharedFileSystem('guest', () => isHeld));
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

test('a guest reads what it writes in turn without giving it back, and what it sees is what was written last', async () => {
  const { store, serving, guest } = await begin();
  const other = await keeping(serving, store);
  const data = pattern(3 * mebibyte);
  const inode = await put(serving.volume, root, 'f', data, true);
  await serving.volume.syncfs();
  const handle = await guest.open(inode, 2);
  const read = async (offset: number, length: number): Promise<Buffer> => Buffer.concat(await guest.read(inode, handle, offset, length));
  const write = async (offset: number, bytes: Buffer): Promise<void> => {
    await guest.write(inode, handle, offset, bytes, false);
    bytes.copy(data, offset);
  };
  const same = async (offset: number, length: number): Promise<void> =>
    assert.ok((await read(offset, length)).equals(data.subarray(offset, offset + length)), `${length} at ${offset}`);
  await same(0, 100);
  serving.calls.length = 0;
  for (let turn = 0; turn < 20; turn++) {
    const at = turn * 4096;
    await same(at, 8192);
    await write(at + 100, Buffer.alloc(4096, turn));
    // All of it is in memory.
    await same(at + 200, 1000);
    // Some of it is.
    await same(at, 8192);
    if (turn % 3 === 2) await guest.fsync(inode, handle, true);
    await same(at + 200, 1000);
  }
  assert.equal(serving.calls.filter((method) => method === 'borrow').length, 1);
  assert.deepEqual(
    new Set(serving.calls),
    new Set(['borrow', 'put', 'readLent', 'read', 'images', 'stored'].filter((method) => serving.calls.includes(method))),
  );
  // Blocks that are in the store already, and the end of the file.
  await write(mebibyte, pattern(mebibyte).map((byte) => byte ^ 255) as Buffer);
  await same(mebibyte - 10, 100_000);
  await same(3 * mebibyte - 10, 10);
  assert.equal((await read(3 * mebibyte, 10)).length, 0);
  const end = data.length + 5000;
  await guest.write(inode, handle, end, Buffer.from('end'), false);
  assert.deepEqual(await read(data.length - 2, 10_000), Buffer.concat([data.subarray(-2), Buffer.alloc(5000), Buffer.from('end')]));
  assert.deepEqual(Buffer.concat(await other.read(inode, await other.open(inode, 0), end - 1, 10)), Buffer.from('\0end'));
});

test('a guest that only reads a file which it has borrowed gives it back, and goes on reading from the store', async () => {
  const { serving, guest } = await begin();
  const data = pattern(mebibyte);
  const inode = await put(serving.volume, root, 'f', data, true);
  await serving.volume.syncfs();
  const handle = await guest.open(inode, 2);
  await guest.write(inode, handle, 0, data.subarray(0, 10), false);
  const look = async (from: number, to: number): Promise<void> => {
    for (let turn = from; turn < to; turn++) {
      const at = turn * 1000;
      assert.ok(Buffer.concat(await guest.read(inode, handle, at, 500)).equals(data.subarray(at, at + 500)), `at ${at}`);
    }
  };
  await look(1, 20);
  await serving.volume.recall();
  serving.calls.length = 0;
  await look(20, 60);
  assert.deepEqual(serving.calls, ['stored']);
});

test('what another host wrote is read once it has asked a file back that was read here', async () => {
  const { serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', 'before', true);
  const handle = await guest.open(inode, 2);
  const own = await serving.own.open(inode, 2);
  const read = async (): Promise<string> => Buffer.concat(await guest.read(inode, handle, 0, 100)).toString();
  for (let turn = 0; turn < 5; turn++) {
    await guest.write(inode, handle, 0, Buffer.from('guest '), false);
    assert.equal(await read(), 'guest ');
    await serving.own.write(inode, own, 2, Buffer.from(`${turn}`), false);
    assert.equal(await read(), `gu${turn}st `);
    assert.equal(Buffer.concat(await serving.own.read(inode, own, 0, 100)).toString(), `gu${turn}st `);
  }
});

test('where the serving host is of a version that lets nothing be read of what it lent, that is given back and read', async () => {
  const { serving, guest } = await begin();
  serving.unknown.add('readLent');
  const inode = await put(serving.volume, root, 'f', 'before', true);
  const handle = await guest.open(inode, 2);
  await guest.write(inode, handle, 0, Buffer.from('be'), false);
  const read = async (): Promise<string> => Buffer.concat(await guest.read(inode, handle, 0, 100)).toString();
  assert.equal(await read(), 'before');
  serving.calls.length = 0;
  await guest.write(inode, handle, 0, Buffer.from('xx'), false);
  assert.equal(await read(), 'xxfore');
  assert.equal(serving.calls.includes('borrow'), false);
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

test('what a guest wrote last of a file that it reads, too, it knows yet once that was answered, and nothing that was written over', async () => {
  const { serving, guest } = await begin();
  const data = pattern(3 * mebibyte);
  const inode = await put(serving.volume, root, 'f', data, true);
  const handle = await guest.open(inode, 2);
  const write = async (offset: number, bytes: Uint8Array): Promise<void> => {
    await guest.write(inode, handle, offset, bytes, false);
    data.set(bytes, offset);
    await guest.fsync(inode, handle, true);
  };
  const same = async (offset: number, length: number): Promise<void> =>
    assert.ok(
      Buffer.concat(await guest.read(inode, handle, offset, length)).equals(data.subarray(offset, offset + length)),
      `${length} at ${offset}`,
    );
  await write(0, Buffer.alloc(4096, 1));
  await same(0, 100);
  for (let turn = 2; turn < 40; turn++) {
    await write(turn * 100, Buffer.alloc(4096, turn));
    serving.calls.length = 0;
    await same(turn * 100, 4096);
    assert.deepEqual(serving.calls, []);
    await same(0, 10_000);
  }
  // In a block of its own, which nobody has in memory once it was answered.
  await write(2000, pattern(mebibyte).subarray(0, 600_000));
  await same(0, 10_000);
  await write(3000, Buffer.alloc(30_000, 7));
  await same(0, 40_000);
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
