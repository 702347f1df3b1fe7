import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import type { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { open, put, root } from '../harness.ts';
import { Serving } from './serving.ts';

/** What a program is told of a file's size, by way of its name. */
type Ask = (guest: SharedFileSystem, directory: number) => Promise<number | undefined>;

/** The host that serves the volume dies when it is asked, and the next one answers before it is told what was written here, and is heard after that. */
async function askedWhileItMoves(question: string, ask: Ask): Promise<{ told: number | undefined; is: number }> {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const guest = await serving.keepingGuest(store);
  const inode = await put(serving.volume, root, 'f', 'x', true);
  await guest.write(inode, await guest.open(inode, 1), 0, Buffer.from('content'), false);
  assert.ok(serving.calls.includes('borrow') && !serving.calls.includes('write'), 'in memory');

  const directory = await guest.opendir(root);
  const [asked, answered, taken] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  serving.server.serve = async () => {
    asked.resolve();
    throw new InfinitError('unavailable', 'the host died');
  };
  const told = ask(guest, directory);
  await asked.promise;
  await serving.volume.abandon();
  store.restart();
  const after = new Serving(await open(store));
  const serve = after.server.serve.bind(after.server);
  after.server.serve = async (peer, call) => {
    const { method } = decodeCall(call);
    if (method === 'put') await answered.promise;
    const answer = await serve(peer, call);
    if (method === 'put') taken.resolve();
    if (method === question) {
      answered.resolve();
      await taken.promise;
    }
    return answer;
  };
  after.welcome(guest, 'guest', store);
  return { told: await told, is: (await guest.getattr(inode)).size };
}

test('what a program finds by name while the volume moves has all that programs of its host wrote', async () => {
  const { told, is } = await askedWhileItMoves('lookup', async (guest) => (await guest.lookup(root, 'f'))?.size);
  assert.deepEqual([told, is], [7, 7]);
});

test('nor does a listing that is made while the volume moves tell what a file was before', async () => {
  const { told, is } = await askedWhileItMoves('readdir', async (guest, directory) => {
    const entries = await guest.readdir(root, directory, 0, 4096, true);
    return entries.find(({ name }) => name === 'f')!.attributes?.size;
  });
  assert.deepEqual([told, is], [7, 7]);
});
