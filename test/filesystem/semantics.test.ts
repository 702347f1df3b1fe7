import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, contentOf, errnoOf, look, namesOf, open, put, root, user } from './harness.ts';

test('an unlinked file lives until its last handle and reference go', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const { attributes, handle } = await volume.create(root, 'f', 0o600, 0, 2, user);
  const { inode } = attributes;
  await volume.write(inode, handle, 0, bytes('still here'), false);
  await volume.unlink(root, 'f');
  await volume.syncfs();
  assert.equal((await contentOf(volume, inode)).toString(), 'still here');
  assert.equal((await volume.getattr(inode)).links, 0);
  await volume.release(inode, handle);
  assert.equal((await volume.getattr(inode)).size, 10);
  volume.forget(inode, 1);
  assert.equal(await errnoOf(() => volume.getattr(inode)), 'ESTALE');
  await volume.close();
});

test('a crash removes files that only the dead had open, unless the kernel’s session goes on', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const { attributes, handle } = await volume.create(root, 'f', 0o600, 0, 2, user);
  const { inode } = attributes;
  await volume.write(inode, handle, 0, bytes('x'), false);
  await volume.unlink(root, 'f');
  await volume.recall();
  store.restart();
  volume = await open(store, {}, { resumed: true });
  assert.equal((await contentOf(volume, inode)).toString(), 'x');
  assert.equal(await volume.write(inode, handle, 1, bytes('y'), false), 1);
  await volume.syncfs();
  store.restart();
  volume = await open(store);
  assert.equal(await errnoOf(() => volume.getattr(inode)), 'ESTALE');
});

test('after a resumed session the kernel’s last forget removes the file', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const { attributes, handle } = await volume.create(root, 'f', 0o600, 0, 2, user);
  await volume.unlink(root, 'f');
  await volume.syncfs();
  store.restart();
  volume = await open(store, {}, { resumed: true });
  await volume.release(attributes.inode, handle);
  volume.forget(attributes.inode, 1);
  await volume.syncfs();
  assert.equal(await errnoOf(() => volume.getattr(attributes.inode)), 'ESTALE');
});

test('a file that was open before a restart survives its unlink after it', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const { attributes, handle } = await volume.create(root, 'f', 0o600, 0, 2, user);
  const { inode } = attributes;
  await volume.write(inode, handle, 0, bytes('kept'), false);
  await volume.recall();
  store.restart();
  volume = await open(store, {}, { resumed: true });
  await volume.unlink(root, 'f');
  await volume.recall();
  assert.equal((await contentOf(volume, inode)).toString(), 'kept');
  await volume.release(inode, handle);
  volume.forget(inode, 1);
  assert.equal(await errnoOf(() => volume.getattr(inode)), 'ESTALE');
});

test('O_TMPFILE makes a file that linkat names', async () => {
  const volume = await open(new MemoryBlockStore());
  const { attributes, handle } = await volume.tmpfile(root, 0o600, 0, 2, user);
  assert.equal(attributes.links, 0);
  await volume.write(attributes.inode, handle, 0, bytes('named later'), false);
  assert.deepEqual(await namesOf(volume, root), []);
  assert.equal((await volume.link(attributes.inode, root, 'named')).links, 1);
  await volume.fsync(attributes.inode, handle, false);
  assert.equal(await look(volume, root, 'named'), attributes.inode);
});

test('names of 255 bytes are fine, longer ones are not', async () => {
  const volume = await open(new MemoryBlockStore());
  const name = '\xff'.repeat(255);
  await put(volume, root, name, '');
  assert.deepEqual(await namesOf(volume, root), [name]);
  assert.equal(await errnoOf(() => volume.mkdir(root, 'x'.repeat(256), 0o755, 0, user)), 'ENAMETOOLONG');
  assert.equal(await errnoOf(() => volume.lookup(root, 'x'.repeat(256))), 'ENAMETOOLONG');
});

