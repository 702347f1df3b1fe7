import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import type { CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { eventually } from '../suites/transport-suite.ts';
import { errnoOf, open, put, root } from './harness.ts';

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
  assert.notEqual(await errnoOf(() => volume.recall()), 'none');
  assert.ok(store.immutableBytes >= 3 * mebibyte);
  await volume.recall();
  assert.equal(store.immutableBytes, 0);
  await volume.close();
});
