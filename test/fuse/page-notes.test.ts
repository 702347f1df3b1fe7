/** Pages of mapped files that a daemon leaves changed and not written, and the next one of the mount. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { errnos, type MaybePromise } from '../../src/filesystem/index.ts';
import { PageNotes } from '../../src/fuse/page-notes.ts';
import { opcodes } from '../../src/fuse/wire/index.ts';
import { MemoryRecords } from '../suites/memory-records.ts';
import { created, start } from './fake-session.ts';

const inode = 2;
const [readWrite, readOnly] = [2, 0];
type Handle = readonly [handle: number, generation: number];
/** As of `FileSystem.mapping`. */
type NameOf = (inode: number) => MaybePromise<string | undefined>;

/** The `generation`th daemon of a mount that others have as well. */
function daemon(generation: number, records: MemoryRecords, nameOf: NameOf) {
  const adopted = generation === 1 ? {} : { adopted: { minor: 45, flags: 0, flags2: 1 << 7, generation: generation - 1 } };
  const { kernel, session, fileSystem } = start({ options: { leased: true }, lockRecords: records, ...adopted });
  Object.assign(fileSystem, { mapping: nameOf });
  const written: string[] = [];
  fileSystem.writeMapped = (_inode, _handle, _offset, data) => {
    written.push(Buffer.from(data).toString());
    return data.length;
  };
  const made = kernel.answerTo(kernel.request(opcodes.create, 1, created(2, 'file')))!.body;
  const own: Handle = [made.readUInt32LE(128), made.readUInt32LE(132)];
  fileSystem.kernel!.settle(false);
  const body = ([handle, of]: Handle, flags: number): Buffer => {
    const bytes = Buffer.alloc(40);
    bytes.writeUInt32LE(handle, 0);
    bytes.writeUInt32LE(of, 4);
    bytes.writeUInt32LE(16, 16);
    bytes.writeUInt32LE(flags, 32);
    return bytes;
  };
  const answered = async (unique: number): Promise<number> => {
    while (kernel.answerTo(unique) === undefined) await setImmediate();
    return kernel.answerTo(unique)!.errno;
  };
  return {
    own,
    written,
    fileSystem,
    asksForPage: (handle: Handle, flags = readWrite): number => kernel.request(opcodes.read, inode, body(handle, flags)),
    isAnswered: (unique: number): boolean => kernel.answerTo(unique) !== undefined,
    answered,
    write(handle: Handle): Promise<number> {
      const message = Buffer.concat([body(handle, readWrite), Buffer.from('as it changed it')]);
      message.writeUInt32LE(1, 20);
      return answered(kernel.request(opcodes.write, inode, message));
    },
    [Symbol.dispose]: () => session.stop(),
  };
}

async function firstLeaves(records: MemoryRecords, flags = readWrite): Promise<Handle> {
  using first = daemon(1, records, () => 'a time');
  assert.equal(await first.answered(first.asksForPage(first.own, flags)), 0);
  return first.own;
}

test('are written where nobody else changed the file since the first was given, and by the daemon after the next as well', async () => {
  const records = new MemoryRecords();
  const handle = await firstLeaves(records);
  for (const generation of [2, 3]) {
    using next = daemon(generation, records, () => Promise.resolve('a time'));
    assert.deepEqual(await Promise.all([next.write(handle), next.write(handle)]), [0, 0]);
    assert.deepEqual(next.written, ['as it changed it', 'as it changed it']);
  }
});

test('are refused where somebody did, or where that cannot be said', async () => {
  const unknown = async (): Promise<undefined> => {
    await setImmediate();
    return undefined;
  };
  for (const nameOf of [() => Promise.resolve('another time'), unknown, () => undefined]) {
    const records = new MemoryRecords();
    const handle = await firstLeaves(records);
    using next = daemon(2, records, nameOf);
    assert.equal(await next.write(handle), errnos.EIO);
    assert.deepEqual(next.written, []);
    assert.equal(await next.answered(next.asksForPage(handle)), errnos.EIO);
  }
});

test('are refused of a file of which nothing is noted: by the one before, or since it gave pages to who only reads', async () => {
  const records = new MemoryRecords();
  const handle = await firstLeaves(records, readOnly);
  using next = daemon(2, records, () => 'a time');
  assert.equal(await next.write(handle), errnos.EIO);
});

test('what was answered to the daemon before and is lost is not shown as it was where programs changed the file in memory', async () => {
  for (const isNoted of [true, false]) {
    const records = new MemoryRecords();
    const handle = await firstLeaves(records, isNoted ? readWrite : readOnly);
    using next = daemon(2, records, () => 'a time');
    next.fileSystem.kernel!.lost(inode, true);
    assert.equal(await next.answered(next.asksForPage(handle)), isNoted ? errnos.EIO : 0);
    assert.equal(await next.answered(next.asksForPage(next.own)), isNoted ? errnos.EIO : 0, 'the other has it open, if it was given pages');
  }
});

test('no page is read before it is known which time it is of, nor one that is asked for meanwhile', async () => {
  const name = Promise.withResolvers<string>();
  const records = new MemoryRecords();
  using first = daemon(1, records, () => name.promise);
  let reads = 0;
  const read = first.fileSystem.read.bind(first.fileSystem);
  first.fileSystem.read = (...args) => {
    reads++;
    assert.deepEqual([...records.left], [['pages 2', 'a time']]);
    return read(...args);
  };
  const asked = [first.asksForPage(first.own), first.asksForPage(first.own, readOnly)];
  await setImmediate();
  assert.deepEqual([asked.some((unique) => first.isAnswered(unique)), reads], [false, 0]);
  name.resolve('a time');
  for (const unique of asked) assert.equal(await first.answered(unique), 0);
  assert.equal(reads, 2);
});

test('a note stays as it is while the kernel has pages, and is another one when it has none', async () => {
  const records = new MemoryRecords();
  let name: string | undefined = 'first';
  const notes = new PageNotes(() => name, records);
  void notes.giving(inode, true);
  name = 'second';
  void notes.giving(inode, false);
  assert.deepEqual([...records.left], [['pages 2', 'first']]);
  void notes.giving(inode, true);
  assert.deepEqual([...records.left], [['pages 2', 'second']]);
  name = undefined;
  void notes.giving(inode, true);
  assert.deepEqual([...records.left], []);
});

test('of very many files those are noted that were noted last', () => {
  const records = new MemoryRecords();
  const notes = new PageNotes((of) => `time ${of}`, records);
  for (let of = 1; of <= 5000; of++) void notes.giving(of, true);
  assert.equal(records.left.size, 4096);
  assert.deepEqual([records.left.has('pages 904'), records.left.get('pages 905')], [false, 'time 905']);
});
