/** Blocks of a volume's own that all their hosts took along, and of which a person accepted that: it is never shown as an empty one, and is opened without them where a person wants that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { namedAddress, Sealer } from '../../src/block/index.ts';
import { checkVolume, openWithoutLost, purgeVolume, type Volume, type VolumeSetup } from '../../src/filesystem/index.ts';
import { journalSlots } from '../../src/filesystem/journal/journal.ts';
import { claimSession } from '../../src/node/volumes/volume-session.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, inodesIn, look, namesOf, open, put, root, TestClock, user, volumeId } from './harness.ts';

const named = (name: string): ReturnType<typeof namedAddress> => namedAddress(volumeId, name);

async function setup(store: MemoryBlockStore): Promise<VolumeSetup> {
  return { store, sealer: new Sealer(), volumeId, session: await claimSession(store, volumeId), clock: new TestClock(), logger: silentLogger };
}

async function mounted(store: MemoryBlockStore): Promise<Volume> {
  return open(store, {}, { session: await claimSession(store, volumeId) });
}

/** A volume with a directory and files in it, closed in order or not. */
async function filled(clean: boolean): Promise<MemoryBlockStore> {
  const store = new MemoryBlockStore();
  const volume = await mounted(store);
  const directory = (await volume.mkdir(root, 'directory', 0o755, 0, user)).inode;
  for (const name of ['a', 'b', 'c']) await put(volume, directory, name, name, true);
  await put(volume, root, 'file', 'file', true);
  if (clean) await volume.close();
  else store.restart();
  return store;
}

async function* inOrder(numbers: readonly number[]): AsyncGenerator<number> {
  yield* numbers;
}

for (const clean of [true, false]) {
  const how = clean ? 'closed in order' : 'left by a crash';
  test(`of a volume ${how} whose own block is lost nothing is hidden: it is refused, and opened with all it has where a person wants that`, async () => {
    const store = await filled(clean);
    store.lose(named('volume'));
    await assert.rejects(mounted(store), { code: 'lost', message: /where the journals begin .* is lost .* check --repair/ });
    const dry = await checkVolume(await setup(store));
    assert.deepEqual(dry.problems[0], { kind: 'lost-block', part: 'head' });
    await assert.rejects(mounted(store), { code: 'lost' });
    const { problems } = await openWithoutLost(await setup(store), inodesIn(store));
    assert.deepEqual(problems[0], { kind: 'lost-block', part: 'head' });
    const volume = await mounted(store);
    assert.deepEqual((await namesOf(volume, root)).toSorted(), ['directory', 'file']);
    const directory = (await look(volume, root, 'directory'))!;
    assert.deepEqual((await namesOf(volume, directory)).toSorted(), ['a', 'b', 'c']);
    assert.equal((await contentOf(volume, (await look(volume, directory, 'b'))!)).toString(), 'b');
    await put(volume, directory, 'd', 'd', true);
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  });

  for (const [what, address, said] of [
    ['root directory is lost', `inode:${root}`, /the root directory .* is lost .* check --repair/],
    ['root directory has lost its names', `directory:${root}`, /names of the root directory .* is lost .* check --repair/],
  ] as const) {
    // After a crash there is no page yet: the journal has the names.
    if (!clean && address.startsWith('directory')) continue;
    test(`a volume ${how} whose ${what} is not shown as an empty one, and where a person wants it all that is left is in lost+found`, async () => {
      const store = await filled(clean);
      store.lose(named(address));
      await assert.rejects(mounted(store), { code: 'lost', message: said });
      const dry = await checkVolume(await setup(store));
      assert.equal(dry.problems[0]!.kind, 'lost-block');
      await assert.rejects(mounted(store), { code: 'lost' });
      const { gathered } = await openWithoutLost(await setup(store), inodesIn(store));
      const volume = await mounted(store);
      if (clean && address.startsWith('directory')) {
        assert.equal(gathered, 2, 'the rest has its name in the directory');
        assert.deepEqual(await namesOf(volume, root), ['lost+found']);
        const home = (await look(volume, root, 'lost+found'))!;
        const found = await Promise.all((await namesOf(volume, home)).map(async (name) => (await look(volume, home, name))!));
        const attributes = await Promise.all(found.map(async (inode) => volume.getattr(inode)));
        const directory = attributes.find(({ mode }) => (mode & 0o170000) === 0o040000)!.inode;
        assert.deepEqual((await namesOf(volume, directory)).toSorted(), ['a', 'b', 'c']);
        assert.equal(await look(volume, directory, '..'), home);
        const file = found.find((inode) => inode !== directory)!;
        assert.equal((await contentOf(volume, file)).toString(), 'file');
        assert.equal((await volume.getattr(file)).links, 1);
      } else assert.deepEqual((await namesOf(volume, root)).toSorted(), ['directory', 'file']);
      await put(volume, root, 'anew', 'anew', true);
      assert.deepEqual((await volume.check()).problems, []);
      await volume.close();
      const again = await openWithoutLost(await setup(store), inodesIn(store));
      assert.deepEqual([again.gathered, again.problems], [0, []]);
    });
  }
}

