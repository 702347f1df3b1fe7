/** A new inode whose record is out of reach has it in the journal: it keeps no name of others from becoming durable, and is there once its place is back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { InfinitError } from '../../src/base/index.ts';
import { type Address, namedAddress } from '../../src/block/index.ts';
import { FileSystemError } from '../../src/filesystem/index.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { contentOf, namesOf, open, put, root, user, volumeId } from './harness.ts';
import { Run } from './random-run.ts';
import { steps } from './random-steps.ts';
import { UnreadableStore } from './unreadable-store.ts';

/** In [0, 1). */
function lot(address: Address, salt: number): number {
  return seeded(Number.parseInt(address.slice(-7), 16) ^ salt)();
}

const own = namedAddress(volumeId, 'volume');

/** Records of inodes that were made after this. */
function ofNew(): (address: Address) => boolean {
  const numbers = Array.from({ length: 4000 }, (_, index) => index + 16);
  const places = new Set([0, 1, 2, 3].flatMap((chunk) => numbers.map((number) => namedAddress(volumeId, `inode:${number + chunk * 2 ** 20}`))));
  return (address) => places.has(address);
}

test('names go on while records of new inodes are out of reach, and whatever was made is there after crashes', async () => {
  const store = new UnreadableStore();
  let volume = await open(store, { flushDelayMs: 2 });
  const isNew = ofNew();
  const expected: string[] = [];
  for (let round = 0; round < 3; round++) {
    store.lacks = (address) => (isNew(address) && lot(address, 1) < 0.4 ? 'unavailable' : undefined);
    const links: number[] = [];
    for (let count = 0; count < 60; count++) {
      const name = `${round}-${count}`;
      expected.push(name);
      if (count % 3 === 0) await volume.mkdir(root, name, 0o750, 0, user);
      else if (count % 3 === 1) links.push((await volume.symlink(root, name, `target of ${name}`, user)).inode);
      else await put(volume, root, name, '');
      // Its own record is in reach.
      await volume.fsyncdir(root, 0);
      assert.equal(volume.memory.operations, 0);
    }
    await volume.rename(root, expected.pop()!, root, `moved-${round}`, 0);
    expected.push(`moved-${round}`);
    await volume.fsyncdir(root, 0);
    store.restart();
    volume = await open(store, { flushDelayMs: 2 });
    assert.deepEqual((await namesOf(volume, root)).toSorted(), expected.toSorted());
    store.lacks = () => undefined;
    for (const link of links) assert.match(await volume.readlink(link), /^target of/);
    if (round === 1) await volume.recall();
  }
  await volume.recall();
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
  volume = await open(store);
  assert.deepEqual((await volume.check()).problems, []);
});

test('names go on while there is no room for records of new inodes, and whatever was made is there after crashes', async () => {
  const store = new UnreadableStore();
  let volume = await open(store, { flushDelayMs: 2 });
  const isNew = ofNew();
  const expected: string[] = [];
  for (let round = 0; round < 3; round++) {
    store.lacks = (address) => (isNew(address) && lot(address, 1) < 0.4 ? 'disk-full' : undefined);
    for (let count = 0; count < 30; count++) {
      const name = `${round}-${count}`;
      expected.push(name);
      if (count % 2 === 0) await volume.mkdir(root, name, 0o750, 0, user);
      else await put(volume, root, name, '');
      // Whoever is told that it is made is told so once: another host’s program would hear that it was not.
      await volume.fsyncdir(root, 0);
      assert.equal(volume.memory.operations, 0);
    }
    await volume.rename(root, expected.pop()!, root, `moved-${round}`, 0);
    expected.push(`moved-${round}`);
    await volume.unlink(root, expected.splice(expected.indexOf(`${round}-1`), 1)[0]!);
    await volume.fsyncdir(root, 0);
    store.restart();
    volume = await open(store, { flushDelayMs: 2 });
    assert.deepEqual((await namesOf(volume, root)).toSorted(), expected.toSorted());
    store.lacks = () => undefined;
    if (round === 1) await volume.recall();
  }
  await volume.recall();
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
  volume = await open(store);
  assert.deepEqual((await volume.check()).problems, []);
});

test('what is synced of a file whose record is only in the journal is there after a crash', async () => {
  const store = new UnreadableStore();
  const volume = await open(store, { flushDelayMs: 2 });
  const isNew = ofNew();
  store.lacks = (address) => (isNew(address) ? 'unavailable' : undefined);
  const { attributes, handle } = await volume.create(root, 'new', 0o640, 0, 1, user);
  await volume.fsyncdir(root, 0);
  await volume.write(attributes.inode, handle, 0, Buffer.alloc(20_000, 7), false);
  await volume.fsync(attributes.inode, handle, false);
  store.restart();
  const lost = store.lacks;
  for (const lacks of [lost, lost, () => undefined]) {
    store.lacks = lacks;
    const after = await open(store);
    if (lacks === lost) {
      await assert.rejects(async () => after.getattr(attributes.inode));
      await after.recall();
    } else assert.ok((await contentOf(after, attributes.inode)).equals(Buffer.alloc(20_000, 7)));
    await after.abandon();
    store.restart();
  }
});

test('whatever but the volume’s own block is out of reach, and whatever becomes of writes, nothing that was acknowledged is lost', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps(60), { minLength: 1, maxLength: 4 }), fc.nat(), async (phases, seed) => {
      const random = seeded(seed);
      let broken = false;
      const store = new UnreadableStore({
        random,
        delay: () => (random() < 0.05 ? new Promise((resolve) => setImmediate(resolve)) : undefined),
        fate: () => (broken && random() < 0.05 ? 'unknown-applied' : 'normal'),
      });
      const run = new Run(store, await open(store, { flushDelayMs: 1 }));
      run.fails = true;
      for (const list of phases) {
        broken = true;
        // A step that cannot read what it needs fails in the volume, and is done in the model.
        store.readable = true;
        const rate = random() * 0.5;
        const code = random() < 0.3 ? 'disk-full' : 'unavailable';
        for (const [at, step] of list.entries()) {
          const salt = Math.floor(random() * 2 ** 30);
          if (at % 12 === 0) store.lacks = (address) => (address !== own && lot(address, salt) < rate ? code : undefined);
          await run.step(step).catch((error: unknown) => {
            if (!(error instanceof InfinitError || (error instanceof FileSystemError && ['EIO', 'ENOSPC'].includes(error.errno)))) throw error;
          });
          if (random() < 0.1) await new Promise((resolve) => setTimeout(resolve, 2));
        }
        if (random() < 0.5) store.crashAfter(Math.floor(random() * 8));
        await run.volume.syncfs().catch(() => {});
        store.restart();
        await Promise.all(run.background.splice(0));
        broken = false;
        store.readable = false;
        for (let mounts = Math.floor(random() * 3); mounts > 0; mounts--) {
          const volume = await open(store, { flushDelayMs: 1 }).catch(() => undefined);
          await volume?.recall().catch(() => {});
          await volume?.abandon();
          store.restart();
        }
        store.lacks = () => undefined;
        await run.recover();
      }
      assert.deepEqual((await run.volume.check()).problems, []);
      await run.volume.close();
    }),
    randomRuns(20),
  );
});