test('a setgid directory gives its group on, and to directories the bit too', async () => {
  const volume = await open(new MemoryBlockStore());
  const { inode } = await volume.mkdir(root, 'd', 0o755, 0, user);
  await volume.setattr(inode, { gid: 50 });
  await volume.setattr(inode, { mode: 0o2775 });
  assert.equal((await volume.mknod(inode, 'f', 0o100644, 0, 0, user)).gid, 50);
  const below = await volume.mkdir(inode, 'e', 0o755, 0, user);
  assert.equal(below.gid, 50);
  assert.equal(below.mode, 0o042755);
});

test('writes, truncates and chown take suid and sgid away', async () => {
  const volume = await open(new MemoryBlockStore());
  const { inode } = await volume.mknod(root, 'f', 0o100755, 0, 0, user);
  const mode = async (): Promise<number> => (await volume.getattr(inode)).mode & 0o7777;
  await volume.setattr(inode, { mode: 0o6755 });
  await volume.write(inode, 0, 0, bytes('x'), true);
  assert.equal(await mode(), 0o755);
  await volume.setattr(inode, { mode: 0o6755 });
  await volume.setattr(inode, { uid: 5 });
  assert.equal(await mode(), 0o755);
  await volume.setattr(inode, { mode: 0o6745 });
  await volume.setattr(inode, { gid: 5 });
  assert.equal(await mode(), 0o2745, 'without group execution sgid means something else and stays');
});

test('a default ACL is inherited and replaces the umask', async () => {
  const volume = await open(new MemoryBlockStore());
  const acl = Buffer.from('0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff', 'hex');
  const { inode } = await volume.mkdir(root, 'd', 0o755, 0, user);
  await volume.setxattr(inode, 'system.posix_acl_default', acl, 0, false);
  const file = await volume.mknod(inode, 'f', 0o100666, 0, 0o077, user);
  assert.equal(file.mode & 0o777, 0o664);
  assert.deepEqual(await volume.listxattr(file.inode), ['system.posix_acl_access']);
  const below = await volume.mkdir(inode, 'e', 0o777, 0o077, user);
  assert.deepEqual([...(await volume.listxattr(below.inode))].sort(), ['system.posix_acl_access', 'system.posix_acl_default']);
  await volume.setattr(file.inode, { mode: 0o600 });
  const value = Buffer.from(await volume.getxattr(file.inode, 'system.posix_acl_access'));
  assert.equal(value.readUInt16LE(4 + 3 * 8 + 2), 0, 'chmod changes the mask');
});

test('an ACL that says no more than the mode is kept as the mode', async () => {
  const volume = await open(new MemoryBlockStore());
  const { inode } = await volume.mknod(root, 'f', 0o100644, 0, 0, user);
  await volume.setxattr(inode, 'system.posix_acl_access', Buffer.from('0200000001000700ffffffff04000500ffffffff20000000ffffffff', 'hex'), 0, false);
  assert.equal((await volume.getattr(inode)).mode, 0o100750);
  assert.equal(await errnoOf(() => volume.getxattr(inode, 'system.posix_acl_access')), 'ENODATA');
});

test('xattrs: create, replace, list, remove, limits', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', 'x');
  await volume.setxattr(inode, 'user.a', bytes('1'), 1, false);
  assert.equal(await errnoOf(() => volume.setxattr(inode, 'user.a', bytes('2'), 1, false)), 'EEXIST');
  assert.equal(await errnoOf(() => volume.setxattr(inode, 'user.b', bytes('2'), 2, false)), 'ENODATA');
  assert.equal(await errnoOf(() => volume.setxattr(inode, 'other.b', bytes('2'), 0, false)), 'EOPNOTSUPP');
  assert.equal(await errnoOf(() => volume.setxattr(inode, 'user.b', new Uint8Array(60_000), 0, false)), 'ENOSPC');
  await volume.setxattr(inode, 'trusted.big', new Uint8Array(40_000).fill(7), 0, false);
  await volume.close();
  volume = await open(store);
  assert.equal((await volume.getxattr(inode, 'trusted.big')).length, 40_000);
  assert.deepEqual([...(await volume.listxattr(inode))].sort(), ['trusted.big', 'user.a']);
  await volume.removexattr(inode, 'user.a');
  assert.equal(await errnoOf(() => volume.removexattr(inode, 'user.a')), 'ENODATA');
});

