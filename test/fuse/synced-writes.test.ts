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
