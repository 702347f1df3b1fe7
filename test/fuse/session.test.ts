import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import * as fc from 'fast-check';
import { createLogger, InfinitError, silentLogger } from '../../src/base/index.ts';
import { errnos, FileSystemError, type KernelCache } from '../../src/filesystem/index.ts';
import type { FuseSession } from '../../src/fuse/index.ts';
import { opcodes, type SavedInit } from '../../src/fuse/wire/index.ts';
import { FakeKernel } from './fake-kernel.ts';
import { created, name, start } from './fake-session.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

test('a mount keeps the name that it was given, over the daemons that serve it', async () => {
  const first = await start({ asker: 'the mount' }).session.ready;
  assert.equal(first.asker, 'the mount');
  assert.equal((await start({ adopted: first }).session.ready).asker, 'the mount');
});

test('a daemon ends in order once the kernel trusts nothing any more, and the next one waits for nothing; after one that was killed, for the longest that may be', async () => {
  const memory = new Uint8Array(4096);
  const serve = async (adopted?: SavedInit): Promise<{ kernel: FakeKernel; session: FuseSession; cache: KernelCache; init: SavedInit }> => {
    const fileSystem = new MemoryFileSystem();
    let cache: KernelCache | undefined;
    fileSystem.attach = (kernel) => (cache = kernel);
    const { kernel, session } = start({ fileSystem, memory, options: { leased: true }, ...(adopted === undefined ? {} : { adopted }) });
    return { kernel, session, cache: cache!, init: await session.ready };
  };
  const first = await serve();
  first.cache.beginSole(() => 10_000);
  first.kernel.request(opcodes.lookup, 1, name('nothing'));
  first.session.stop();
  await first.session.closed;
  const second = await serve(first.init);
  assert.equal(second.cache.endSole(true).expired, undefined);
  const third = await serve(second.init);
  assert.ok(third.cache.endSole(true).expired instanceof Promise);
  third.session.stop();
  await third.session.closed;
  const fourth = await serve(third.init);
  assert.equal(fourth.cache.endSole(true).expired, undefined, 'it ended once that was over');
});

test('who wants to know is told that requests have come', () => {
  let told = 0;
  const { kernel } = start({ onRequests: () => told++ });
  const before = told;
  kernel.request(opcodes.getattr, 1, Buffer.alloc(16));
  assert.ok(told > before);
});

for (const leased of [false, true])
  test(`whatever bytes a request has, it is answered exactly once and the session lives on (${leased ? 'shared' : 'alone'})`, async () => {
    const { kernel, session } = start({ options: { leased } });
    const codes = Object.values(opcodes).filter((code) => code !== opcodes.init && code !== opcodes.setlkw);
    const oneWay = new Set<number>([opcodes.forget, opcodes.batchForget, opcodes.interrupt]);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...codes, 77, 4000), fc.nat(5), fc.uint8Array({ maxLength: 150 }), async (opcode, node, body) => {
        kernel.sent.length = 0;
        const unique = kernel.request(opcode, node, body);
        await Promise.resolve();
        const answers = kernel.sent.filter((sent) => sent.unique === unique && sent.errno >= 0);
        assert.equal(answers.length, oneWay.has(opcode) ? 0 : 1, `opcode ${opcode}`);
      }),
      { numRuns: 3000 },
    );
    const unique = kernel.request(opcodes.getattr, 1, Buffer.alloc(16));
    assert.equal(kernel.answerTo(unique)?.errno, 0);
    session.stop();
  });

test('requests cut short, with a wrong length or a wild node id do no harm', () => {
  const { kernel } = start();
  for (let length = 0; length < 60; length++) kernel.raw(Buffer.alloc(length, 0xff));
  const wild = Buffer.alloc(56);
  wild.writeUInt32LE(56, 0);
  wild.writeUInt32LE(opcodes.getattr, 4);
  wild.writeUInt32LE(4711, 8);
  wild.fill(0xff, 16, 24);
  kernel.raw(wild);
  assert.equal(kernel.answerTo(4711)?.errno, errnos.EINVAL);
});

test('a failure that nobody expected is EIO, one of ours has its errno, and both are logged, the first with where it was thrown', () => {
  const lines: string[] = [];
  const logger = createLogger('error', (_level, line) => lines.push(line));
  const { kernel, fileSystem } = start({ logger });
  fileSystem.statfs = () => {
    throw new TypeError('oops');
  };
  assert.equal(kernel.answerTo(kernel.request(opcodes.statfs, 1, Buffer.alloc(0)))?.errno, errnos.EIO);
  fileSystem.statfs = () => {
    throw new InfinitError('disk-full', 'no room');
  };
  assert.equal(kernel.answerTo(kernel.request(opcodes.statfs, 1, Buffer.alloc(0)))?.errno, errnos.ENOSPC);
  assert.equal(lines.length, 2);
  assert.match(lines[0]!, / error=oops stack=/);
  assert.match(lines[1]!, / error=disk-full: no room$/);
});

