import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { namedAddress } from '../../src/block/index.ts';
import type { CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { eventually } from '../suites/transport-suite.ts';
import { BlockedStore } from './blocked-store.ts';
import { namesOf, open, put, root, user, volumeId } from './harness.ts';

const mebibyte = 1024 * 1024;

/** Fails what drops blocks, a few times. */
class Reluctant extends MemoryBlockStore {
  failures = 0;

  override commit(stages: readonly Stage[]): Promise<CommitResult> {
    if (this.failures === 0 || !stages.some(({ drop }) => drop !== undefined)) return super.commit(stages);
    this.failures--;
    return Promise.reject(new InfinitError('unavailable', 'a test said so'));
  }
}

test('a removal that failed takes along what was written and never became part of the file when it is tried again', async () => {
  const store = new Reluctant();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', '', true);
  for (let at = 0; at < 3; at++) await volume.write(inode, 0, at * mebibyte, Buffer.alloc(mebibyte, at + 1), false);
  await eventually(() => store.immutableBytes >= 3 * mebibyte, 'full blocks go into the store at once');
  await volume.unlink(root, 'f');
  volume.forget(inode, 1);
  store.failures = 1;
  await volume.recall();
  assert.ok(store.immutableBytes >= 3 * mebibyte);
  await volume.recall();
  assert.equal(store.immutableBytes, 0);
  await volume.close();
});

test('what was removed gives its blocks back though names, links and a removal beside it cannot be brought to their places', async () => {
  const store = new BlockedStore();
  const volume = await open(store, { flushDelayMs: 5 });
  const { inode: damaged } = await volume.mkdir(root, 'damaged', 0o755, 0, user);
  const linked = await put(volume, root, 'linked', 'x', true);
  const files = await Promise.all([0, 1, 2].map((index) => put(volume, root, `${index}`, Buffer.alloc(mebibyte, index), true)));
  await put(volume, damaged, 'name', '', true);
  const refused = new Set([damaged, linked]);
  store.blocked = (inode) => (refused.has(inode) ? Promise.reject(new InfinitError('damaged', 'a test said so')) : undefined);
  store.kept = { address: namedAddress(volumeId, `inode:${files[0]}`), code: 'unavailable' };
  await volume.link(linked, root, 'link');
  for (const [index, inode] of files.entries()) {
    await volume.unlink(root, `${index}`);
    volume.forget(inode, 1);
  }
  await eventually(() => store.immutableBytes < 2 * mebibyte, 'two of three are removed');
  assert.ok(store.immutableBytes >= mebibyte);
  store.blocked = () => undefined;
  store.kept = undefined;
  await volume.recall();
  assert.equal(store.immutableBytes, 0);
  await volume.close();
  const after = await open(store);
  assert.deepEqual((await namesOf(after, damaged)).concat((await namesOf(after, root)).sort()), ['name', 'damaged', 'link', 'linked']);
  assert.deepEqual((await after.check()).problems, []);
});
