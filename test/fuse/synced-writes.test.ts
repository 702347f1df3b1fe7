import assert from 'node:assert/strict';
import { test } from 'node:test';

import { opcodes } from '../../src/fuse/wire/index.ts';
import { created, start } from './fake-session.ts';

/** O_WRONLY and O_CREAT, O_DSYNC, O_SYNC. */
const [writing, dataSync, allSync] = [0o101, 0o10000, 0o4010000];

function writeOf(handle: Buffer, flags: number, cached = false): Buffer {
  const body = Buffer.alloc(44);
  handle.copy(body, 0);
  body.writeUInt32LE(4, 16);
  body.writeUInt32LE(cached ? 1 : 0, 20);
  body.writeUInt32LE(flags, 32);
  body.write('text', 40);
  return body;
}

test('a write with O_DSYNC or O_SYNC is answered when it is durable', async () => {
  const { kernel, fileSystem, session } = start({ options: { leased: true } });
  const synced: boolean[] = [];
  let durable = Promise.withResolvers<void>();
  fileSystem.fsync = (...args: readonly unknown[]) => {
    synced.push(args[2] as boolean);
    return durable.promise;
  };
  const { body } = kernel.answerTo(kernel.request(opcodes.create, 1, created(writing, 'file')))!;
  const [inode, handle] = [Number(body.readBigUInt64LE(0)), body.subarray(128, 136)];
  for (const flags of [dataSync, allSync]) {
    durable = Promise.withResolvers();
    const unique = kernel.request(opcodes.write, inode, writeOf(handle, writing | flags));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([synced.splice(0), kernel.answerTo(unique)], [[flags === dataSync], undefined]);
    durable.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([kernel.answerTo(unique)!.errno, kernel.answerTo(unique)!.body.readUInt32LE(0)], [0, 4]);
  }
  for (const [flags, cached] of [
    [0, false],
    [allSync, true],
  ] as const)
    assert.equal(kernel.answerTo(kernel.request(opcodes.write, inode, writeOf(handle, writing | flags, cached)))!.errno, 0);
  assert.deepEqual(synced, [], 'nothing else is');
  session.stop();
});

test('fallocate and copy_file_range on a file opened with O_DSYNC or O_SYNC are answered when they are durable', async () => {
  for (const flags of [0, dataSync, allSync]) {
    const { kernel, fileSystem, session } = start({ options: { leased: true } });
    const synced: (readonly unknown[])[] = [];
    let durable = Promise.withResolvers<void>();
    fileSystem.fsync = (...args: readonly unknown[]) => {
      synced.push(args);
      return durable.promise;
    };
    fileSystem.fallocate = () => {};
    fileSystem.copyFileRange = () => 4;
    const opened = (text: string, how: number): readonly [inode: number, handle: Buffer] => {
      const { body } = kernel.answerTo(kernel.request(opcodes.create, 1, created(how, text)))!;
      return [Number(body.readBigUInt64LE(0)), body.subarray(128, 136)];
    };
    const [inode, handle] = opened('file', writing | flags);
    const [from, fromHandle] = opened('from', writing);
    const allocate = Buffer.alloc(32);
    handle.copy(allocate, 0);
    allocate.writeUInt32LE(4, 16);
    const copy = Buffer.alloc(56);
    fromHandle.copy(copy, 0);
    copy.writeBigUInt64LE(BigInt(inode), 16);
    handle.copy(copy, 24);
    copy.writeUInt32LE(4, 40);
    const wanted = flags === 0 ? [] : [[inode, handle.readUInt32LE(0), flags === dataSync]];
    for (const [opcode, node, body] of [
      [opcodes.fallocate, inode, allocate],
      [opcodes.copyFileRange, from, copy],
    ] as const) {
      durable = Promise.withResolvers();
      const unique = kernel.request(opcode, node, body);
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(synced.splice(0), wanted);
      assert.equal(kernel.answerTo(unique)?.errno, flags === 0 ? 0 : undefined, 'it waits for the disk');
      durable.resolve();
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(kernel.answerTo(unique)?.errno, 0);
    }
    session.stop();
  }
});
