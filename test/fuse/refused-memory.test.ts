/** Mapped memory that programs changed, and whose pages were refused: nobody is shown what it was before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { errnos, FileSystemError } from '../../src/filesystem/index.ts';
import { opcodes } from '../../src/fuse/wire/index.ts';
import { MemoryRecords } from '../suites/memory-records.ts';
import { created, start } from './fake-session.ts';

const inode = 2;
/** An open file, of the daemon that was the `generation`th of the mount. */
type Handle = readonly [handle: number, generation: number];

function body(bytes: number, [handle, generation]: Handle): Buffer {
  const made = Buffer.alloc(bytes);
  made.writeUInt32LE(handle, 0);
  made.writeUInt32LE(generation, 4);
  made.writeUInt32LE(16, 16);
  return made;
}

/** What the kernel can ask of the next daemon of a mount, that others have used meanwhile. */
function adopt(generation: number, records: MemoryRecords) {
  const { kernel, session, fileSystem } = start({
    options: { leased: true },
    adopted: { minor: 45, flags: 0, flags2: 1 << 7, generation },
    lockRecords: records,
  });
  const ask = (opcode: number, message: Buffer): number => kernel.answerTo(kernel.request(opcode, inode, message))!.errno;
  const made = kernel.answerTo(kernel.request(opcodes.create, 1, created(2, 'file')))!.body;
  fileSystem.kernel!.settle(false);
  const lockedThrough = (handle: Handle): number => {
    const lock = Buffer.concat([body(24, handle), Buffer.alloc(24)]);
    lock.writeBigUInt64LE(0x7fff_ffff_ffff_ffffn, 24);
    lock.writeUInt32LE(1, 32);
    return kernel.request(opcodes.setlk, inode, lock);
  };
  return {
    ours: [made.readUInt32LE(128), made.readUInt32LE(132)] as const,
    page(handle: Handle, flags = 0): number {
      const message = body(40, handle);
      message.writeUInt32LE(flags, 32);
      return ask(opcodes.read, message);
    },
    /** What a program reads says who it is (FUSE_READ_LOCKOWNER). */
    read(handle: Handle): number {
      const message = body(40, handle);
      message.writeUInt32LE(2, 20);
      return ask(opcodes.read, message);
    },
    /** A page that a program changed (FUSE_WRITE_CACHE). */
    write(handle: Handle): number {
      const message = Buffer.concat([body(40, handle), Buffer.alloc(16)]);
      message.writeUInt32LE(1, 20);
      return ask(opcodes.write, message);
    },
    lockedThrough,
    release: (handle: Handle): number => ask(opcodes.release, body(24, handle)),
    [Symbol.dispose]: () => session.stop(),
  };
}

const [mapped, idle, other]: readonly Handle[] = [
  [90, 3],
  [91, 3],
  [92, 3],
] as const;

test('no page of the file is given while programs have it open from before, and to those never', () => {
  using daemon = adopt(3, new MemoryRecords());
  assert.deepEqual([daemon.page(other), daemon.page(daemon.ours)], [0, 0], 'none was refused');
  assert.equal(daemon.write(mapped), errnos.EIO);
  assert.deepEqual([daemon.page(mapped), daemon.page(daemon.ours), daemon.page(other)], [errnos.EIO, errnos.EIO, errnos.EIO]);
  assert.equal(daemon.read(daemon.ours), 0, 'what a program reads is what the file is');
  daemon.release(mapped);
  assert.equal(daemon.page(daemon.ours), errnos.EIO, 'the other one has it open');
  daemon.release(other);
  assert.equal(daemon.page(daemon.ours), 0);
  assert.equal(daemon.page(idle), errnos.EIO);
});

test('who only has the file locked counts, though it has asked for nothing yet', () => {
  using daemon = adopt(3, new MemoryRecords());
  daemon.lockedThrough(idle);
  assert.equal(daemon.write(mapped), errnos.EIO);
  daemon.release(mapped);
  assert.equal(daemon.page(daemon.ours), errnos.EIO);
  daemon.release(idle);
  assert.equal(daemon.page(daemon.ours), 0);
});

