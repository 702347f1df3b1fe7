/** A session that goes on where that of an earlier daemon ended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type Attributes, errnos, type ExchangeRequest, type FileLock, FileSystemError } from '../../src/filesystem/index.ts';
import { opcodes } from '../../src/fuse/wire/index.ts';
import { created, name, start } from './fake-session.ts';

test('after a takeover handles of the last daemon are opened anew, and released as new ones', () => {
  const { kernel, session, fileSystem } = start({ options: { leased: true }, adopted: { minor: 45, flags: 0, flags2: 1 << 7, generation: 3 } });
  const inherited: number[] = [];
  Object.assign(fileSystem, { inherited: (inode: number) => inherited.push(inode) });
  assert.deepEqual(
    kernel.sent.map(({ errno }) => -errno),
    [7, 8],
    'RESEND and the new epoch',
  );
  const unique = kernel.request(opcodes.create, 1, created(2, 'file'));
  const ours = kernel.answerTo(unique)!.body;
  assert.equal(ours.readUInt32LE(132), 4, 'the generation is in the handle');
  const body = Buffer.alloc(40);
  body.writeUInt32LE(99, 0);
  body.writeUInt32LE(3, 4);
  body.writeUInt32LE(10, 16);
  assert.equal(kernel.answerTo(kernel.request(opcodes.read, 2, body))?.errno, 0);
  assert.equal(fileSystem.handles.size, 2);
  assert.equal(kernel.answerTo(kernel.request(opcodes.read, 2, body))?.errno, 0);
  assert.equal(fileSystem.handles.size, 2, 'opened once');
  assert.deepEqual(inherited, [2], 'the file system knows which of them the last daemon gave');
  assert.equal(kernel.answerTo(kernel.request(opcodes.release, 2, body.subarray(0, 24)))?.errno, 0);
  assert.equal(fileSystem.handles.size, 1);
  assert.equal(kernel.answerTo(kernel.request(opcodes.release, 2, body.subarray(0, 24)))?.errno, 0, 'never seen: nothing to do');
  session.stop();
});

test('a close gives back what its program had locked, also where the last daemon’s file cannot be opened again', async () => {
  const { kernel, session, fileSystem } = start({ options: { leased: true }, adopted: { minor: 45, flags: 0, flags2: 1 << 7, generation: 3 } });
  const unlocked: unknown[] = [];
  Object.assign(fileSystem, {
    open: () => Promise.reject(new FileSystemError('EIO')),
    setlk: (inode: number, { kind, type, owner, end }: FileLock) => void unlocked.push([inode, kind, type, owner, end]),
  });
  const body = Buffer.alloc(24);
  body.writeUInt32LE(99, 0);
  body.writeUInt32LE(2, 4);
  body.writeUInt32LE(0x77, 16);
  const unique = kernel.request(opcodes.flush, 2, body);
  await setTimeout(2);
  assert.equal(kernel.answerTo(unique)?.errno, errnos.EIO);
  assert.deepEqual(unlocked, [[2, 'posix', 'unlock', '0000000000000077', Infinity]]);
  session.stop();
});

test('so does the close of its last descriptor, where the file is being opened again in vain', async () => {
  const { kernel, session, fileSystem } = start({ options: { leased: true }, adopted: { minor: 45, flags: 0, flags2: 1 << 7, generation: 3 } });
  const unlocked: unknown[] = [];
  const reopening = Promise.withResolvers<number>();
  Object.assign(fileSystem, {
    open: () => reopening.promise,
    setlk: (inode: number, { kind, type, owner, end }: FileLock) => void unlocked.push([inode, kind, type, owner, end]),
  });
  const body = Buffer.alloc(40);
  body.writeUInt32LE(99, 0);
  body.writeUInt32LE(2, 4);
  body.writeUInt32LE(10, 16);
  kernel.request(opcodes.read, 2, body);
  const releaseFlock = 2;
  const close = body.subarray(0, 24);
  close.writeUInt32LE(releaseFlock, 12);
  close.writeUInt32LE(0x77, 16);
  kernel.request(opcodes.release, 2, close);
  reopening.reject(new FileSystemError('EIO'));
  await setTimeout(2);
  assert.deepEqual(unlocked, [[2, 'flock', 'unlock', '0000000000000077', Infinity]]);
  session.stop();
});

test('a request sent again after a crash succeeds where its first run had taken effect', async () => {
  const sole = (1 << 16) | (1 << 17) | (1 << 24);
  const { kernel } = start({ adopted: { minor: 45, flags: sole, flags2: 1 << 7, generation: 1 } });
  const twice = async (opcode: number, body: Buffer): Promise<number> => {
    assert.equal(kernel.answerTo(kernel.request(opcode, 1, body))?.errno, 0);
    const unique = kernel.request(opcode, 1, body, 0x8000_0000);
    await setTimeout(2);
    return kernel.answerTo(unique)!.errno;
  };
  const parent = Buffer.alloc(8);
  parent.writeUInt32LE(1, 0);
  const inode = Buffer.alloc(8);
  inode.writeUInt32LE(2, 0);
  const regular = Buffer.alloc(16);
  regular.writeUInt32LE(0o10_0644, 0);
  assert.equal(await twice(opcodes.mknod, Buffer.concat([regular, name('file')])), 0);
  assert.equal(await twice(opcodes.mkdir, Buffer.concat([Buffer.alloc(8), name('directory')])), 0);
  assert.equal(await twice(opcodes.symlink, Buffer.concat([name('symlink'), name('target')])), 0);
  assert.equal(await twice(opcodes.link, Buffer.concat([inode, name('linked')])), 0);
  assert.equal(await twice(opcodes.rename, Buffer.concat([parent, name('linked'), name('renamed')])), 0);
  assert.equal(await twice(opcodes.unlink, name('renamed')), 0);
  assert.equal(await twice(opcodes.rmdir, name('directory')), 0);
  const exchange = Buffer.concat([parent, Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), name('file'), name('symlink')]);
  assert.equal(await twice(opcodes.rename2, exchange), errnos.EIO, 'an exchange done twice would be undone');
  const mismatch = kernel.request(opcodes.mkdir, 1, Buffer.concat([Buffer.alloc(8), name('file')]), 0x8000_0000);
  await setTimeout(2);
  assert.equal(kernel.answerTo(mismatch)?.errno, errnos.EEXIST, 'what is there is not what it would have made');
});

for (const leased of [false, true])
  test(`an exchange that is sent again is done once in all: the file system is told which one it is (${leased ? 'several hosts' : 'one host'})`, () => {
    const flags = (1 << 16) | (1 << 17) | (1 << 24);
    const { kernel, session, fileSystem } = start({ options: { leased }, adopted: { minor: 45, flags, flags2: 1 << 7, generation: 1 } });
    const asked: unknown[] = [];
    fileSystem.rename = (...[, , , , flags, request]) => void asked.push([flags, request]);
    const parent = Buffer.alloc(16);
    parent.writeUInt32LE(1, 0);
    parent.writeUInt32LE(2, 8);
    for (const high of [5, 0x8000_0005]) {
      const unique = kernel.request(opcodes.rename2, 1, Buffer.concat([parent, name('a'), name('b')]), high);
      assert.equal(kernel.answerTo(unique)?.errno, 0);
    }
    const [first, again] = asked as [[number, ExchangeRequest], [number, ExchangeRequest]];
    assert.deepEqual(first, [2, { number: first[1].number, again: false }]);
    // The fake kernel gives each message another number.
    assert.deepEqual(again, [2, { number: first[1].number + 1, again: true }]);
    assert.ok(first[1].number > 5 * 2 ** 32);
    session.stop();
  });

test('a request that is sent again to the next daemon is known to the file system as the same one', async () => {
  const asked: unknown[] = [];
  const record = (fileSystem: object): object => Object.assign(fileSystem, { asking: (request: unknown) => asked.push(request) });
  const first = start();
  record(first.fileSystem);
  first.kernel.request(opcodes.unlink, 1, name('absent'));
  const second = start({ adopted: await first.session.ready });
  record(second.fileSystem);
  for (const { number } of asked.slice(0, 1) as { number: number }[])
    for (let unique = 1; unique <= number; unique++) second.kernel.request(opcodes.unlink, 1, name('absent'), 0x8000_0000);
  const [before, between, again] = [asked[0], asked[1], asked.at(-2)];
  assert.equal(between, undefined);
  assert.ok(before !== undefined);
  assert.deepEqual(again, { ...before, again: true });
  for (const { session } of [first, second]) session.stop();
});

test('what an earlier daemon opened is opened again without the number of the request, which is that of the write alone', async () => {
  const first = start({ options: { leased: true } });
  const handle = first.kernel.answerTo(first.kernel.request(opcodes.create, 1, created(2, 'file')))!.body.subarray(128, 136);
  const { kernel, fileSystem, session } = start({ adopted: await first.session.ready, options: { leased: true } });
  kernel.request(opcodes.create, 1, created(2, 'file'));
  let request: unknown;
  const asked: [string, boolean][] = [];
  const open = fileSystem.open.bind(fileSystem);
  const write = fileSystem.write.bind(fileSystem);
  Object.assign(fileSystem, {
    asking: (now: unknown) => (request = now),
    open: async (inode: number, flags: number) => {
      asked.push(['open', request !== undefined]);
      await Promise.resolve();
      return open(inode, flags);
    },
    write: (...args: Parameters<typeof write>) => {
      asked.push(['write', request !== undefined]);
      return write(...args);
    },
  });
  const body = Buffer.alloc(44, 'data');
  body.fill(0, 0, 40);
  body.set(handle, 0);
  body.writeUInt32LE(4, 16);
  body.writeUInt32LE(2, 32);
  for (let turn = 0; turn < 2; turn++) {
    const unique = kernel.request(opcodes.write, 2, body, 0x8000_0000);
    await setTimeout(2);
    assert.equal(kernel.answerTo(unique)?.errno, 0);
  }
  assert.deepEqual(asked, [
    ['open', false],
    ['write', true],
    ['write', true],
  ]);
  assert.equal(request, undefined);
  for (const each of [first.session, session]) each.stop();
});

test('where other hosts use the volume, what a request that is sent again meets is not taken for its own', async () => {
  const resend = 0x8000_0000;
  const { kernel, session, fileSystem } = start({ options: { leased: true } });
  await fileSystem.mkdir(1, 'directory', 0o755, 0, { uid: 0, gid: 0, pid: 1 });
  kernel.request(opcodes.create, 1, created(0o2102, 'file'));
  const { inode } = fileSystem.lookup(1, 'file') as Attributes;
  const ask = async (opcode: number, node: number, body: Buffer): Promise<number | undefined> => {
    const unique = kernel.request(opcode, node, body, resend);
    await setTimeout(1);
    return kernel.answerTo(unique)?.errno;
  };
  assert.equal(await ask(opcodes.mkdir, 1, Buffer.concat([Buffer.alloc(8), name('directory')])), errnos.EIO);
  assert.equal(await ask(opcodes.create, 1, created(0o302, 'file')), errnos.EIO, 'O_EXCL');
  assert.equal(await ask(opcodes.create, 1, created(0o102, 'file')), 0);
  assert.equal(await ask(opcodes.mkdir, 1, Buffer.concat([Buffer.alloc(8), name('other')])), 0, 'it was not there');
  const line = (offset: number): Buffer => {
    const body = Buffer.alloc(45, 'x');
    body.fill(0, 0, 40);
    body.writeUInt32LE(offset, 8);
    body.writeUInt32LE(5, 16);
    body.writeUInt32LE(0o2002, 32);
    return body;
  };
  assert.equal(await ask(opcodes.write, inode, line(0)), 0, 'nobody has appended');
  assert.equal(await ask(opcodes.write, inode, line(0)), errnos.EIO, 'it may have');
  assert.equal((fileSystem.getattr(inode) as Attributes).size, 5);
  session.stop();
});
