import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { errnoOf, open, put, root, user } from '../harness.ts';
import { attributesOf, Serving } from './serving.ts';

const mebibyte = 1024 * 1024;

/** A file that a guest has open without having asked for it. */
async function openedFromMemory(): Promise<{ serving: Serving; inode: number; guest: SharedFileSystem; handle: number }> {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'content', true);
  serving.volume.forget(inode, 1);
  const guest = await serving.keepingGuest();
  await guest.lookup(root, 'f');
  const handle = await guest.open(inode, 0);
  return { serving, inode, guest, handle };
}

async function textOf(guest: SharedFileSystem, inode: number): Promise<string> {
  const handle = await guest.open(inode, 0);
  const text = Buffer.concat(await guest.read(inode, handle, 0, 1000)).toString('latin1');
  await guest.release(inode, handle);
  return text;
}

test('what a guest has looked up it answers itself: names, absences, attributes, links, extended attributes, contents, opens and closes', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'content', true);
  await serving.volume.setxattr(inode, 'user.a', Buffer.from('b'), 0, false);
  const link = (await serving.volume.symlink(root, 'l', 'f', user)).inode;
  const guest = await serving.keepingGuest();
  const look = async (): Promise<void> => {
    assert.equal((await guest.lookup(root, 'f'))?.size, 7);
    assert.equal(await guest.lookup(root, 'absent'), undefined);
    assert.equal((await guest.getattr(inode)).links, 1);
    assert.equal((await guest.lookup(root, 'l'))?.inode, link);
    assert.equal(await guest.readlink(link), 'f');
    assert.equal(Buffer.from(await guest.getxattr(inode, 'user.a')).toString(), 'b');
    assert.equal(await errnoOf(async () => guest.getxattr(inode, 'security.capability')), 'ENODATA');
    assert.deepEqual(await guest.listxattr(inode), ['user.a']);
    assert.equal(await textOf(guest, inode), 'content');
  };
  await look();
  serving.calls.length = 0;
  await look();
  assert.deepEqual(serving.calls, []);
});

test('each change by another host is seen at once, whatever of the volume a guest has in memory', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const { own } = serving;
  const inode = await put(serving.volume, root, 'f', 'content', true);
  const guest = await serving.keepingGuest();
  const other = serving.guest('other');
  const changes: readonly [
    string,
    () => unknown,
    (seen: { size?: number; mode?: number; text: string; links?: number; names: string }) => boolean,
  ][] = [
    ['mode', () => own.setattr(inode, { mode: 0o600 }), ({ mode }) => mode === 0o100600],
    ['size', () => other.setattr(inode, { size: 3 }), ({ size, text }) => size === 3 && text === 'con'],
    ['content', async () => own.write(inode, await own.open(inode, 1), 0, Buffer.from('C'), false), ({ text }) => text === 'Con'],
    ['content of a guest', async () => other.write(inode, await other.open(inode, 1), 1, Buffer.from('O'), false), ({ text }) => text === 'COn'],
    ['a name', () => own.link(inode, root, 'g'), ({ links, names }) => links === 2 && names === 'fg'],
    ['no name', () => other.unlink(root, 'g'), ({ links, names }) => links === 1 && names === 'f'],
    ['another name', () => own.rename(root, 'f', root, 'h', 0), ({ names }) => names === 'h'],
    ['and back', () => other.rename(root, 'h', root, 'f', 0), ({ names }) => names === 'f'],
    ['an attribute', () => own.setxattr(inode, 'user.x', Buffer.from('y'), 0, false), ({ text }) => text === 'COn'],
  ];
  const see = async (): Promise<Parameters<(typeof changes)[number][2]>[0]> => {
    const found = await Promise.all(['f', 'g', 'h'].map(async (name) => ((await guest.lookup(root, name)) === undefined ? '' : name)));
    const { size, mode, links } = await guest.getattr(inode);
    return { size, mode, links, text: await textOf(guest, inode), names: found.join('') };
  };
  for (const [what, change, isSeen] of changes) {
    // For a moment after a change nothing is granted of what was asked back.
    await serving.time.pass(110);
    await see();
    await see();
    await change();
    const seen = await see();
    assert.ok(isSeen(seen), `${what}: ${JSON.stringify(seen)}`);
  }
  assert.equal(Buffer.from(await guest.getxattr(inode, 'user.x')).toString(), 'y');
});

