/** A large directory of whose pages of names some are lost with all their hosts, and of which a person accepted that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { type Address, kindOf, namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import { checkVolume, openWithoutLost, purgeVolume, type Volume, type VolumeSetup } from '../../src/filesystem/index.ts';
import { errnoOf as errnoOfError } from '../../src/filesystem/failure.ts';
import { claimSession } from '../../src/node/volumes/volume-session.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { inodesIn, look, namesOf, open, put, root, TestClock, user, volumeId } from './harness.ts';

const names = Array.from({ length: 1000 }, (_, index) => `photo ${index}`);

async function setup(store: MemoryBlockStore): Promise<VolumeSetup> {
  return { store, sealer: new Sealer(), volumeId, session: await claimSession(store, volumeId), clock: new TestClock(), logger: silentLogger };
}

async function mounted(store: MemoryBlockStore): Promise<Volume> {
  return open(store, {}, { session: await claimSession(store, volumeId) });
}

/** What a program is told. */
async function errnoOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return errnoOfError(error);
  }
  return 'none';
}

interface Album {
  readonly store: MemoryBlockStore;
  readonly album: number;
  /** Its pages of names but the first one. */
  readonly pages: readonly Address[];
}

async function filled(): Promise<Album> {
  const store = new MemoryBlockStore();
  const volume = await mounted(store);
  const album = (await volume.mkdir(root, 'album', 0o755, 0, user)).inode;
  for (const name of names) await put(volume, album, name, name);
  await volume.close();
  const pages = [...store.mutableAddresses()].filter(
    (address) => kindOf(address) !== 'named' && ownerOf(store.peek(address)!.payload).inode === album,
  );
  assert.ok(pages.length > 3);
  return { store, album, pages };
}

for (const isGivenUp of [false, true])
  test(`what a lost page of names named is in lost+found after a repair, the rest has its name, also where pages are ${isGivenUp ? 'given up one by one' : 'not there'}`, async () => {
    const { store, album, pages } = await filled();
    for (const page of pages.slice(0, 2))
      if (isGivenUp) store.giveUp(page);
      else store.lose(page);
    let volume = await mounted(store);
    assert.equal(await errnoOf(() => namesOf(volume, album)), 'EIO');
    const told = await Promise.all(names.map(async (name) => errnoOf(() => look(volume, album, name))));
    assert.deepEqual(new Set(told), new Set(['none', 'EIO']));
    await volume.close();
    const { problems } = await checkVolume(await setup(store));
    assert.deepEqual(problems, [{ kind: 'lost-names', inode: album }]);
    const mended = await openWithoutLost(await setup(store), inodesIn(store));
    assert.deepEqual(mended.problems, [{ kind: 'lost-names', inode: album }]);
    volume = await mounted(store);
    const left = await namesOf(volume, album);
    assert.equal(left.length, told.filter((errno) => errno === 'none').length);
    assert.equal(mended.gathered, names.length - left.length);
    const found = (await look(volume, root, 'lost+found'))!;
    assert.equal((await namesOf(volume, found)).length, mended.gathered);
    for (const name of names) if (!left.includes(name)) await put(volume, album, name, 'anew', true);
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
    assert.deepEqual((await openWithoutLost(await setup(store), inodesIn(store))).gathered, 0);
  });

test('names that a crash left to the journal are not lost with the page that they were to come into', async () => {
  const { store, album, pages } = await filled();
  let volume = await mounted(store);
  const late = Array.from({ length: 100 }, (_, index) => `late ${index}`);
  for (const name of late) await put(volume, album, name, name, true);
  store.restart();
  for (const page of pages.slice(0, 2)) store.lose(page);
  await openWithoutLost(await setup(store), inodesIn(store));
  volume = await mounted(store);
  const left = new Set(await namesOf(volume, album));
  assert.deepEqual(
    late.filter((name) => !left.has(name)),
    [],
  );
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
});

test('a program that makes files in such a directory hears EIO or makes them, and nothing waits for ever', async () => {
  const { store, album, pages } = await filled();
  store.lose(pages[0]!);
  const volume = await mounted(store);
  const made: string[] = [];
  for (let i = 0; i < 50; i++) if ((await errnoOf(() => put(volume, album, `new ${i}`, 'new', true))) === 'none') made.push(`new ${i}`);
  assert.ok(made.length > 0 && made.length < 50, String(made.length));
  await volume.close();
});

test('a volume with such a directory is deleted, as any other', async () => {
  const { store, pages } = await filled();
  store.lose(pages[0]!);
  const { inodes } = await purgeVolume(await setup(store));
  assert.ok(inodes > names.length / 2 && inodes < names.length);
  assert.deepEqual([store.peek(namedAddress(volumeId, 'volume')), store.peek(namedAddress(volumeId, `inode:${root}`))], [undefined, undefined]);
});
