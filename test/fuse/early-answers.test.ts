import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EarlyAnswer } from '../../src/filesystem/index.ts';
import { opcodes } from '../../src/fuse/wire/index.ts';
import { created, name, start } from './fake-session.ts';

/** A file, and an fsync of it whose early answer is handed over. */
async function fsynced(leased: boolean, sends: boolean): Promise<{ answer: EarlyAnswer | undefined; unique: number; sent: number }> {
  const { kernel, fileSystem, session } = start({ options: { leased } });
  let given: EarlyAnswer | undefined;
  fileSystem.fsync = (...args: readonly unknown[]): Promise<void> => {
    given = args[3] as EarlyAnswer | undefined;
    if (given !== undefined) given.sent = sends;
    return Promise.resolve();
  };
  const request = Buffer.alloc(16);
  const made = leased
    ? kernel.request(opcodes.create, 1, created(0o101, 'file'))
    : kernel.request(opcodes.mknod, 1, Buffer.concat([request, name('file')]));
  const { body } = kernel.answerTo(made)!;
  if (leased) body.copy(request, 0, 128, 136);
  const before = kernel.sent.length;
  const unique = kernel.request(opcodes.fsync, Number(body.readBigUInt64LE(0)), request);
  await new Promise((resolve) => setImmediate(resolve));
  session.stop();
  await session.closed;
  assert.equal(session.statistics.inFlight, 0);
  return { answer: given, unique, sent: kernel.sent.length - before };
}

test('an fsync whose answer was sent elsewhere is not answered again', async () => {
  const { answer, unique, sent } = await fsynced(false, true);
  assert.equal(sent, 0);
  const words = new Uint32Array(answer!.bytes.buffer);
  assert.deepEqual([...words], [16, 0, unique, 0], 'it says success, of that request');
});

test('one that nobody else answered is', async () => {
  assert.equal((await fsynced(false, false)).sent, 1);
});

test('where other hosts use the files as well the session answers by itself', async () => {
  const { answer, sent } = await fsynced(true, false);
  assert.deepEqual([answer, sent], [undefined, 1]);
});