test('so it is where the lease was lost under the same daemon, until all have closed the file', () => {
  const { kernel, session, fileSystem } = start({ options: { leased: true } });
  const ask = (opcode: number, message: Buffer): number => kernel.answerTo(kernel.request(opcode, inode, message))!.errno;
  fileSystem.kernel!.beginSole(() => 10_000);
  const made = kernel.answerTo(kernel.request(opcodes.create, 1, created(2, 'file')))!.body;
  const handle: Handle = [made.readUInt32LE(128), made.readUInt32LE(132)];
  fileSystem.kernel!.endSole(true);
  const page = Buffer.concat([body(40, handle), Buffer.alloc(16)]);
  page.writeUInt32LE(1, 20);
  assert.equal(ask(opcodes.read, body(40, handle)), 0, 'nothing is lost so far');
  assert.equal(ask(opcodes.write, page), errnos.EIO);
  assert.equal(ask(opcodes.read, body(40, handle)), errnos.EIO);
  ask(opcodes.release, body(24, handle));
  const opened = kernel.answerTo(kernel.request(opcodes.open, inode, Buffer.alloc(8)))!.body;
  assert.equal(ask(opcodes.read, body(40, [opened.readUInt32LE(0), opened.readUInt32LE(4)])), 0);
  session.stop();
});

/** A host among others, that does not have the volume alone. */
function beside(records = new MemoryRecords()) {
  const { kernel, session, fileSystem } = start({ options: { leased: true }, lockRecords: records });
  const ask = (opcode: number, message: Buffer): number => kernel.answerTo(kernel.request(opcode, inode, message))!.errno;
  const made = kernel.answerTo(kernel.request(opcodes.create, 1, created(2, 'file')))!.body;
  const handleIn = (body: Buffer, at: number): Handle => [body.readUInt32LE(at), body.readUInt32LE(at + 4)];
  return {
    fileSystem,
    handle: handleIn(made, 128),
    open: (): Handle => handleIn(kernel.answerTo(kernel.request(opcodes.open, inode, Buffer.alloc(8)))!.body, 0),
    page: (handle: Handle): number => ask(opcodes.read, body(40, handle)),
    write(handle: Handle): number {
      const message = Buffer.concat([body(40, handle), Buffer.alloc(16)]);
      message.writeUInt32LE(1, 20);
      return ask(opcodes.write, message);
    },
    release: (handle: Handle): number => ask(opcodes.release, body(24, handle)),
    [Symbol.dispose]: () => session.stop(),
  };
}

test('so it is where a page finds no room, or cannot be written for another reason: msync hears why, and nobody is shown what was there before', () => {
  for (const errno of ['ENOSPC', 'EIO', 'ESTALE'] as const) {
    using daemon = beside();
    const { fileSystem, handle } = daemon;
    const mapping = daemon.open();
    assert.equal(daemon.page(mapping), 0);
    fileSystem.writeMapped = () => {
      throw new FileSystemError(errno);
    };
    assert.equal(daemon.write(handle), errnos[errno]);
    const later = daemon.open();
    assert.deepEqual([daemon.page(handle), daemon.page(mapping), daemon.page(later)], [errnos.EIO, errnos.EIO, errnos.EIO]);
    daemon.release(handle);
    assert.equal(daemon.page(later), errnos.EIO, 'one that was given pages before has it open');
    daemon.release(mapping);
    assert.equal(daemon.page(later), 0, 'nobody has it in memory as it was');
  }
});

test('so it is where what was taken of mapped memory is lost later, and not where only what programs wrote otherwise is', () => {
  for (const mapped of [true, false]) {
    using daemon = beside();
    const { fileSystem, handle } = daemon;
    assert.equal(daemon.page(handle), 0);
    if (mapped) assert.equal(daemon.write(handle), 0);
    fileSystem.kernel!.lost(inode);
    assert.equal(daemon.page(handle), mapped ? errnos.EIO : 0);
  }
});

test('the next daemon knows which of the handles of the one before were of before', () => {
  const records = new MemoryRecords();
  let before: Handle;
  let after: Handle;
  {
    using daemon = beside(records);
    before = daemon.handle;
    daemon.fileSystem.writeMapped = () => {
      throw new FileSystemError('ENOSPC');
    };
    assert.equal(daemon.write(before), errnos.ENOSPC);
    after = daemon.open();
  }
  using next = adopt(1, records);
  assert.equal(next.page(after), 0);
  assert.equal(next.page(before), errnos.EIO);
});

test('the next daemon knows it', () => {
  const records = new MemoryRecords();
  let later: Handle;
  {
    using daemon = adopt(3, records);
    assert.equal(daemon.write(mapped), errnos.EIO);
    later = daemon.ours;
  }
  using next = adopt(4, records);
  assert.equal(next.page(later), 0, 'opened when it was known');
  assert.equal(next.page(mapped), errnos.EIO);
});

test('a daemon that does not know what those before refused gives no page to programs of before that may have changed one', () => {
  const records = new MemoryRecords();
  records.areIncomplete = true;
  using next = adopt(3, records);
  const readWrite = 2;
  assert.equal(next.page(mapped, readWrite), errnos.EIO);
  assert.deepEqual([next.page(next.ours, readWrite), next.read(mapped), next.page(idle)], [0, 0, 0]);
});
