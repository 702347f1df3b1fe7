/** Blocks of a volume's journals that a person gave up: they are made anew when their turn comes, and one that may have had something keeps a volume from being mounted until a person wants it without. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { namedAddress, Sealer } from '../../src/block/index.ts';
import { checkVolume, openWithoutLost, type VolumeSetup } from '../../src/filesystem/index.ts';
import { contentSlots } from '../../src/filesystem/journal/content-journal-codec.ts';
import { journalSlots } from '../../src/filesystem/journal/journal.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { seeded } from '../suites/seeded.ts';
import { contentOf, inodesIn, look, namesOf, open, put, readAt, root, TestClock, volumeId } from './harness.ts';

const slotsOf = (name: string, count: number): ReturnType<typeof namedAddress>[] =>
  Array.from({ length: count }, (_, slot) => namedAddress(volumeId, `${name}:${slot}`));
const [names, contents] = [slotsOf('journal', journalSlots), slotsOf('content', contentSlots)];

let session = 1_000_000;

function setup(store: MemoryBlockStore): VolumeSetup {
  return { store, sealer: new Sealer(), volumeId, session: session++, clock: new TestClock(), logger: silentLogger };
}

test('blocks that are given up ahead of their use are made anew when their turn comes, mounted or not', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  const file = await put(volume, root, 'file', Buffer.alloc(64 * 1024, 1), true);
  await volume.recall();
  const expected = ['file'];
  for (let round = 0; round < 3; round++) {
    const random = seeded(round);
    for (const address of [...names, ...contents]) if (store.peek(address) === undefined && random() < 0.5) store.giveUp(address);
    for (let count = 0; count < 20; count++) {
      expected.push(`${round}-${count}`);
      await put(volume, root, expected.at(-1)!, 'text', true);
      await volume.write(file, 0, 10 * round, Buffer.alloc(10, round), false);
      await volume.fsync(file, 0, false);
    }
    await volume.close();
    volume = await open(store);
    assert.deepEqual((await namesOf(volume, root)).toSorted(), expected.toSorted());
    assert.deepEqual((await volume.check()).problems, []);
  }
});

test('a block that is given up under a mount is made anew, and nobody hears of it', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const file = await put(volume, root, 'file', Buffer.alloc(64 * 1024, 1), true);
  for (let count = 0; count < 2 * journalSlots; count++) {
    if (count % 8 === 0) for (const address of [...names, ...contents].filter((_, at) => at % 3 === 0)) store.giveUp(address);
    await volume.rename(root, count === 0 ? 'file' : `${count - 1}`, root, `${count}`, 0);
    await volume.fsync(root, 0, false);
    await volume.write(file, 0, count, Buffer.from('x'), false);
    await volume.fsync(file, 0, false);
    assert.equal((await contentOf(volume, await put(volume, root, 'new', `${count}`, true))).toString(), `${count}`);
    if (count % 20 === 0) await volume.recall();
  }
  await volume.close();
  const after = await open(store);
  assert.deepEqual((await namesOf(after, root)).toSorted(), [`${2 * journalSlots - 1}`, 'new'].toSorted());
  assert.ok((await readAt(after, file, 0, 2 * journalSlots)).equals(Buffer.alloc(2 * journalSlots, 'x')));
});

test('a volume of which a block of the journal of names is lost says so, and is mounted without it where a person wants that', async () => {
  for (let which = 0; which < 4; which++) {
    const store = new MemoryBlockStore();
    let volume = await open(store);
    const keep = await put(volume, root, 'keep', 'keep', true);
    await volume.recall();
    const before = names.filter((address) => store.peek(address) !== undefined).length;
    for (const name of ['a', 'b', 'c', 'd']) await put(volume, root, name, name, true);
    store.restart();
    store.giveUp(names[before + 1 + which]!);
    await assert.rejects(open(store), { code: 'lost', message: /journal of names .* is lost .* check --repair/ });
    const dry = await checkVolume(setup(store));
    assert.deepEqual(dry.problems[0], { kind: 'lost-block', journal: 'names', position: before + 1 + which });
    // That changed nothing.
    await assert.rejects(open(store), { code: 'lost' });
    const report = await openWithoutLost(setup(store), inodesIn(store));
    assert.equal(report.problems[0]!.kind, 'lost-block');
    for (let mounts = 0; mounts < 2; mounts++) {
      volume = await open(store);
      const left = ['a', 'b', 'c', 'd'].filter((_, index) => index !== which);
      assert.deepEqual((await namesOf(volume, root)).toSorted(), ['keep', 'lost+found', ...left].toSorted());
      // The file is there whose name that block had.
      const home = (await look(volume, root, 'lost+found'))!;
      const [found] = await namesOf(volume, home);
      assert.equal((await contentOf(volume, (await look(volume, home, found!))!)).toString(), ['a', 'b', 'c', 'd'][which]);
      assert.equal((await contentOf(volume, keep)).toString(), 'keep');
      assert.deepEqual((await volume.check()).problems, []);
      await volume.close();
    }
  }
});

test('a volume of which blocks of the journal of contents are lost says so, and is mounted without them where a person wants that', async () => {
  for (const which of [[0], [2], [4], [3, 4], [0, 1, 2, 3, 4]]) {
    const store = new MemoryBlockStore();
    let volume = await open(store);
    const file = await put(volume, root, 'file', Buffer.alloc(64 * 1024, 1), true);
    await volume.recall();
    const expected = Buffer.alloc(50, 1);
    for (let count = 0; count < 5; count++) {
      if (!which.includes(count)) expected.fill(7, 10 * count, 10 * count + 10);
      await volume.write(file, 0, 10 * count, Buffer.alloc(10, 7), false);
      await volume.fsync(file, 0, false);
    }
    store.restart();
    for (const slot of which) store.giveUp(contents[slot]!);
    await assert.rejects(open(store), { code: 'lost', message: /journal of contents .* check --repair/ });
    const { problems } = await checkVolume(setup(store));
    assert.deepEqual(new Set(problems), new Set(which.map((position) => ({ kind: 'lost-block', journal: 'contents', position }))));
    await openWithoutLost(setup(store), inodesIn(store));
    for (let mounts = 0; mounts < 3; mounts++) {
      volume = await open(store);
      assert.ok((await readAt(volume, file, 0, 50)).equals(expected), `${which.join()} after ${mounts}`);
      expected.fill(20 + mounts, 0, 10);
      await volume.write(file, 0, 0, Buffer.alloc(10, 20 + mounts), false);
      await volume.fsync(file, 0, false);
      assert.deepEqual((await volume.check()).problems, []);
      if (mounts === 1) store.restart();
      else await volume.close();
    }
  }
});

test('a volume that was closed in order has nothing in its journals that could be lost', async () => {
  for (const rings of [names, contents, [...names, ...contents]]) {
    const store = new MemoryBlockStore();
    let volume = await open(store);
    const file = await put(volume, root, 'file', Buffer.alloc(64 * 1024, 1), true);
    await volume.write(file, 0, 0, Buffer.from('synced'), false);
    await volume.fsync(file, 0, false);
    await volume.close();
    for (const address of rings) if (store.peek(address) !== undefined || rings === names) store.giveUp(address);
    for (let mounts = 0; mounts < 3; mounts++) {
      volume = await open(store);
      assert.equal((await readAt(volume, file, 0, 6)).toString(), 'synced');
      await put(volume, root, `${mounts}`, 'text', true);
      await volume.write(file, 0, 10, Buffer.from(`${mounts}`), false);
      await volume.fsync(file, 0, false);
      assert.equal((await volume.check()).problems.length, 0);
      await volume.close();
    }
  }
});