test('a root directory that a person gave up, or its names, is made anew where that is wanted', async () => {
  for (const address of [`inode:${root}`, `directory:${root}`]) {
    const store = await filled(true);
    store.giveUp(named(address));
    assert.ok((await checkVolume(await setup(store))).problems.some(({ kind }) => kind === 'lost-block'));
    await openWithoutLost(await setup(store), inodesIn(store));
    const volume = await mounted(store);
    assert.deepEqual((await namesOf(volume, root)).toSorted(), address.startsWith('inode') ? ['directory', 'file'] : ['lost+found']);
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  }
});

test('what a directory in the middle named, whose page is lost, is found by a repair as well, and its usage stays right', async () => {
  const store = await filled(true);
  let volume = await mounted(store);
  const directory = (await look(volume, root, 'directory'))!;
  await volume.close();
  store.lose(named(`directory:${directory}`));
  const { gathered, problems } = await openWithoutLost(await setup(store), inodesIn(store));
  assert.deepEqual([gathered, problems], [3, []]);
  volume = await mounted(store);
  assert.deepEqual((await volume.check()).problems, []);
  assert.equal((await namesOf(volume, (await look(volume, root, 'lost+found'))!)).length, 3);
  await volume.close();
});

test('however many files are gathered, more than are kept in memory among them, each is found with one link, and directories with what is in them', async () => {
  const store = new MemoryBlockStore();
  let volume = await mounted(store);
  const directories: number[] = [];
  for (let index = 0; index < 60; index++) {
    const { inode } = await volume.mkdir(root, `directory-${index}`, 0o755, 0, user);
    directories.push(inode);
    await put(volume, inode, 'inside', `${index}`);
    await volume.mkdir(inode, 'below', 0o755, 0, user);
    const file = await put(volume, root, `file-${index}`, `${index}`);
    // Of two names one is left.
    await volume.link(file, root, `link-${index}`);
  }
  await volume.close();
  store.lose(named(`directory:${root}`));
  const { gathered, problems } = await openWithoutLost({ ...(await setup(store)), options: { maxCachedInodes: 16 } }, inodesIn(store));
  assert.equal(gathered, 120);
  assert.ok(
    problems.every(({ kind }) => kind === 'lost-block'),
    JSON.stringify(problems),
  );
  volume = await mounted(store);
  assert.deepEqual((await volume.check()).problems, []);
  const home = (await look(volume, root, 'lost+found'))!;
  assert.equal((await namesOf(volume, home)).length, 120);
  for (const inode of directories) {
    assert.equal(await look(volume, inode, '..'), home);
    assert.deepEqual((await namesOf(volume, inode)).toSorted(), ['below', 'inside']);
  }
  await volume.close();
});

test('what is gathered on one host after another, of which each knows of a part, has one name in the end', async () => {
  for (const order of [0, 1]) {
    const store = new MemoryBlockStore();
    let volume = await mounted(store);
    const upper = (await volume.mkdir(root, 'upper', 0o755, 0, user)).inode;
    const middle = (await volume.mkdir(upper, 'middle', 0o755, 0, user)).inode;
    const lower = (await volume.mkdir(middle, 'lower', 0o755, 0, user)).inode;
    const file = await put(volume, lower, 'file', 'file', true);
    await volume.close();
    store.lose(named(`directory:${root}`));
    const known = [[lower], [upper], [middle, file]];
    for (const part of order === 0 ? known : known.toReversed()) await openWithoutLost(await setup(store), inOrder(part));
    volume = await mounted(store);
    assert.deepEqual((await volume.check()).problems, []);
    const home = (await look(volume, root, 'lost+found'))!;
    assert.deepEqual(await namesOf(volume, home), [`#${upper}`]);
    assert.equal(await look(volume, middle, 'lower'), lower);
    assert.equal(await look(volume, lower, '..'), middle);
    await volume.close();
  }
});