test('shared, what a look-up answered a thread need not be asked again in the same call, and is in every other', async () => {
  const { kernel, fileSystem, session } = start({ options: { leased: true } });
  const directory = (text: string): Buffer => Buffer.concat([Buffer.alloc(8), name(text)]);
  kernel.request(opcodes.mkdir, 1, directory('d'));
  let asked = 0;
  const getattr = fileSystem.getattr.bind(fileSystem);
  fileSystem.getattr = (inode) => {
    asked++;
    return getattr(inode);
  };
  const lookUp = (thread: number): number =>
    Number(kernel.answerTo(kernel.request(opcodes.lookup, 1, name('d'), 0, thread))!.body.readBigUInt64LE(0));
  const ask = (thread: number, node: number, open = false): number => {
    asked = 0;
    const body = Buffer.alloc(16);
    body.writeUInt32LE(open ? 1 : 0, 0);
    assert.equal(kernel.answerTo(kernel.request(opcodes.getattr, node, body, 0, thread))?.errno, 0);
    return asked;
  };
  // A busy machine may let the moment pass.
  for (let attempt = 0; ask(1, lookUp(1)) > 0; attempt++) assert.ok(attempt < 100);
  const node = lookUp(1);
  assert.deepEqual([ask(2, node), ask(1, 1), ask(1, lookUp(1), true)], [1, 1, 1]);
  lookUp(1);
  kernel.request(opcodes.mkdir, 1, directory('e'), 0, 2);
  assert.equal(ask(1, node), 1);
  await session.ready;
  session.stop();
});

test('a request that takes too long gets ETIMEDOUT, and what comes later is taken back', async () => {
  const { kernel, fileSystem, session } = start({ options: { leased: true, requestDeadlineMs: 100 } });
  kernel.request(opcodes.create, 1, created(2, 'file'));
  const { promise, resolve } = Promise.withResolvers<void>();
  const lookup = fileSystem.lookup.bind(fileSystem);
  fileSystem.lookup = async (parent, text) => {
    await promise;
    return lookup(parent, text);
  };
  const before = fileSystem.inodes.get(2)!.references;
  const unique = kernel.request(opcodes.lookup, 1, name('file'));
  assert.equal(session.statistics.inFlight, 1);
  await setTimeout(700);
  assert.equal(kernel.answerTo(unique)?.errno, errnos.ETIMEDOUT);
  resolve();
  await setTimeout(5);
  assert.equal(fileSystem.inodes.get(2)!.references, before, 'the reference was given back');
  assert.equal(session.statistics.inFlight, 0);
});

test('a failure of what no request waits for is logged, and the session lives on', async () => {
  const lines: string[] = [];
  const logger = { ...silentLogger, error: (line: string) => lines.push(line) };
  const { kernel, fileSystem, session } = start({ logger, options: { leased: true } });
  const fails = async (): Promise<void> => {
    await Promise.resolve();
    throw new InfinitError('unavailable', 'no host serves the volume');
  };
  const handle = kernel.answerTo(kernel.request(opcodes.create, 1, created(2, 'file')))!.body.subarray(128, 136);
  // The lock of an open file, whose owner no close names.
  const lock = Buffer.alloc(48);
  lock.set(handle, 0);
  lock.fill(7, 8, 16);
  lock.writeUInt32LE(1, 32);
  assert.equal(kernel.answerTo(kernel.request(opcodes.setlk, 2, lock))?.errno, 0);
  fileSystem.setlk = fails;
  const release = Buffer.alloc(24);
  release.set(handle, 0);
  assert.equal(kernel.answerTo(kernel.request(opcodes.release, 2, release))?.errno, 0);
  // Nor is what the kernel did not take.
  const opened = kernel.sent.length;
  fileSystem.release = fails;
  Object.assign(fileSystem, { releasedir: fails });
  kernel.send = () => -2;
  kernel.request(opcodes.open, 2, Buffer.alloc(8));
  kernel.request(opcodes.create, 1, created(2, 'other'));
  kernel.request(opcodes.opendir, 1, Buffer.alloc(8));
  await setTimeout(1);
  assert.equal(kernel.sent.length, opened);
  assert.equal(lines.length, 4, lines.join('\n'));
  session.stop();
});

test('a signal ends the wait of a program that asks for a lock and must not wait, and what is had too late is given back', async () => {
  for (const opcode of [opcodes.setlk, opcodes.setlkw]) {
    const { kernel, fileSystem, session } = start();
    const types: string[] = [];
    let had = (): void => {};
    fileSystem.setlk = (_inode, { type }, _wait, signal) => {
      types.push(type);
      if (type === 'unlock') return undefined;
      return new Promise((resolve, reject) => {
        had = resolve;
        signal!.addEventListener('abort', () => reject(new FileSystemError('EINTR')));
      });
    };
    kernel.request(opcodes.create, 1, created(2, 'file'));
    const lock = Buffer.alloc(48);
    lock.writeUInt32LE(1, 32);
    const unique = kernel.request(opcode, 2, lock);
    const interrupt = Buffer.alloc(8);
    interrupt.writeBigUInt64LE(BigInt(unique));
    kernel.request(opcodes.interrupt, 0, interrupt);
    await setTimeout(1);
    assert.equal(kernel.answerTo(unique)?.errno, errnos.EINTR);
    assert.equal(session.statistics.inFlight, 0);
    // The kernel did not take it: the program is gone.
    kernel.request(opcode, 2, lock);
    kernel.send = () => -2;
    had();
    await setTimeout(1);
    assert.deepEqual(types, ['write', 'write', 'unlock']);
    session.stop();
  }
});