test('times keep their nanoseconds, before 1970 too', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', '');
  const modified = { seconds: -5, nanoseconds: 123_456_789 };
  const accessed = { seconds: 2 ** 33, nanoseconds: 1 };
  await volume.setattr(inode, { modified, accessed });
  await volume.close();
  volume = await open(store);
  const attributes = await volume.getattr(inode);
  assert.deepEqual(attributes.modified, modified);
  assert.deepEqual(attributes.accessed, accessed);
});

test('devices, fifos, sockets and links keep what they are', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  await volume.mknod(root, 'dev', 0o020600, 0x0103, 0, user);
  await volume.mknod(root, 'fifo', 0o010600, 0, 0, user);
  await volume.mknod(root, 'sock', 0o140600, 0, 0, user);
  const target = '/\xff/'.repeat(1000);
  await volume.symlink(root, 'link', target, user);
  await volume.close();
  volume = await open(store);
  const dev = await volume.lookup(root, 'dev');
  assert.deepEqual([dev?.mode, dev?.device], [0o020600, 0x0103]);
  assert.equal((await volume.lookup(root, 'fifo'))?.mode, 0o010600);
  assert.equal((await volume.lookup(root, 'sock'))?.mode, 0o140600);
  const link = await volume.lookup(root, 'link');
  assert.equal(link?.size, 3000);
  assert.equal(await volume.readlink(link.inode), target);
  assert.equal(await errnoOf(() => volume.symlink(root, 'l2', 'x'.repeat(4096), user)), 'ENAMETOOLONG');
});

test('a directory cannot move below itself', async () => {
  const volume = await open(new MemoryBlockStore());
  const a = await volume.mkdir(root, 'a', 0o755, 0, user);
  const b = await volume.mkdir(a.inode, 'b', 0o755, 0, user);
  assert.equal(await errnoOf(() => volume.rename(root, 'a', b.inode, 'c', 0)), 'EINVAL');
  assert.equal(await errnoOf(() => volume.rename(a.inode, 'b', root, 'a', 2)), 'EINVAL');
  assert.equal((await volume.lookup(b.inode, '..'))?.inode, a.inode);
});

test('a read-only volume changes nothing', async () => {
  const store = new MemoryBlockStore();
  const writer = await open(store);
  const inode = await put(writer, root, 'f', 'content');
  await writer.close();
  const { writes } = store;
  const volume = await open(store, { readOnly: true });
  assert.equal((await contentOf(volume, inode)).toString(), 'content');
  for (const attempt of [
    () => volume.mkdir(root, 'd', 0o755, 0, user),
    () => volume.unlink(root, 'f'),
    () => volume.write(inode, 0, 0, bytes('x'), false),
    () => volume.setattr(inode, { mode: 0o600 }),
    () => volume.open(inode, 1),
    () => volume.setxattr(inode, 'user.x', bytes('x'), 0, false),
    () => volume.rename(root, 'f', root, 'g', 0),
    () => volume.link(inode, root, 'g'),
  ])
    assert.equal(await errnoOf(attempt), 'EROFS');
  await volume.close();
  assert.equal(store.writes, writes);
});

test('what a dead process had not written is said once for each open file', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const inode = await put(volume, root, 'f', 'content', true);
  store.restart();
  volume = await open(store, {}, { lostInodes: new Set([inode, 99]) });
  assert.equal(await errnoOf(() => volume.fsync(inode, 4711, false)), 'EIO');
  assert.equal(await errnoOf(() => volume.fsync(inode, 4711, false)), 'none');
});

