/** The name of the time in which nobody but a guest changes a file that its programs map. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MappedFiles } from '../../../src/filesystem/shared/mapped-files.ts';
import { open, put, root } from '../harness.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { guestOf, keeping } from './borrowing-guest.ts';
import { flock, Serving } from './serving.ts';

async function begin(isKept: boolean) {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const inode = await put(serving.volume, root, 'f', 'content', true);
  const guest = guestOf(serving);
  if (isKept) await keeping(serving, store, guest);
  else serving.welcome(guest, 'guest');
  const peer = isKept ? undefined : 'guest';
  return { store, serving, inode, guest, peer, handle: await guest.open(inode, 2) };
}

for (const isKept of [false, true])
  test(`is the same whatever the guest itself does to the file, and whoever looks at it (${isKept ? 'borrowed' : 'not borrowed'})`, async () => {
    const { store, serving, inode, guest, handle } = await begin(isKept);
    const name = await guest.mapping(inode);
    assert.equal(typeof name, 'string');
    const text = Buffer.from('text');
    await guest.write(inode, handle, 0, text, false);
    await guest.writeMapped(inode, handle, 2, text);
    await guest.write(inode, handle, 0, text, false, true);
    await guest.fsync(inode, handle, false);
    await guest.setattr(inode, { size: 100, mode: 0o600 });
    await guest.fallocate(inode, handle, 0, 0, 200);
    await guest.setxattr(inode, 'user.a', text, 0, false);
    await guest.link(inode, root, 'g');
    await guest.rename(root, 'g', root, 'h', 0);
    await guest.write(inode, handle, 0, text, false);
    const other = await keeping(serving, store);
    await other.read(inode, await other.open(inode, 0), 0, 10);
    await serving.own.read(inode, await serving.own.open(inode, 0), 0, 10);
    assert.equal(await guest.mapping(inode), name);
    // As the next process of it would ask.
    assert.equal(serving.grants.mapped.name(peerOf(serving, inode), inode), name);
  });

/** The guest that has a name for the inode. */
function peerOf(serving: Serving, inode: number): string {
  return serving.grants.mapped.peersOf(inode)[0]!;
}

test('is another one once anybody else changed the file, or might in his own memory', async () => {
  for (const what of ['write', 'mapped', 'truncate', 'other guest', 'borrowed'] as const) {
    const { store, serving, inode, guest } = await begin(false);
    const name = await guest.mapping(inode);
    const text = Buffer.from('text');
    const here = await serving.own.open(inode, 2);
    if (what === 'write') await serving.own.write(inode, here, 0, text, false);
    else if (what === 'mapped') await serving.own.writeMapped(inode, here, 0, text);
    else if (what === 'truncate') await serving.own.setattr(inode, { size: 3 });
    else {
      const other = what === 'borrowed' ? await keeping(serving, store) : serving.guest('other');
      await other.write(inode, await other.open(inode, 2), 0, text, false);
    }
    const next = await guest.mapping(inode);
    assert.equal(typeof next, 'string');
    assert.notEqual(next, name, what);
  }
});

test('is the same though the guest was taken for lost, where nobody had a lock meanwhile that its programs had, or of the file', async () => {
  const { serving, inode, guest } = await begin(false);
  const unmapped = await put(serving.volume, root, 'g', 'content', true);
  const name = await guest.mapping(inode);
  await guest.setlk(inode, flock('owner', 'write'), false);
  for (let time = 0; time < 2; time++) {
    await serving.server.dismiss('guest');
    await serving.own.setlk(unmapped, flock('other', 'write'), false);
    // It lets the guest in again, which locks again what it had.
    assert.equal(await guest.mapping(inode), name);
    await guest.relocked();
    assert.equal((await serving.own.getlk(inode, flock('other', 'read')))?.type, 'write');
    await serving.own.setlk(unmapped, flock('other', 'unlock'), false);
    assert.equal(await guest.mapping(inode), name, 'the others are told that the lock is held');
  }
});

test('is another one once the guest was taken for lost and anybody had a lock that its programs had, or of the file', async () => {
  for (const [what, by] of [
    ['locked', 'here'],
    ['locked', 'other guest'],
    ['locked', 'look'],
    ['lent', 'here'],
    ['mapped', 'here'],
    ['mapped', 'other guest'],
  ] as const) {
    const { serving, inode, guest } = await begin(false);
    const locked = await put(serving.volume, root, 'g', 'content', true);
    const name = await guest.mapping(inode);
    assert.equal(serving.grants.mapped.name('guest', inode), name);
    if (what === 'locked') await guest.setlk(locked, flock('owner', 'write'), false);
    if (what === 'lent') assert.equal(typeof serving.grants.lentLocks.lend('guest', locked), 'number');
    const other = serving.guest('other');
    await other.getattr(root);
    await serving.server.dismiss('guest');
    const which = what === 'mapped' ? inode : locked;
    if (by === 'look') assert.equal(await serving.own.getlk(which, flock('other', 'read')), undefined);
    else {
      const program = by === 'here' ? serving.own : other;
      await program.setlk(which, flock('other', 'read'), false);
      await program.setlk(which, flock('other', 'unlock'), false);
    }
    assert.notEqual(await guest.mapping(inode), name, `${what}, ${by}`);
  }
});

test('there is none where the volume is open in this process, or where the host that serves it knows of no such thing', async () => {
  const { serving, inode, guest } = await begin(false);
  assert.equal(serving.own.mapping(inode), undefined);
  serving.unknown.add('mapped');
  assert.equal(await guest.mapping(inode), undefined);
  serving.unknown.clear();
  assert.equal(await guest.mapping(inode), undefined, 'it is not asked again');
});

test('a guest that has the file for itself need not ask again', async () => {
  const { serving, inode, guest, handle } = await begin(true);
  await guest.write(inode, handle, 0, Buffer.from('text'), false);
  const name = await guest.mapping(inode);
  serving.calls.length = 0;
  assert.equal(guest.mapping(inode), name);
  await serving.own.write(inode, await serving.own.open(inode, 2), 0, Buffer.from('theirs'), false);
  assert.notEqual(await guest.mapping(inode), name);
});

test('names of too many files make those be forgotten that were named first', () => {
  const files = new MappedFiles();
  const [first, second] = [files.name('a', 1), files.name('b', 1)];
  assert.notEqual(first, second);
  for (let inode = 2; inode <= 65_536; inode++) files.name('a', inode);
  assert.deepEqual([files.name('b', 1) === second, files.name('a', 1) === first], [true, false]);
});