test('a file that is gathered before the directory that names it is known has two names, and counts them', async () => {
  const store = await filled(true);
  let volume = await mounted(store);
  const directory = (await look(volume, root, 'directory'))!;
  const file = (await look(volume, directory, 'a'))!;
  await volume.close();
  store.lose(named(`directory:${root}`));
  for (const part of [[file], [directory]]) await openWithoutLost(await setup(store), inOrder(part));
  volume = await mounted(store);
  assert.deepEqual(
    (await volume.check()).problems.filter(({ kind }) => kind !== 'wrong-usage'),
    [],
  );
  assert.equal((await volume.getattr(file)).links, 2);
  await volume.close();
});

test('a name whose file is lost says EIO, not that there is none, and a repair takes it away, so that there can be another', async () => {
  const store = await filled(true);
  let volume = await mounted(store);
  const lost = { file: (await look(volume, root, 'file'))!, directory: (await look(volume, root, 'directory'))! };
  await volume.close();
  for (const inode of Object.values(lost)) store.lose(named(`inode:${inode}`));
  volume = await mounted(store);
  for (const name of Object.keys(lost)) await assert.rejects(async () => volume.lookup(root, name), { errno: 'EIO' });
  await assert.rejects(async () => volume.create(root, 'file', 0o644, 0, 2, user), { errno: 'EIO' });
  assert.deepEqual((await namesOf(volume, root)).toSorted(), ['directory', 'file']);
  await volume.close();
  const { gathered, problems } = await openWithoutLost(await setup(store), inodesIn(store));
  assert.equal(gathered, 3, 'what was in the directory');
  assert.deepEqual(problems.map((problem) => [problem.kind, 'name' in problem && problem.name]).toSorted(), [
    ['dangling-name', 'directory'],
    ['dangling-name', 'file'],
  ]);
  volume = await mounted(store);
  assert.deepEqual(await namesOf(volume, root), ['lost+found']);
  await put(volume, root, 'file', 'anew', true);
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
});

test('a volume that has nothing left but a file without a name is opened', async () => {
  const store = new MemoryBlockStore();
  let volume = await mounted(store);
  const { attributes } = await volume.tmpfile(root, 0o644, 0, 1, user);
  await volume.fsync(attributes.inode, 0, false);
  store.restart();
  volume = await mounted(store);
  await put(volume, root, 'file', 'file', true);
  await volume.unlink(root, 'file');
  await volume.close();
  volume = await mounted(store);
  assert.deepEqual(await namesOf(volume, root), []);
});

test('where the counters of sessions and inode numbers are lost, none is given a second time', async () => {
  const store = await filled(true);
  for (let round = 0; round < 2; round++) {
    const before = await claimSession(store, volumeId);
    store.lose(named('session'));
    store.lose(named('inodes'));
    const session = await claimSession(store, volumeId);
    assert.ok(session > before, `${session} after ${before}`);
    const volume = await open(store, {}, { session });
    const known = [root, ...(await Promise.all((await namesOf(volume, root)).map(async (name) => (await look(volume, root, name))!)))];
    const made = await put(volume, root, `new ${round}`, 'new', true);
    assert.ok(made > Math.max(...known));
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  }
});

test('a block of the journal of names that is lost in the middle is not taken for its end', async () => {
  const store = new MemoryBlockStore();
  const volume = await mounted(store);
  await put(volume, root, 'keep', 'keep', true);
  await volume.recall();
  const before = Array.from({ length: journalSlots }, (_, slot) => named(`journal:${slot}`)).filter(
    (address) => store.peek(address) !== undefined,
  ).length;
  for (const name of ['a', 'b', 'c', 'd']) await put(volume, root, name, name, true);
  store.restart();
  store.lose(named(`journal:${before + 2}`));
  await assert.rejects(mounted(store), { code: 'lost', message: /journal of names .* is lost/ });
  await openWithoutLost(await setup(store), inodesIn(store));
  const after = await mounted(store);
  const left = await namesOf(after, root);
  assert.ok(left.includes('keep') && left.includes('d'), left.join());
});

test('a removed volume is deleted whatever of its own is lost', async () => {
  for (const lost of ['volume', 'inode:1', 'directory:1', 'session', 'inodes']) {
    const store = await filled(true);
    store.lose(named(lost));
    await purgeVolume(await setup(store));
    assert.equal(store.peek(named('volume')), undefined, lost);
    assert.equal(store.peek(named('inode:1')), undefined, lost);
  }
});