test('dirty and clean are told once each', async () => {
  const told: string[] = [];
  const volume = await open(new MemoryBlockStore(), {}, { onDirty: (inode) => told.push(`+${inode}`), onClean: (inode) => told.push(`-${inode}`) });
  const inode = await put(volume, root, 'f', 'one');
  await volume.write(inode, 0, 3, bytes('two'), false);
  await volume.fsync(inode, 0, false);
  await volume.setattr(inode, { mode: 0o600 });
  await volume.syncfs();
  await volume.write(inode, 0, 0, bytes('three'), false);
  await volume.unlink(root, 'f');
  volume.forget(inode, 1);
  const of = (number: number): string[] => told.filter((event) => Number(event.slice(1)) === number).map((event) => event.slice(0, 1));
  assert.deepEqual(of(inode), ['+', '-', '+', '-']);
  assert.deepEqual(of(root), ['+', '-', '+'], 'names in a directory, too');
});

test('a flush that failed for want of room is told once to each handle, and nothing is lost', async () => {
  let broken = false;
  const store = new MemoryBlockStore();
  const volume = await open({
    get: (address) => store.get(address),
    fetch: (address) => store.fetch(address),
    commit: (stages) => (broken ? Promise.reject(new InfinitError('disk-full', 'injected')) : store.commit(stages)),
  });
  const inode = await put(volume, root, 'f', 'old', true);
  const first = await volume.open(inode, 2);
  const second = await volume.open(inode, 2);
  await volume.write(inode, first, 0, bytes('new'), false);
  broken = true;
  assert.notEqual(await errnoOf(() => volume.syncfs()), 'none');
  broken = false;
  assert.equal(await errnoOf(() => volume.fsync(inode, first, false)), 'ENOSPC');
  assert.equal(await errnoOf(() => volume.fsync(inode, first, false)), 'none');
  assert.equal(await errnoOf(() => volume.flush(inode, second, '0')), 'ENOSPC');
  assert.equal(await errnoOf(() => volume.flush(inode, second, '0')), 'none');
  store.restart();
  assert.equal((await contentOf(await open(store), inode)).toString(), 'new');
});

test('a flush that failed since the store was out of reach is told to nobody, for the next one makes up for it', async () => {
  let broken = false;
  const store = new MemoryBlockStore({ fate: () => (broken ? 'failed' : 'normal') });
  const volume = await open(store);
  const inode = await put(volume, root, 'f', 'old', true);
  const handle = await volume.open(inode, 2);
  await volume.write(inode, handle, 0, bytes('new'), false);
  broken = true;
  assert.equal(await errnoOf(() => volume.syncfs()), 'EIO');
  assert.equal(await errnoOf(() => volume.flush(inode, handle, '0')), 'none');
  broken = false;
  assert.equal(await errnoOf(() => volume.fsync(inode, handle, false)), 'none');
  store.restart();
  assert.equal((await contentOf(await open(store), inode)).toString(), 'new');
});

test('an unknown outcome is failure to the caller, and the next try finds out', async () => {
  let fate: 'normal' | 'unknown-applied' | 'unknown-lost' = 'normal';
  const store = new MemoryBlockStore({ fate: () => fate });
  const volume = await open(store);
  const inode = await put(volume, root, 'f', '0', true);
  for (const [index, next] of (['unknown-applied', 'unknown-lost', 'unknown-applied'] as const).entries()) {
    await volume.write(inode, 0, 0, bytes(String(index + 1)), false);
    await volume.rename(root, index % 2 === 0 ? 'f' : 'g', root, index % 2 === 0 ? 'g' : 'f', 0);
    fate = next;
    assert.equal(await errnoOf(() => volume.fsync(inode, 0, false)), 'EIO');
    fate = 'normal';
    assert.equal(await errnoOf(() => volume.fsync(inode, 0, false)), 'none');
  }
  store.restart();
  const again = await open(store);
  assert.deepEqual(await namesOf(again, root), ['g']);
  assert.equal((await contentOf(again, inode)).toString(), '3');
});