test('a file that a guest opened from memory stays when another host removes its name', async () => {
  const { serving, inode, guest, handle } = await openedFromMemory();
  assert.equal(serving.opens, 0);
  await serving.own.unlink(root, 'f');
  assert.equal(serving.opens, 1, 'it said that it has it open before the name went');
  await serving.volume.syncfs();
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'content');
  await guest.release(inode, handle);
  // What was looked up a moment ago stays for a moment.
  while ((await attributesOf(serving.volume, inode)) !== undefined) await new Promise((resolve) => setTimeout(resolve, 20));
});

test('so does one that it removes itself', async () => {
  const { serving, inode, guest, handle } = await openedFromMemory();
  await guest.unlink(root, 'f');
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'content');
  await guest.release(inode, handle);
  assert.equal(await attributesOf(serving.volume, inode), undefined);
});

test('a large file’s blocks a guest reads itself, and never what they were before a change', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const data = Buffer.alloc(3 * mebibyte);
  for (let at = 0; at < data.length; at += 4) data.writeUInt32LE(at, at);
  const inode = await put(serving.volume, root, 'f', data, true);
  await serving.volume.syncfs();
  const guest = await serving.keepingGuest(store);
  await guest.lookup(root, 'f');
  const handle = await guest.open(inode, 0);
  const read = async (offset: number, length: number): Promise<Buffer> => Buffer.concat(await guest.read(inode, handle, offset, length));
  for (const [offset, length] of [
    [0, mebibyte],
    [mebibyte, mebibyte],
    [mebibyte - 10, 100],
    [3 * mebibyte - 5, 100],
    [3 * mebibyte, 10],
  ] as const)
    assert.ok((await read(offset, length)).equals(data.subarray(offset, offset + length)), `${length} at ${offset}`);
  assert.equal(serving.calls.filter((method) => method === 'read').length, 1, 'but the one behind its end');
  await serving.own.write(inode, await serving.own.open(inode, 1), 100, Buffer.from('new'), false);
  assert.equal((await read(98, 7)).subarray(2, 5).toString(), 'new');
  // Its old blocks go with that, which the guest may not have been told of if it reads on without asking.
  await serving.own.setattr(inode, { size: 0 });
  await serving.volume.recall();
  assert.equal((await read(0, 100)).length, 0);
});

test('how long attributes of a large file are good is said of those that are in memory alone', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', Buffer.alloc(mebibyte, 'a'), true);
  const guest = await serving.keepingGuest(new MemoryBlockStore());
  await guest.lookup(root, 'f');
  const known = await guest.getattr(inode);
  assert.ok(guest.guardedMs(known) > 0 && guest.guardedMs(known) <= 1000);
  await serving.own.setattr(inode, { mode: 0o600 });
  assert.equal(guest.guardedMs(known), 0);
  const now = await guest.getattr(inode);
  assert.equal(guest.guardedMs(known), 0, 'others are in memory now');
  assert.equal(now.mode & 0o777, 0o600);
});

