/** Link counts that fit no names: a repair gives them the count that the names say, unless names change meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import type { KernelCache } from '../../src/filesystem/index.ts';
import { decodeInode, encodeInode } from '../../src/filesystem/inodes/inode-codec.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, look, open, put, root, user, volumeId } from './harness.ts';

/** Writes another link count into the record of an inode, as a defect would. */
async function setLinks(store: MemoryBlockStore, inode: number, links: number): Promise<void> {
  const [sealer, address] = [new Sealer(), namedAddress(volumeId, `inode:${inode}`)];
  const { version, payload } = store.peek(address)!;
  const record = decodeInode(sealer.openPayload(address, payload).body, 'a test');
  const { inode: number, epoch, session, sequence } = ownerOf(payload);
  const owner = { volume: Buffer.from(volumeId, 'hex'), inode: number, epoch, session, sequence: sequence + 1_000_000 };
  const changed = sealer.sealPayload(address, owner, encodeInode({ ...record, links }));
  await store.commit([{ update: [{ address, expect: version, payload: changed }] }]);
}

async function scene() {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const directory = (await volume.mkdir(root, 'directory', 0o755, 0o022, user)).inode;
  await volume.mkdir(directory, 'below', 0o755, 0o022, user);
  const [many, few, moving] = await Promise.all(['many', 'few', 'moving'].map((name) => put(volume, root, name, name)));
  await volume.link(few!, directory, 'link');
  await volume.close();
  await setLinks(store, directory, 7);
  await setLinks(store, many!, 3);
  // With one of its names the file would be gone.
  await setLinks(store, few!, 1);
  volume = await open(store);
  const linksOf = async (): Promise<number[]> => Promise.all([directory, many!, few!].map(async (inode) => (await volume.getattr(inode)).links));
  const wrong = [
    { kind: 'wrong-links', inode: directory, links: 7, names: 3 },
    { kind: 'wrong-links', inode: many, links: 3, names: 1 },
    { kind: 'wrong-links', inode: few, links: 1, names: 2 },
  ];
  return { store, volume, directory, few: few!, many: many!, moving: moving!, linksOf, wrong };
}

test('link counts that fit no names are corrected by a repair, and told by a check', async () => {
  const { store, volume, few, many, linksOf, wrong } = await scene();
  for (const repair of [false, true]) {
    const { problems } = await volume.check(repair);
    assert.deepEqual(
      problems.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
      wrong.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
    );
  }
  assert.deepEqual(await linksOf(), [3, 1, 2]);
  assert.deepEqual((await volume.check()).problems, []);
  await volume.unlink(root, 'few');
  volume.forget(few, 100);
  await volume.unlink(root, 'many');
  volume.forget(many, 100);
  await volume.syncfs();
  store.restart();
  const after = await open(store);
  assert.equal((await contentOf(after, few)).toString(), 'few');
  assert.equal(await look(after, root, 'many'), undefined);
  assert.deepEqual((await after.check()).problems, []);
  assert.equal(after.usage.files, 5);
});

test('where a name changes while links are counted no count is touched', async () => {
  const { volume, directory, moving, linksOf } = await scene();
  let places = [root, directory];
  let moves = true;
  // It is asked between the walk and the correction.
  const distrust = async (): Promise<void> => {
    if (!moves) return;
    await volume.rename(places[0]!, 'moving', places[1]!, 'moving', 0);
    places = places.toReversed();
  };
  volume.attach({ distrust } as unknown as KernelCache);
  await volume.check(true);
  assert.deepEqual(await linksOf(), [7, 3, 1]);
  moves = false;
  await volume.check(true);
  assert.deepEqual(await linksOf(), [3, 1, 2]);
  assert.equal((await volume.getattr(moving)).links, 1);
  assert.deepEqual((await volume.check()).problems, []);
});