test('a listing is right while names come and go', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const stay = Array.from({ length: 300 }, (_, index) => `stay-${index}`);
  for (const [index, name] of stay.entries()) {
    await put(volume, root, name, '');
    await put(volume, root, `gone-${index}`, '');
  }
  const seen: string[] = [];
  let cookie = 0;
  for (let round = 0; ; round++) {
    const entries = await volume.readdir(root, 0, cookie, 600, round % 2 === 0);
    if (entries.length === 0) break;
    for (const entry of entries) {
      seen.push(entry.name);
      if (entry.attributes !== undefined) volume.forget(entry.inode, 1);
    }
    cookie = entries.at(-1)!.cookie;
    await volume.unlink(root, `gone-${round}`);
    await put(volume, root, `new-${round}`, '');
    if (round % 5 === 0) await volume.syncfs();
    if (round % 7 === 0) await volume.recall();
  }
  assert.deepEqual(seen.filter((name) => name.startsWith('stay')).sort(), [...stay].sort());
  assert.equal(new Set(seen).size, seen.length);
});

test('memory is bounded: clean inodes are given up and come back', async () => {
  const volume = await open(new MemoryBlockStore(), { maxCachedInodes: 50 });
  const inodes: number[] = [];
  for (let index = 0; index < 500; index++) {
    inodes.push(await put(volume, root, `f${index}`, `content ${index}`));
    if (index % 50 === 49) await volume.recall();
  }
  assert.ok(volume.memory.inodes <= 100, `${volume.memory.inodes} inodes in memory`);
  for (const [index, inode] of inodes.entries()) assert.equal((await contentOf(volume, inode)).toString(), `content ${index}`);
  assert.ok(volume.memory.inodes <= 100, `${volume.memory.inodes} inodes in memory`);
});

test('a file that was given up from memory while the kernel had it open outlives its name', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store, {}, { kernelOpens: true });
  const { inode } = await volume.mknod(root, 'open', 0o100644, 0, 0o022, user);
  await volume.write(inode, 0, 0, bytes('kept'), false);
  await volume.recall();
  assert.equal(volume.memory.inodes, 0);
  await volume.unlink(root, 'open');
  await volume.recall();
  assert.equal((await contentOf(volume, inode)).toString(), 'kept');
  volume.forget(inode, 1);
  await volume.recall();
  assert.equal(await errnoOf(() => volume.getattr(inode)), 'ESTALE');
  await volume.close();
});

test('many operations at once end as one after another', async () => {
  const store = new MemoryBlockStore({ delay: () => new Promise((resolve) => setImmediate(resolve)) });
  const volume = await open(store);
  const { inode: d } = await volume.mkdir(root, 'd', 0o755, 0, user);
  await volume.recall();
  const results = await Promise.all(
    Array.from({ length: 200 }, (_, index) => errnoOf(() => volume.mknod(d, `f${index % 50}`, 0o100644, 0, 0, user))),
  );
  assert.equal(results.filter((errno) => errno === 'none').length, 50);
  assert.equal(results.filter((errno) => errno === 'EEXIST').length, 150);
  const work: Promise<unknown>[] = [volume.syncfs()];
  for (let index = 0; index < 50; index++) {
    work.push(errnoOf(() => volume.rename(d, `f${index}`, root, 'one', 0)));
    work.push(errnoOf(() => volume.fsyncdir(d, 0)));
  }
  await Promise.all(work);
  assert.deepEqual(await namesOf(volume, d), []);
  assert.deepEqual((await namesOf(volume, root)).sort(), ['d', 'one']);
});
