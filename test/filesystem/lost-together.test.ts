/** After several hosts were lost together nobody can tell of a block that is not found whether it ever was. Until a person accepts that a healthy volume does without such blocks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { InfinitError } from '../../src/base/index.ts';
import { namedAddress } from '../../src/block/index.ts';
import { FileSystemError, type Volume } from '../../src/filesystem/index.ts';
import { inodeChunk } from '../../src/filesystem/inodes/inode-numbers.ts';
import { journalSlots } from '../../src/filesystem/journal/journal.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { contentOf, errnoOf, look, namesOf, open, put, readAt, root, TestClock, user, volumeId } from './harness.ts';
import { type LostHosts, LostTogetherStore } from './lost-together-store.ts';
import { Run } from './random-run.ts';
import { steps } from './random-steps.ts';
import { UnreadableStore } from './unreadable-store.ts';

const losses: readonly LostHosts[] = [
  { lost: 2, of: 5 },
  { lost: 3, of: 5 },
  { lost: 2, of: 12 },
  { lost: 3, of: 12 },
];
const list = namedAddress(volumeId, 'orphans');
/** Where directories have their names that the first mounts make. */
const pages = new Set(
  Array.from({ length: 20 }, (_, mount) => Array.from({ length: 300 }, (_unused, index) => mount * inodeChunk + index))
    .flat()
    .map((number) => namedAddress(volumeId, `directory:${number}`)),
);

/** A file that somebody has open, without a name. */
async function putNameless(volume: Volume, name: string, content: string): Promise<number> {
  const { attributes, handle } = await volume.create(root, name, 0o644, 0, 1, user);
  await volume.write(attributes.inode, handle, 0, Buffer.from(content), false);
  await volume.unlink(root, name);
  await volume.fsync(root, 0, false);
  return attributes.inode;
}

for (const hosts of losses)
  test(`programs hear nothing of the loss of ${hosts.lost} of ${hosts.of} hosts on a volume that is open and has lost nothing, and a crash takes nothing`, async () => {
    const store = new LostTogetherStore();
    const clock = new TestClock();
    let volume = await open(store, { flushDelayMs: 2 }, { clock });
    const big = await put(volume, root, 'big', Buffer.alloc(64 * 1024, 1), true);
    const old = (await volume.mkdir(root, 'old', 0o755, 0, user)).inode;
    await put(volume, old, 'before', 'before', true);
    await volume.recall();
    store.loseHosts(hosts);
    const made: string[] = [];
    let nameless = 0;
    // More than the journal has blocks, and more names than a leaf of a tree.
    for (let count = 0; count < journalSlots + 50; count++) {
      await put(volume, old, `${count}-${'x'.repeat(100)}`, `${count}`, true);
      await volume.write(big, 0, 10 * count, Buffer.alloc(10, 7), false);
      await volume.fsync(big, 0, false);
      if (count % 20 === 0) {
        made.push(`d${count}`);
        const { inode } = await volume.mkdir(root, `d${count}`, 0o755, 0, user);
        for (let name = 0; name < 100; name++) await put(volume, inode, `${name}-${'y'.repeat(100)}`, 'text');
        await volume.fsync(inode, 0, false);
      }
      if (count % 50 === 0) nameless = await putNameless(volume, `o${count}`, `${count}`);
      if (count % 64 === 0) {
        clock.now += 2000;
        await volume.recall();
      }
    }
    assert.equal((await readAt(volume, nameless, 0, 10)).toString(), '300');
    store.restart();
    store.accept();
    volume = await open(store, { flushDelayMs: 2 });
    assert.ok((await readAt(volume, big, 0, 10 * (journalSlots + 50))).equals(Buffer.alloc(10 * (journalSlots + 50), 7)));
    assert.equal((await namesOf(volume, old)).length, journalSlots + 51);
    assert.deepEqual((await namesOf(volume, root)).toSorted(), ['big', 'old', ...made].toSorted());
    for (const name of made) assert.equal((await namesOf(volume, (await look(volume, root, name))!)).length, 100);
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  });

test('a volume that was closed in order is opened though its list of files without a name may be lost, and goes on', async () => {
  const store = new LostTogetherStore();
  let volume = await open(store);
  await put(volume, root, 'file', 'file', true);
  await volume.close();
  store.mayBeLost = (address) => address === list;
  volume = await open(store, { flushDelayMs: 2 });
  const nameless = await putNameless(volume, 'nameless', 'text');
  for (let count = 0; count < 2 * journalSlots; count++) await put(volume, root, `${count % 20}-${count}`, 'text', true);
  assert.equal((await contentOf(volume, nameless)).toString(), 'text');
  store.restart();
  volume = await open(store, { flushDelayMs: 2 });
  // It was removed, as each is that nobody has open after a crash.
  assert.equal(await errnoOf(() => volume.getattr(nameless)), 'ESTALE');
  assert.equal(volume.usage.files, 2 + 2 * journalSlots);
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
});