test('where the parts of a large file lie is asked once each, in whichever order they are read, and anew after a change', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', Buffer.alloc(mebibyte, 'a'), true);
  const writer = await serving.own.open(inode, 1);
  const places = [0, 40, 80, 120].map((at) => at * mebibyte);
  for (const at of places) await serving.own.write(inode, writer, at, Buffer.alloc(mebibyte, `${at / mebibyte}`.slice(0, 1)), false);
  await serving.volume.syncfs();
  const guest = await serving.keepingGuest(store);
  await guest.lookup(root, 'f');
  const handle = await guest.open(inode, 0);
  const look = async (): Promise<string> => {
    let seen = '';
    for (const at of [...places, ...places.toReversed()]) seen += Buffer.concat(await guest.read(inode, handle, at + 5, 1)).toString();
    return seen;
  };
  assert.equal(await look(), '04811840');
  assert.equal(serving.calls.filter((method) => method === 'stored').length, places.length);
  assert.equal(serving.calls.filter((method) => method === 'read').length, 0);
  await serving.own.write(inode, writer, places[1]! + 5, Buffer.from('x'), false);
  await serving.volume.syncfs();
  assert.equal(await look(), '0x8118x0');
});

test('a file that a guest made is durable when it is closed, written to, or looked at by another; if its host is lost before, the next makes it again', async () => {
  for (const settles of ['close', 'write', 'look', 'nothing'] as const) {
    const store = new MemoryBlockStore();
    const before = new Serving(await open(store));
    const guest = await before.keepingGuest();
    const { attributes, handle } = await guest.create(root, 'f', 0o644, 0, 1, user);
    const { inode } = attributes;
    if (settles === 'close') await guest.flush(inode, handle, '1');
    if (settles === 'write') await guest.write(inode, handle, 0, Buffer.from('x'), false);
    if (settles === 'look') assert.notEqual(await before.guest('other').lookup(root, 'f'), undefined);
    await before.volume.abandon();
    store.restart();
    const after = new Serving(await open(store));
    after.welcome(guest, 'guest');
    assert.equal((await guest.lookup(root, 'f'))?.inode, inode, settles);
    assert.equal(after.calls.includes('remake'), settles === 'nothing');
    assert.equal(await errnoOf(async () => guest.flush(inode, handle, '1')), 'none', settles);
    assert.equal(await errnoOf(async () => guest.write(inode, handle, 0, Buffer.from('y'), false)), 'none', settles);
  }
});

test('a directory is said to be durable where what a guest made in it is there at the next host, or can be made there, and otherwise not, once', async () => {
  for (const [sync, isThere, isOlder] of [
    ['fsyncdir', false, true],
    ['fsyncdir', true, true],
    ['syncfs', false, true],
    ['syncfs', true, true],
    ['fsyncdir', false, false],
    ['syncfs', false, false],
  ] as const) {
    const store = new MemoryBlockStore();
    const before = new Serving(await open(store));
    const guest = await before.keepingGuest();
    const directory = await guest.opendir(root);
    await guest.create(root, 'f', 0o644, 0, 1, user);
    if (isThere) await before.volume.syncfs();
    await before.volume.abandon();
    store.restart();
    const after = new Serving(await open(store));
    if (isOlder) for (const method of ['made', 'remake']) after.unknown.add(method);
    after.welcome(guest, 'guest');
    const syncs = (): Promise<string> => errnoOf(async () => (sync === 'syncfs' ? guest.syncfs() : guest.fsyncdir(root, directory)));
    assert.equal(await syncs(), isThere || !isOlder ? 'none' : 'EIO', `${sync}, ${isThere}`);
    assert.equal(await syncs(), 'none');
    assert.equal((await guest.lookup(root, 'f')) !== undefined, isThere || !isOlder);
  }
});

test('a file that a guest opens to make it, and that is there, shows it nothing that is not durable', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', '', true);
  const guest = await serving.keepingGuest();
  await serving.own.write(inode, await serving.own.open(inode, 1), 0, Buffer.from('more'), false);
  assert.equal((await guest.create(root, 'f', 0o644, 0, 1, user)).attributes.size, 4);
  await serving.volume.abandon();
  store.restart();
  assert.equal((await (await open(store)).lookup(root, 'f'))?.size, 4);
});
