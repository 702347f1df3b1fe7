/** A block of the journal that is out of reach when its turn comes is left out: names go on, and every later mount knows of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import { type Address, namedAddress } from '../../src/block/index.ts';
import { FileSystemError } from '../../src/filesystem/index.ts';
import { journalSlots } from '../../src/filesystem/journal/journal.ts';
import type { BlockStore } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { errnoOf, namesOf, open, put, root, volumeId } from './harness.ts';
import { Run } from './random-run.ts';
import { steps } from './random-steps.ts';
import { UnreadableStore } from './unreadable-store.ts';

const slots = Array.from({ length: journalSlots }, (_, slot) => namedAddress(volumeId, `journal:${slot}`));
/** As where two of five hosts are lost, but the one that a mount has to write. */
const threeInTen = slots.filter((_, slot) => slot % 10 > 6);
const own = namedAddress(volumeId, 'volume');

function lose(store: UnreadableStore, addresses: Iterable<Address>, code: ErrorCode = 'unavailable'): void {
  const lost = new Set(addresses);
  store.lacks = (address) => (lost.has(address) ? code : undefined);
}

/** A way to a store on which more is out of reach. */
function lacking(store: BlockStore, lacks: (address: Address) => boolean): BlockStore {
  const refuse = (): never => {
    throw new InfinitError('unavailable', 'out of reach');
  };
  return {
    get: (address) => store.get(address),
    fetch: async (address) => (lacks(address) ? refuse() : store.fetch(address)),
    commit: async (stages) => (stages.some(({ update = [] }) => update.some(({ address }) => lacks(address))) ? refuse() : store.commit(stages)),
  };
}

test('names go on while any blocks of the journal are out of reach, and are there after crashes, in reach or not', async () => {
  const store = new UnreadableStore();
  let volume = await open(store, { flushDelayMs: 2 });
  await put(volume, root, 'first', 'first', true);
  lose(store, threeInTen);
  const expected = ['first'];
  for (let round = 0; round < 3; round++) {
    // More than the journal has blocks.
    for (let count = 0; count < 150; count++) {
      await put(volume, root, `${round}-${count % 40}`, 'text', true);
      if (count % 40 === count) expected.push(`${round}-${count}`);
      else await volume.setattr(root, { mode: 0o755 });
      if (count % 7 === 0) {
        await volume.rename(root, 'first', root, 'first', 0);
        await volume.link((await volume.lookup(root, 'first'))!.inode, root, `link-${round}-${count}`);
        await volume.fsync(root, 0, false);
        expected.push(`link-${round}-${count}`);
      }
    }
    const lacks = store.lacks;
    if (round === 1) store.lacks = () => undefined;
    store.restart();
    volume = await open(store, { flushDelayMs: 2 }).catch((error: unknown) => {
      // The one that is next is among them.
      assert.equal((error as InfinitError).code, 'unavailable');
      store.lacks = () => undefined;
      return open(store, { flushDelayMs: 2 });
    });
    assert.deepEqual((await namesOf(volume, root)).toSorted(), expected.toSorted());
    store.lacks = lacks;
  }
  store.lacks = () => undefined;
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
  assert.deepEqual((await namesOf(await open(store), root)).toSorted(), expected.toSorted());
});

test('a block that was left out counts as never written, whatever is found there', async () => {
  let hidden = false;
  const journal = new Set(slots);
  const lost = new Set<Address>();
  const store = new MemoryBlockStore({
    fate: ({ address }) => {
      if (!hidden || !journal.has(address)) return 'normal';
      hidden = false;
      lost.add(address);
      return 'unknown-applied';
    },
  });
  const volume = await open(lacking(store, (address) => lost.has(address)));
  await put(volume, root, 'first', 'first', true);
  hidden = true;
  // It took effect, and is seen by nobody: what was told to be durable is what came after it.
  await put(volume, root, 'second', 'second', true);
  assert.equal(lost.size, 1);
  await volume.unlink(root, 'second');
  await volume.fsync(root, 0, false);
  const after = await open(store);
  assert.deepEqual(await namesOf(after, root), ['first']);
  assert.deepEqual((await after.check()).problems, []);
});

test('a host that lost the volume leaves out no block that the next one has made its own', async () => {
  const store = new MemoryBlockStore();
  const lost = new Set<Address>();
  const before = await open(lacking(store, (address) => lost.has(address)));
  await put(before, root, 'first', 'first', true);
  const after = await open(store);
  for (const address of slots.slice(0, 8)) lost.add(address);
  assert.equal(await errnoOf(() => put(before, root, 'lost', 'lost', true)), 'EIO');
  await put(after, root, 'second', 'second', true);
  for (const volume of [after, await open(store)]) assert.deepEqual((await namesOf(volume, root)).toSorted(), ['first', 'second']);
});

test('no block is written behind one that is left out before the volume’s own block says so', async () => {
  const store = new MemoryBlockStore();
  const lost = new Set<Address>();
  const volume = await open(lacking(store, (address) => lost.has(address)));
  await put(volume, root, 'first', 'first', true);
  for (const address of [own, ...slots.slice(0, 8)]) lost.add(address);
  assert.equal(await errnoOf(() => put(volume, root, 'second', 'second', true)), 'EIO');
  lost.delete(own);
  await volume.fsync(root, 0, false);
  assert.deepEqual((await namesOf(await open(store), root)).toSorted(), ['first', 'second']);
});

test('whichever blocks of the journal are out of reach, and whatever becomes of writes of them, names lose nothing in a crash', async () => {
  let left = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps(60), { minLength: 1, maxLength: 4 }), fc.nat(), async (phases, seed) => {
      const random = seeded(seed);
      let broken = false;
      const journal = new Set(slots);
      const store = new UnreadableStore({
        random,
        delay: () => (random() < 0.05 ? new Promise((resolve) => setImmediate(resolve)) : undefined),
        fate: ({ address }) => (broken && journal.has(address) && random() < 0.2 ? 'unknown-applied' : 'normal'),
      });
      const run = new Run(store, await open(store));
      run.fails = true;
      for (const list of phases) {
        broken = true;
        for (const [at, step] of list.entries()) {
          if (at % 8 === 0)
            lose(
              store,
              [...slots, own].filter((address) => random() < (address === own ? 0.1 : 0.4)),
              random() < 0.5 ? 'lost' : 'unavailable',
            );
          await run.step(step).catch((error: unknown) => {
            if (!(error instanceof InfinitError || (error instanceof FileSystemError && ['EIO', 'ENOSPC'].includes(error.errno)))) throw error;
          });
          left += store.lacks(slots[at % slots.length]!) === undefined ? 0 : 1;
        }
        if (random() < 0.5) store.crashAfter(Math.floor(random() * 5));
        await run.volume.syncfs().catch(() => {});
        store.restart();
        await Promise.all(run.background.splice(0));
        broken = false;
        // A mount that cannot make its own what comes next fails; it may have got as far as it did.
        if (random() < 0.5)
          await open(store)
            .then((volume) => volume.abandon())
            .catch(() => {});
        store.lacks = () => undefined;
        await run.recover();
      }
      assert.deepEqual((await run.volume.check()).problems, []);
      await run.volume.close();
    }),
    randomRuns(60),
  );
  assert.ok(left > 0);
});
