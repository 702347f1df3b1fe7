/** Commits of which some is done, or may be, and the rest is refused: what programs are told of them, and what a crash leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress, ownerOf } from '../../src/block/index.ts';
import { journalSlots } from '../../src/filesystem/journal/journal.ts';
import { MemoryBlockStore, type MemoryBlockStoreOptions } from '../suites/memory-block-store.ts';
import { contentOf, errnoOf, look, namesOf, open, pattern, put, root, user, volumeId } from './harness.ts';

type Fate = NonNullable<MemoryBlockStoreOptions['fate']>;

const slots = new Set(Array.from({ length: journalSlots }, (_, slot) => namedAddress(volumeId, `journal:${slot}`)));

async function scene() {
  const fates: { now: Fate } = { now: () => 'normal' };
  const store = new MemoryBlockStore({ fate: (update) => fates.now(update) });
  const volume = await open(store);
  await put(volume, root, 'kept', 'kept', true);
  await volume.fsync(root, 0, true);
  return { store, volume, fates };
}

test('a name that may be durable, since the journal’s block may be, is no “no space left on device”', async () => {
  for (const fate of ['normal', 'unknown-applied', 'unknown-lost'] as const) {
    const { store, volume, fates } = await scene();
    await volume.mkdir(root, 'new', 0o755, 0o022, user);
    // The journal's block goes through at first, the root directory's record finds no room, and neither does anything else from then on.
    let journal = 0;
    fates.now = ({ address, payload }) => {
      if (slots.has(address)) return journal++ === 0 ? fate : 'full';
      return payload !== null && ownerOf(payload).inode === root ? 'full' : 'normal';
    };
    assert.equal(await errnoOf(() => volume.fsync(root, 0, true)), 'EIO', fate);
    assert.ok(journal > 1);
    fates.now = () => 'normal';
    if (fate === 'unknown-lost') await volume.fsync(root, 0, true);
    store.restart();
    assert.deepEqual((await namesOf(await open(store), root)).toSorted(), ['kept', 'new'], fate);
  }
});

test('where nothing is done for want of room, that is what is said', async () => {
  const { store, volume, fates } = await scene();
  await volume.mkdir(root, 'new', 0o755, 0o022, user);
  fates.now = () => 'full';
  assert.equal(await errnoOf(() => volume.fsync(root, 0, true)), 'ENOSPC');
  store.restart();
  fates.now = () => 'normal';
  assert.deepEqual(await namesOf(await open(store), root), ['kept']);
});

test('a new file whose record is in its place, from a commit that failed, is counted with it after a crash', async () => {
  const { store, volume, fates } = await scene();
  await put(volume, root, 'new', 'x'.repeat(300));
  // The file and the journal's block are written, and whether the root directory's record is nobody knows: the file goes into the journal's block, empty.
  let times = 0;
  fates.now = ({ payload }) => (payload !== null && ownerOf(payload).inode === root && times++ === 0 ? 'unknown-applied' : 'normal');
  await volume.fsync(root, 0, true);
  fates.now = () => 'normal';
  // From now on the volume's own block counts what the journal's block has.
  const kept = (await look(volume, root, 'kept'))!;
  await volume.write(kept, 0, 0, pattern(100_000, 1), false);
  await volume.fsync(kept, 0, false);
  store.restart();
  const next = await open(store);
  assert.equal((await contentOf(next, (await look(next, root, 'new'))!)).length, 300);
  assert.deepEqual((await next.check()).problems, []);
});
