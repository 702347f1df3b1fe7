import assert from 'node:assert/strict';
import { test } from 'node:test';

import { immutableAddress } from '../../../src/block/index.ts';
import { decodeResult, encodeCall, type SharedMethod } from '../../../src/filesystem/shared/calls.ts';
import { versionOf, type Written } from '../../../src/filesystem/inodes/written.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { contentOf, errnoOf, open, put, root } from '../harness.ts';
import { Serving } from './serving.ts';

/** A guest that says whatever it likes, in well-formed calls. */
async function begin(): Promise<{
  store: MemoryBlockStore;
  serving: Serving;
  ask: (method: SharedMethod, ...args: unknown[]) => Promise<unknown>;
  says: (inode: number, what: Partial<Written>) => Promise<string>;
}> {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const ask = async (method: SharedMethod, ...args: unknown[]): Promise<unknown> =>
    decodeResult(await serving.server.serve('liar', encodeCall(method, args)));
  await ask('relocked');
  await ask('renew', true);
  const says = async (inode: number, what: Partial<Written>): Promise<string> => {
    const now = versionOf(await serving.volume.getattr(inode));
    const version = { ...now, changed: { ...now.changed, nanoseconds: (now.changed.nanoseconds + 1) % 1e9 } };
    return errnoOf(() => ask('put', inode, '', { expect: now, version, session: 0, pieces: [], changes: {}, ...what }, false));
  };
  return { store, serving, ask, says };
}

test('a guest that makes a file larger than any may be is refused', async () => {
  const { serving, says } = await begin();
  const inode = await put(serving.volume, root, 'f', 'content', true);
  const now = versionOf(await serving.volume.getattr(inode));
  assert.equal(await says(inode, { version: { ...now, size: Number.MAX_SAFE_INTEGER } }), 'EFBIG');
  assert.equal((await serving.volume.getattr(inode)).size, 7);
  assert.equal(await says(inode, { pieces: [{ offset: 2 ** 44, bytes: Buffer.from('x') }] }), 'EFBIG');
  assert.equal((await contentOf(serving.volume, inode)).toString(), 'content');
  await serving.volume.close();
});

test('a guest that says that bytes lie in a block that is nowhere harms that file alone', async () => {
  const { store, serving, says } = await begin();
  const inode = await put(serving.volume, root, 'f', 'content', true);
  const other = await put(serving.volume, root, 'g', 'other', true);
  const { session } = (await serving.volume.lending.lend(inode, () => {}))!;
  const now = versionOf(await serving.volume.getattr(inode));
  const version = { ...now, size: 300_000, changed: { ...now.changed, seconds: now.changed.seconds + 1 } };
  const address = immutableAddress(Buffer.from('nowhere'));
  assert.equal(await says(inode, { version, session, pieces: [{ offset: 0, length: 300_000, address, at: 0, blockBytes: 300_000 }] }), 'none');
  assert.notEqual(await errnoOf(() => contentOf(serving.volume, inode)), 'none');
  const handle = await serving.volume.open(other, 1);
  await serving.volume.write(other, handle, 0, Buffer.from('another'), false);
  await serving.volume.fsync(other, handle, false);
  assert.equal((await contentOf(serving.volume, other)).toString(), 'another');
  await serving.volume.close();
  store.restart();
  const again = await open(store);
  assert.equal((await contentOf(again, other)).toString(), 'another');
  await again.unlink(root, 'f');
  await again.syncfs();
  await again.close();
});

test('a guest that asks for more than an answer holds is refused before any of it is put together', async (t) => {
  const { serving, ask } = await begin();
  const inode = await put(serving.volume, root, 'f', 'content', true);
  await serving.volume.setattr(inode, { size: 2 ** 40 });
  const read = t.mock.method(serving.volume, 'read');
  const mebibyte = 2 ** 20;
  const calls: readonly (readonly [SharedMethod, ...unknown[]])[] = [
    ['read', inode, 0, 0, 2 ** 40],
    ['read', inode, 0, 0, 5 * mebibyte],
    ['readLent', inode, '', 0, 5 * mebibyte],
    ['readdir', root, 0, 0, 1e300, false],
    ['images', [inode], 5 * mebibyte],
    ['images', Array.from({ length: 64 }, () => inode), mebibyte],
    ['stored', inode, 0, 2 ** 40],
  ];
  for (const [method, ...args] of calls) await assert.rejects(ask(method, ...args), { code: 'too-large' }, method);
  assert.equal(read.mock.callCount(), 0);
  // As much as a kernel asks for at once.
  assert.equal(((await ask('read', inode, 0, 0, mebibyte)) as Uint8Array).length, mebibyte);
  assert.equal(((await ask('images', [inode], 65_536)) as readonly unknown[]).length, 1);
  await serving.volume.close();
});