test('no more is read while the bound of requests in flight is reached', async () => {
  const { kernel, fileSystem, session } = start();
  const { promise, resolve } = Promise.withResolvers<void>();
  fileSystem.fsync = () => promise;
  for (let i = 0; i < 5000; i++) kernel.request(opcodes.fsync, 1, Buffer.alloc(16));
  assert.equal(session.statistics.inFlight, 4096);
  resolve();
  for (let i = 0; i < 10; i++) {
    await setTimeout(1);
    kernel.request(opcodes.statfs, 1, Buffer.alloc(0));
  }
  while (session.statistics.inFlight > 0) await setTimeout(1);
  for (let i = 0; i < 100; i++) kernel.request(opcodes.statfs, 1, Buffer.alloc(0));
  assert.equal(session.statistics.operations['fsync'], 5000);
});

test('however many wait for what the kernel writes back, its writes are read', async () => {
  const { kernel, session } = start();
  const { promise, resolve } = Promise.withResolvers<void>();
  session.notify.invalidateInode = () => promise;
  const seek = Buffer.alloc(24);
  seek.writeUInt32LE(3, 16);
  for (let i = 0; i < 5000; i++) kernel.request(opcodes.lseek, 1, seek);
  assert.equal(session.statistics.inFlight, 5000);
  assert.equal(kernel.answerTo(kernel.request(opcodes.statfs, 1, Buffer.alloc(0)))?.errno, 0);
  resolve();
  while (session.statistics.inFlight > 0) await setTimeout(1);
  session.stop();
});

test('whether a write goes to the end of the file is as of that write, and never so for a page of mapped memory', () => {
  const { kernel, session, fileSystem } = start({ options: { leased: true } });
  const asked: unknown[] = [];
  fileSystem.write = (...args: unknown[]) => asked.push(args[5]);
  fileSystem.writeMapped = () => asked.push('within the file');
  kernel.request(opcodes.create, 1, created(0o2002, 'file'));
  const [cached, append] = [1, 0o2000];
  for (const [how, flags] of [
    [0, append],
    [0, 0],
    [cached, append],
  ] as const) {
    const body = Buffer.alloc(41);
    body.writeUInt32LE(1, 16);
    body.writeUInt32LE(how, 20);
    body.writeUInt32LE(flags, 32);
    kernel.request(opcodes.write, 2, body);
  }
  assert.deepEqual(asked, [true, false, 'within the file']);
  session.stop();
});

/** A kernel before 6.16, to which an answer takes long. Notifications have a descriptor of their own. */
class SlowOldKernel extends FakeKernel {
  readonly notified: { readonly code: number; readonly name: string }[] = [];
  isSlow = false;

  override send(fd: number, from: Uint8Array, length: number): number {
    const message = Buffer.from(from.subarray(0, length));
    const code = message.readInt32LE(4);
    if (fd === notifierDescriptor) {
      this.notified.push({ code, name: code === 3 ? message.toString('latin1', 32, length - 1) : '' });
      return length;
    }
    if (code === 8) return -22;
    for (const until = performance.now() + 60; this.isSlow && performance.now() < until;);
    return super.send(fd, from, length);
  }

  override watch(fd: number, callback: (status: number) => void): object {
    return fd === notifierDescriptor ? {} : super.watch(fd, callback);
  }

  override notifier(): number {
    return notifierDescriptor;
  }
}
const notifierDescriptor = 99;

test('a name whose answer took too long to reach the kernel is taken back, also from a kernel that knows no epochs', async () => {
  const kernel = new SlowOldKernel();
  const { session, fileSystem } = start({ transport: kernel, options: { leased: true } });
  kernel.init();
  fileSystem.kernel!.beginSole(() => 10_000);
  await fileSystem.mkdir(1, 'directory', 0o755, 0, { uid: 0, gid: 0, pid: 1 });
  kernel.isSlow = true;
  const unique = kernel.request(opcodes.lookup, 1, name('directory'));
  assert.equal(kernel.answerTo(unique)?.errno, 0);
  kernel.request(opcodes.lookup, 1, name('absent'));
  kernel.isSlow = false;
  const names = kernel.notified.filter(({ code }) => code === 3).map((notification) => notification.name);
  assert.deepEqual(names, ['directory', 'absent']);
  session.stop();
});