test('a list of files without a name that is out of reach keeps nothing from becoming durable, and loses none of them', async () => {
  const store = new UnreadableStore();
  let volume = await open(store, { flushDelayMs: 2 });
  await put(volume, root, 'file', 'file', true);
  await volume.recall();
  const numbers: number[] = [];
  for (let round = 0; round < 3; round++) {
    store.lacks = (address) => (address === list ? 'unavailable' : undefined);
    numbers.push(await putNameless(volume, `early-${round}`, 'text'));
    for (let count = 0; count < journalSlots + 20; count++) await put(volume, root, `${count % 20}-${count}-${round}`, 'text', true);
    numbers.push(await putNameless(volume, `late-${round}`, 'text'));
    for (const number of numbers.slice(-2)) assert.equal((await contentOf(volume, number)).toString(), 'text');
    if (round === 1) await volume.close();
    else {
      // It is written as soon as it can be.
      if (round === 2) {
        store.lacks = () => undefined;
        await volume.recall();
        assert.ok(store.peek(list));
      }
      store.restart();
    }
    store.lacks = () => undefined;
    volume = await open(store, { flushDelayMs: 2 });
    assert.equal(volume.usage.files, 2 + (round + 1) * (journalSlots + 20));
    for (const number of numbers) assert.equal(await errnoOf(() => volume.getattr(number)), 'ESTALE');
    assert.deepEqual((await volume.check()).problems, []);
  }
  await volume.close();
});

test('a file that gets a name while the list that has it is out of reach keeps that name', async () => {
  const store = new UnreadableStore();
  let volume = await open(store, { flushDelayMs: 2 });
  const { attributes, handle } = await volume.tmpfile(root, 0o600, 0, 2, user);
  const { inode } = attributes;
  await volume.write(inode, handle, 0, Buffer.from('text'), false);
  await volume.recall();
  assert.ok(store.peek(list));
  store.lacks = (address) => (address === list ? 'unavailable' : undefined);
  await volume.link(inode, root, 'name');
  for (let count = 0; count < journalSlots + 20; count++)
    await put(volume, root, 'other', `${count}`, true).catch(() => volume.unlink(root, 'other'));
  store.restart();
  store.lacks = () => undefined;
  for (let mount = 0; mount < 2; mount++) {
    volume = await open(store, { flushDelayMs: 2 });
    assert.equal((await contentOf(volume, (await look(volume, root, 'name'))!)).toString(), 'text');
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  }
});

test('what a checkpoint carries on passes by blocks of the journal that are out of reach', async () => {
  for (const code of ['unavailable', 'lost'] as const) {
    const store = new UnreadableStore();
    let volume = await open(store, { flushDelayMs: 2 });
    const stuck = (await volume.mkdir(root, 'stuck', 0o755, 0, user)).inode;
    await put(volume, stuck, 'first', 'first', true);
    await volume.recall();
    const lost = new Set([namedAddress(volumeId, `directory:${stuck}`)]);
    for (let slot = 0; slot < journalSlots; slot++) if (slot % 3 !== 0) lost.add(namedAddress(volumeId, `journal:${slot}`));
    store.lacks = (address) => (lost.has(address) ? code : undefined);
    await put(volume, stuck, 'second', 'second', true);
    for (let count = 0; count < 2 * journalSlots; count++) await put(volume, root, `${count % 20}-${count}`, 'text', true);
    await volume.recall();
    store.restart();
    store.lacks = () => undefined;
    volume = await open(store);
    assert.deepEqual((await namesOf(volume, stuck)).toSorted(), ['first', 'second']);
    assert.equal((await namesOf(volume, root)).length, 1 + 2 * journalSlots);
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  }
});

test('whatever hosts are lost together, and whenever the machine dies, what was acknowledged is there once a person accepted the loss', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps(80), { minLength: 1, maxLength: 4 }), fc.nat(), async (phases, seed) => {
      const random = seeded(seed);
      let broken = false;
      const store = new LostTogetherStore({
        random,
        delay: () => (random() < 0.05 ? new Promise((resolve) => setImmediate(resolve)) : undefined),
        fate: () => (broken && random() < 0.02 ? 'unknown-applied' : 'normal'),
      });
      const run = new Run(store, await open(store));
      run.fails = true;
      for (const list of phases) {
        const { of, lost } = losses[Math.floor(random() * losses.length)]!;
        store.loseHosts({ of, lost });
        const { mayBeLost } = store;
        // Which of a directory's names are there is not known then: the model knows nothing of that.
        store.mayBeLost = (address) => !pages.has(address) && mayBeLost(address);
        broken = random() < 0.5;
        for (const step of list) {
          await run.step(step).catch((error: unknown) => {
            if (!(error instanceof InfinitError || (error instanceof FileSystemError && error.errno === 'EIO'))) throw error;
          });
        }
        if (random() < 0.5) store.crashAfter(Math.floor(random() * 8));
        await run.volume.syncfs().catch(() => {});
        store.restart();
        await Promise.all(run.background.splice(0));
        broken = false;
        // One that finds what may have been the last block of a journal gone fails, and changes nothing that matters.
        if (random() < 0.5)
          await open(store)
            .then((volume) => volume.abandon())
            .catch(() => {});
        store.accept();
        await run.recover();
      }
      assert.deepEqual((await run.volume.check()).problems, []);
      await run.volume.close();
    }),
    randomRuns(12),
  );
});
