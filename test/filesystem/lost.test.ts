/** A volume some of whose blocks were given up, since all their hosts were lost: what they belong to answers EIO, all else goes on, and a check says what it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { type Address, ownerOf, Sealer } from '../../src/block/index.ts';
import { errnoOf } from '../../src/filesystem/failure.ts';
import { checkVolume } from '../../src/filesystem/index.ts';
import type { StoredBlock } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, look, namesOf, open, put, root, TestClock, user, volumeId } from './harness.ts';

/** What something fails with. */
async function failureOf(work: () => unknown): Promise<unknown> {
  try {
    await work();
  } catch (error) {
    return error;
  }
  return assert.fail('it did not fail');
}

class LossyStore extends MemoryBlockStore {
  readonly lost = new Set<number>();
  /** Of these a person accepted that nobody is left to know. */
  readonly gone = new Set<number>();

  override async fetch(address: Address): Promise<StoredBlock | undefined> {
    const block = await super.fetch(address);
    if (block !== undefined && this.lost.has(ownerOf(block.payload).inode)) throw new InfinitError('lost', `block ${address} is lost`);
    return block !== undefined && this.gone.has(ownerOf(block.payload).inode) ? undefined : block;
  }
}

void test('a file and a directory whose records are lost answer EIO, the others go on, and a check names what is lost', async () => {
  const store = new LossyStore();
  let volume = await open(store, { flushDelayMs: 2 });
  const directory = (await volume.mkdir(root, 'directory', 0o755, 0, user)).inode;
  await put(volume, directory, 'inside', 'inside', true);
  const file = await put(volume, root, 'file', 'file', true);
  const other = await put(volume, root, 'other', 'other', true);
  await volume.close();
  for (const inode of [file, directory]) store.lost.add(inode);
  volume = await open(store, { flushDelayMs: 2 });
  for (const name of ['file', 'directory']) assert.equal(errnoOf(await failureOf(() => look(volume, root, name))), 'EIO', name);
  assert.deepEqual((await namesOf(volume, root)).sort(), ['directory', 'file', 'other']);
  assert.equal((await contentOf(volume, (await look(volume, root, 'other'))!)).toString(), 'other');
  assert.equal(await look(volume, root, 'other'), other);
  await put(volume, root, 'another', 'another', true);
  await volume.close();
  const { problems } = await checkVolume({ store, sealer: new Sealer(), volumeId, session: 0, clock: new TestClock(), logger: silentLogger });
  assert.deepEqual(
    problems.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)),
    [
      { kind: 'lost', inode: directory, directory: root, name: 'directory' },
      { kind: 'lost', inode: file, directory: root, name: 'file' },
    ],
  );
});

void test('of a volume whose root directory nobody has any longer a check says that it is lost, and not that other usage would be right', async () => {
  const store = new LossyStore();
  const volume = await open(store, { flushDelayMs: 2 });
  await put(volume, root, 'file', 'file', true);
  await volume.close();
  store.gone.add(root);
  const { problems } = await checkVolume({ store, sealer: new Sealer(), volumeId, session: 0, clock: new TestClock(), logger: silentLogger });
  assert.deepEqual(problems, [{ kind: 'lost-block', part: 'root' }]);
});
