/** A record that cannot be read when a volume is opened holds up its inode alone, and nothing that was acknowledged of it is lost or seen as it was before. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import { namedAddress, ownerOf } from '../../src/block/index.ts';
import { FileSystemError, type UnreadNotice, type Volume } from '../../src/filesystem/index.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { eventually } from '../suites/transport-suite.ts';
import { contentOf, errnoOf, look, namesOf, open, put, readAt, root, user, volumeId } from './harness.ts';
import { Run } from './random-run.ts';
import { steps } from './random-steps.ts';
import { UnreadableStore } from './unreadable-store.ts';

const codes: readonly ErrorCode[] = ['unavailable', 'deadline-exceeded', 'damaged', 'lost'];

function lose(store: UnreadableStore, inodes: readonly number[], code: ErrorCode): void {
  const addresses = new Set(inodes.map((inode) => namedAddress(volumeId, `inode:${inode}`)));
  store.lacks = (address) => (addresses.has(address) ? code : undefined);
}

async function close(volume: Volume): Promise<void> {
  await volume.recall();
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
}

for (const code of codes)
  for (const [how, end] of Object.entries({
    'a crash': (store: UnreadableStore) => Promise.resolve(store.restart()),
    'a take-over': () => Promise.resolve(),
    'an end in order': (_: UnreadableStore, volume: Volume) => volume.close(),
  }))
    test(`a record that cannot be read (${code}) after ${how} holds up its inode alone, which is as it was left once it can`, async () => {
      const store = new UnreadableStore();
      let volume = await open(store);
      const directory = (await volume.mkdir(root, 'directory', 0o755, 0, user)).inode;
      const large = await put(volume, root, 'large', Buffer.alloc(100_000, 1), true);
      const another = await put(volume, root, 'another', Buffer.alloc(100_000, 1), true);
      const removed = await put(volume, root, 'removed', 'removed', true);
      await volume.recall();
      // Of each the journals have something that its record has not.
      await volume.write(large, 0, 10, Buffer.from('synced'), false);
      await volume.fsync(large, 0, false);
      const made = await put(volume, root, 'made', 'made', true);
      await volume.link(large, root, 'link');
      await put(volume, directory, 'within', 'within', true);
      await volume.unlink(root, 'removed');
      volume.forget(removed, 1);
      await volume.fsync(root, 0, false);
      const { usage } = volume;
      await end(store, volume);
      const lost = [directory, large, made, removed];
      for (let mounts = 0; mounts < 3; mounts++) {
        lose(store, lost, code);
        volume = await open(store, { flushDelayMs: 2 });
        for (const inode of [directory, large, made]) await assert.rejects(async () => volume.getattr(inode), { code });
        await assert.rejects(async () => volume.fsync(large, 0, false));
        assert.deepEqual((await namesOf(volume, root)).filter((name) => name !== 'other').sort(), ['another', 'directory', 'large', 'link', 'made']);
        // A listing with attributes has them of all others.
        const listed = await volume.readdir(root, 0, 0, 4096, true);
        assert.ok(listed.some(({ name, attributes }) => name === 'made' && attributes === undefined));
        // Everything else goes on.
        const other = await put(volume, root, 'other', `${mounts}`, true);
        assert.equal((await contentOf(volume, other)).toString(), `${mounts}`);
        // What the journal of contents has of others goes its way.
        for (let count = 0; count < 2; count++) {
          await volume.write(another, 0, count, Buffer.from('another'), false);
          await volume.fsync(another, 0, false);
          await volume.recall();
        }
        if (mounts === 1) await volume.close();
        else store.restart();
      }
      volume = await open(store, { flushDelayMs: 2 });
      store.lacks = () => undefined;
      assert.equal((await readAt(volume, large, 10, 6)).toString(), 'synced');
      assert.equal((await volume.getattr(large)).links, 2);
      assert.deepEqual(await namesOf(volume, directory), ['within']);
      assert.equal((await contentOf(volume, made)).toString(), 'made');
      await eventually(() => volume.memory.unread === 0, 'all are read');
      assert.equal(volume.usage.files, usage.files + 1);
      await close(volume);
      assert.equal(store.peek(namedAddress(volumeId, `inode:${removed}`)), undefined);
      await close(await open(store));
    });

test('a record that can be read in the very moment in which a volume is closed has what the journals have of it', async () => {
  const store = new UnreadableStore();
  let volume = await open(store);
  const file = await put(volume, root, 'file', Buffer.alloc(100_000, 1), true);
  await volume.recall();
  await volume.write(file, 0, 10, Buffer.from('synced'), false);
  await volume.fsync(file, 0, false);
  store.restart();
  // One more call that reads it fails each time, until it is read before, between or after the steps of a close.
  for (let failures = 1; failures < 6; failures++) {
    lose(store, [file], 'unavailable');
    volume = await open(store);
    let left = failures;
    const lacks = store.lacks;
    store.lacks = (address) => (lacks(address) !== undefined && left-- > 0 ? 'unavailable' : undefined);
    const asks = (async () => {
      for (let asked = 0; asked < 6; asked++) {
        await Promise.resolve(volume.getattr(file)).catch(() => {});
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    await volume.close();
    await asks.catch(() => {});
    store.restart();
    store.lacks = () => undefined;
    volume = await open(store);
    assert.equal((await readAt(volume, file, 10, 6)).toString(), 'synced', `after ${failures} failures`);
    await volume.abandon();
    store.restart();
  }
});

test('contents that wait for one inode fill their journal, and every fsync goes on, from mount to mount', async () => {
  const store = new UnreadableStore();
  let volume = await open(store);
  const [file, other] = await Promise.all(['file', 'other'].map((name) => put(volume, root, name, Buffer.alloc(200_000, 1), true)));
  await volume.recall();
  await volume.write(file!, 0, 10, Buffer.from('synced'), false);
  await volume.fsync(file!, 0, false);
  const expected = Buffer.alloc(200_000, 1);
  for (let mounts = 0; mounts < 3; mounts++) {
    store.restart();
    lose(store, [file!], 'unavailable');
    volume = await open(store);
    // More than the journal has blocks, in all of them.
    for (let count = 0; count < 500; count++) {
      const at = 300 * count + mounts;
      expected.fill(count % 251, at, at + 200);
      await volume.write(other!, 0, at, expected.subarray(at, at + 200), false);
      await volume.fsync(other!, 0, false);
      if (count % 100 === 0) await volume.recall();
    }
  }
  store.restart();
  store.lacks = () => undefined;
  volume = await open(store);
  assert.equal((await readAt(volume, file!, 10, 6)).toString(), 'synced');
  assert.ok((await contentOf(volume, other!)).equals(expected));
  await close(volume);
});

test('a file without a name whose record cannot be read is removed once it can', async () => {
  const store = new UnreadableStore();
  let volume = await open(store);
  const removed = await put(volume, root, 'removed', 'removed', true);
  const handle = await volume.open(removed, 0);
  await volume.unlink(root, 'removed');
  await volume.recall();
  assert.ok(handle > 0);
  store.restart();
  lose(store, [removed], 'unavailable');
  volume = await open(store, { flushDelayMs: 2 });
  await put(volume, root, 'other', 'other', true);
  store.lacks = () => undefined;
  await eventually(() => volume.memory.unread === 0, 'it is read');
  await close(volume);
  assert.equal(store.peek(namedAddress(volumeId, `inode:${removed}`)), undefined);
});

test('a file without a name that is read as its volume is closed leaves nothing behind, and is counted out', async () => {
  const store = new UnreadableStore();
  const before = await open(store);
  const removed = await put(before, root, 'removed', 'removed', true);
  await before.open(removed, 0);
  await before.recall();
  await before.unlink(root, 'removed');
  await before.fsync(root, 0, false);
  store.restart();
  lose(store, [removed], 'unavailable');
  const volume = await open(store);
  store.lacks = () => undefined;
  await volume.close();
  await close(await open(store));
  assert.equal(store.peek(namedAddress(volumeId, `inode:${removed}`)), undefined);
});

test('a volume whose counter of inode numbers is out of reach is opened, and only what makes something waits for it', async () => {
  const store = new UnreadableStore();
  let volume = await open(store);
  const file = await put(volume, root, 'file', 'text', true);
  await put(volume, root, 'removed', 'text', true);
  const counter = namedAddress(volumeId, 'inodes');
  for (let mounts = 0; mounts < 3; mounts++) {
    store.restart();
    store.lacks = (address) => (address === counter ? 'unavailable' : undefined);
    volume = await open(store, {}, { lostAny: mounts === 1 });
    await volume.write(file, 0, mounts, Buffer.from('x'), false);
    assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), mounts === 1 ? 'EIO' : 'none');
    await volume.rename(root, mounts === 0 ? 'removed' : `${mounts - 1}`, root, `${mounts}`, 0);
    // Any may have lost something: it says so once.
    await errnoOf(() => volume.fsync(root, 0, false));
    await assert.rejects(put(volume, root, 'new', 'new'), { code: 'unavailable' });
    await volume.fsync(root, 0, false);
  }
  store.lacks = () => undefined;
  const made = await put(volume, root, 'new', 'new', true);
  store.restart();
  volume = await open(store);
  assert.equal((await contentOf(volume, made)).toString(), 'new');
  assert.equal((await contentOf(volume, file)).toString(), 'xxxt');
  assert.deepEqual((await namesOf(volume, root)).toSorted(), ['2', 'file', 'new']);
  await close(volume);
});

test('what cannot be read is told for people, without what may not be there, and that all is read again', async () => {
  const store = new UnreadableStore();
  let volume = await open(store);
  const files = await Promise.all(['a', 'b'].map((name) => put(volume, root, name, 'text', true)));
  store.restart();
  // Also all numbers that a crash may have left something under.
  lose(store, [...files, ...Array.from({ length: 512 }, (_, index) => Math.max(...files) + 1 + index)], 'unavailable');
  const told: (UnreadNotice | undefined)[] = [];
  volume = await open(store, { flushDelayMs: 2 }, { onUnread: (notice) => told.push(notice) });
  await eventually(() => told.length > 0, 'it is told');
  assert.deepEqual(told, [{ inodes: 2, held: 0, examples: files.toSorted((a, b) => a - b), reason: 'out of reach' }]);
  store.lacks = () => undefined;
  await eventually(() => told.length > 1 && told.at(-1) === undefined, 'all are read');
  lose(store, files, 'unavailable');
  await volume.close();
  assert.equal(told.filter((notice) => notice === undefined).length, 1);
});

test('a volume whose root cannot be read is not opened', async () => {
  const store = new UnreadableStore();
  const volume = await open(store);
  await put(volume, root, 'a', 'a', true);
  store.restart();
  lose(store, [root], 'unavailable');
  await assert.rejects(open(store), (error: InfinitError) => error.code === 'unavailable');
  store.lacks = () => undefined;
  assert.equal(typeof (await look(await open(store), root, 'a')), 'number');
});

test('whichever records cannot be read after a crash anywhere, what was acknowledged is there once they can', async () => {
  let unread = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(steps(60), fc.nat(80)), { minLength: 1, maxLength: 3 }), fc.nat(), async (phases, seed) => {
      const random = seeded(seed);
      const store = new UnreadableStore({ random, delay: () => (random() < 0.05 ? new Promise((resolve) => setImmediate(resolve)) : undefined) });
      const run = new Run(store, await open(store));
      for (const [list, writes] of phases) {
        store.crashAfter(writes);
        await run.untilCrash(list);
        // Mounts that some of it is out of reach of, each of which ends in its own way.
        for (let mounts = Math.floor(random() * 3); mounts > 0; mounts--) {
          lose(
            store,
            inodes(store).filter(() => random() < 0.4),
            codes[Math.floor(random() * codes.length)]!,
          );
          const volume = await open(store, { flushDelayMs: 1 });
          unread += volume.memory.unread;
          if (random() < 0.5) store.crashAfter(Math.floor(random() * 20));
          await volume.recall().catch(only);
          if (random() < 0.3) store.lacks = () => undefined;
          if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, 5));
          if (random() < 0.5) await volume.close().catch(only);
          else await volume.abandon();
          store.restart();
        }
        store.lacks = () => undefined;
        await run.recover();
      }
      await close(run.volume);
    }),
    randomRuns(60),
  );
  assert.ok(unread > 0);
});

/** All but the root. */
function inodes(store: UnreadableStore): number[] {
  const numbers = Array.from(store.mutableAddresses(), (address) => ownerOf(store.peek(address)!.payload).inode);
  return [...new Set(numbers)].filter((number) => number > root);
}

/** A failure of the store. */
function only(error: unknown): void {
  if (!(error instanceof InfinitError || error instanceof FileSystemError)) throw error;
}
