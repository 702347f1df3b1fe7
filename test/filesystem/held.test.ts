/** What a killed daemon left in memory of an inode whose record is out of reach holds up that inode alone, and is there once it can be read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import { type Address, namedAddress, ownerOf, Sealer } from '../../src/block/index.ts';
import { FileSystemError, type Volume } from '../../src/filesystem/index.ts';
import { versionOf } from '../../src/filesystem/inodes/written.ts';
import type { CommitResult, Stage } from '../../src/store/index.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { eventually } from '../suites/transport-suite.ts';
import { contentOf, errnoOf, look, namesOf, open, put, root, user, volumeId } from './harness.ts';
import { Run } from './random-run.ts';
import { steps } from './random-steps.ts';
import { assertDurable, Host, Memory } from './redo-host.ts';
import { UnreadableStore } from './unreadable-store.ts';

function lose(store: UnreadableStore, inodes: readonly number[], code: ErrorCode = 'unavailable'): void {
  const addresses = new Set(inodes.map((inode) => namedAddress(volumeId, `inode:${inode}`)));
  store.lacks = (address) => (addresses.has(address) ? code : undefined);
}

/** All but the root. */
function inodes(store: UnreadableStore): number[] {
  const numbers = Array.from(store.mutableAddresses(), (address) => ownerOf(store.peek(address)!.payload).inode);
  return [...new Set(numbers)].filter((number) => number > root);
}

const blockBytes = 600 * 1024;

/** A block that another host puts into the file: it is all of it then. */
async function putElsewhere(
  store: UnreadableStore,
  { lending }: Volume,
  file: number,
): Promise<{ readonly address: Address; readonly session: number }> {
  const { image, session } = (await lending.lend(file, () => {}))!;
  const expect = versionOf(image.attributes);
  const owner = { volume: Buffer.from(volumeId, 'hex'), inode: file, epoch: 0, session, sequence: 1 };
  const { address, sealed } = new Sealer().seal(owner, Buffer.alloc(blockBytes, 'a'));
  await store.commit([{ put: [{ address, sealed }] }]);
  const changed = { seconds: expect.changed.seconds + 1, nanoseconds: 7 };
  const pieces = [{ offset: 0, length: blockBytes, address, at: 0, blockBytes }];
  await lending.apply(file, { expect, version: { ...expect, changed, size: blockBytes }, session, pieces, changes: {} }, () => true);
  return { address, session };
}

async function start(memory = new Memory()): Promise<Host<UnreadableStore>> {
  return Host.start(new UnreadableStore(), memory, { flushDelayMs: 2 });
}

test('a volume is served while inodes that a killed daemon wrote to are out of reach, and has all of it once they are back', async () => {
  const host = await start();
  const store = host.store;
  const directory = (await host.volume.mkdir(root, 'directory', 0o755, 0, user)).inode;
  const file = await put(host.volume, root, 'file', Buffer.alloc(100_000, 1), true);
  const [removed, replaced, moved] = await Promise.all(['removed', 'replaced', 'moved'].map((name) => put(host.volume, directory, name, name, true)));
  await host.volume.recall();
  const { usage } = host.volume;
  // Not synced, all of it: this one writes nothing out by itself.
  await host.volume.abandon();
  const stopped = await open(store, {}, { memory: (host.memory = new Memory()) });
  host.volume = stopped;
  await stopped.write(file, 0, 10, Buffer.from('written'), false);
  await stopped.setxattr(file, 'user.a', Buffer.from('b'), 0, false);
  await stopped.unlink(directory, 'removed');
  for (const inode of [removed!, replaced!]) stopped.forget(inode, 1);
  await stopped.rename(directory, 'moved', directory, 'replaced', 0);
  await stopped.link(file, directory, 'link');
  await put(stopped, directory, 'made', 'made');
  const content = await contentOf(stopped, file);
  const lost = [directory, file, removed!, replaced!, moved!];
  for (let death = 0; death < 3; death++) {
    lose(store, lost);
    const volume = await host.die(new Set(lost));
    assert.ok(volume.survived);
    for (const inode of [directory, file, moved!]) await assert.rejects(async () => volume.getattr(inode), { code: 'unavailable' });
    assert.notEqual(await errnoOf(() => volume.fsync(file, 0, false)), 'none');
    // It is not durable, and nobody is told that it is.
    assert.notEqual(await errnoOf(() => volume.syncfs()), 'none');
    await assert.rejects(volume.close());
    assert.ok([...volume.unsynced()].includes(file));
    assert.equal((await contentOf(volume, await put(volume, root, 'other', `${death}`, true))).toString(), `${death}`);
  }
  const volume = await host.die(new Set(lost));
  store.lacks = () => undefined;
  assert.ok((await contentOf(volume, file)).equals(content));
  assert.equal(Buffer.from(await volume.getxattr(file, 'user.a')).toString(), 'b');
  assert.deepEqual((await namesOf(volume, directory)).toSorted(), ['link', 'made', 'replaced']);
  assert.equal(await look(volume, directory, 'replaced'), moved);
  assert.equal((await volume.getattr(file)).links, 2);
  assert.equal((await contentOf(volume, (await look(volume, directory, 'made'))!)).toString(), 'made');
  await eventually(() => volume.memory.unread === 0, 'all are read');
  await volume.syncfs();
  assert.equal(volume.usage.files, usage.files - 2 + 2);
  assert.deepEqual((await volume.check()).problems, []);
  store.restart();
  const after = await open(store);
  assert.ok((await contentOf(after, file)).equals(content));
  assert.deepEqual((await after.check()).problems, []);
  for (const inode of [removed!, replaced!]) assert.equal(store.peek(namedAddress(volumeId, `inode:${inode}`)), undefined);
});

test('a block that another host put, and that is out of reach, holds up its file alone', async () => {
  for (const code of ['unavailable', 'damaged'] as const) {
    const host = await start();
    const { store } = host;
    const file = await put(host.volume, root, 'file', Buffer.alloc(100_000, 1), true);
    await host.volume.recall();
    await host.volume.abandon();
    const stopped = await open(store, {}, { memory: (host.memory = new Memory()) });
    host.volume = stopped;
    const other = await put(stopped, root, 'other', 'not synced');
    const { address } = await putElsewhere(store, stopped, file);
    await stopped.write(file, 0, 10, Buffer.from('over'), false);
    await stopped.rename(root, 'file', root, 'moved', 0);
    // A write of its record is announced, and does not come about: the next mount looks at it, and writes it anew.
    const expected = await contentOf(stopped, file);
    const record = namedAddress(volumeId, `inode:${file}`);
    store.readable = true;
    store.lacks = (which) => (which === record ? 'unavailable' : undefined);
    if (code === 'unavailable') await assert.rejects(stopped.lending.persist(file));
    store.readable = false;
    for (let death = 0; death < 3; death++) {
      store.lacks = (which) => (which === address ? code : undefined);
      const volume = await host.die(new Set([file]));
      assert.ok(volume.survived);
      await assert.rejects(async () => volume.getattr(file), { code });
      assert.deepEqual((await namesOf(volume, root)).toSorted(), ['moved', 'other']);
      assert.equal((await contentOf(volume, other)).toString(), 'not synced');
      assert.notEqual(await errnoOf(() => volume.syncfs()), 'none');
    }
    store.lacks = () => undefined;
    assert.ok((await contentOf(host.volume, file)).equals(expected));
    await host.volume.syncfs();
    assert.deepEqual((await host.volume.check()).problems, []);
    store.restart();
    assert.ok((await contentOf(await open(store), file)).equals(expected));
  }
});

test('a block that another host put into a file that is not durable yet, and that is out of reach, is missed by whoever reads it alone', async () => {
  for (const code of ['unavailable', 'damaged', 'lost'] as const) {
    const host = await start();
    const { store } = host;
    await host.volume.abandon();
    const stopped = await open(store, {}, { memory: (host.memory = new Memory()) });
    host.volume = stopped;
    const other = await put(stopped, root, 'other', 'not synced');
    const file = await put(stopped, root, 'file', '');
    const { address, session } = await putElsewhere(store, stopped, file);
    await stopped.write(file, 0, 10, Buffer.from('over'), false);
    await stopped.rename(root, 'file', root, 'moved', 0);
    const expected = await contentOf(stopped, file);
    const blocks = [{ address, inode: file, session }];
    store.lacks = (which) => (which === address ? code : undefined);
    for (let death = 0; death < 3; death++) {
      const volume = await host.die(new Set([file]));
      assert.ok(volume.survived);
      assert.deepEqual((await namesOf(volume, root)).toSorted(), ['moved', 'other']);
      assert.equal((await contentOf(volume, other)).toString(), 'not synced');
      assert.equal((await volume.getattr(file)).size, blockBytes);
      await assert.rejects(contentOf(volume, file));
      assert.deepEqual(await volume.unreferenced(blocks), [], 'nobody takes it away');
      await volume.fsync(other, 0, false);
    }
    await host.volume.syncfs();
    assert.deepEqual(await host.volume.unreferenced(blocks), []);
    store.lacks = () => undefined;
    assert.ok((await contentOf(host.volume, file)).equals(expected));
    assert.deepEqual((await host.volume.check()).problems, []);
    store.restart();
    assert.ok((await contentOf(await open(store), file)).equals(expected));
  }
});

test('a file that can be neither written out nor read keeps nobody from filling the log', async () => {
  const host = await start(new Memory(4096 + 256 * 1024));
  const { store } = host;
  const file = await put(host.volume, root, 'file', 'old', true);
  const other = await put(host.volume, root, 'other', 'old', true);
  const { address } = await putElsewhere(store, host.volume, file);
  const expected = await contentOf(host.volume, file);
  const record = namedAddress(volumeId, `inode:${file}`);
  for (let death = 0; death < 3; death++) {
    store.lacks = (which) => (which === address || which === record ? 'unavailable' : undefined);
    for (let round = 0; round < 40; round++) {
      await host.volume.write(other, 0, 0, Buffer.alloc(20_000, round), false);
      if (round % 4 === 0) await host.volume.fsync(other, 0, false);
    }
    await eventually(() => host.memory.whole, 'the log is whole');
    if (death > 0) store.lacks = () => undefined;
    await host.die(new Set([file]));
  }
  store.lacks = () => undefined;
  assert.ok((await contentOf(host.volume, file)).equals(expected));
  await host.volume.syncfs();
  await host.volume.close();
});

test('what waits for an inode stays in the log however often that is filled, and comes off it with the inode', async () => {
  const host = await start(new Memory(4096 + 256 * 1024));
  const [file, other] = [await put(host.volume, root, 'file', 'old', true), await put(host.volume, root, 'other', 'old', true)];
  await host.volume.recall();
  const expected = Buffer.alloc(30_000, 7);
  await host.volume.write(file, 0, 0, expected, false);
  lose(host.store, [file]);
  for (let death = 0; death < 3; death++) {
    const volume = await host.die(new Set([file]));
    for (let round = 0; round < 40; round++) {
      await volume.write(other, 0, 0, Buffer.alloc(20_000, round), false);
      if (round % 4 === 0) await volume.fsync(other, 0, false);
    }
    await eventually(() => host.memory.whole, 'the log is whole');
  }
  host.store.lacks = () => undefined;
  const volume = await host.die(new Set([file]));
  assert.ok((await contentOf(volume, file)).equals(expected));
  await volume.syncfs();
  await volume.close();
});

test('an inode that is read while a flush is under way, which does not have it, stays in the log', async () => {
  class Gated extends UnreadableStore {
    gate: Promise<void> | undefined;
    waiting = 0;
    override async commit(stages: readonly Stage[]): Promise<CommitResult> {
      this.waiting++;
      await this.gate;
      return super.commit(stages);
    }
  }
  const store = new Gated();
  const host = await Host.start(store, undefined, { flushDelayMs: 2 });
  const [file, other] = [await put(host.volume, root, 'file', 'old', true), await put(host.volume, root, 'other', 'old', true)];
  await host.volume.recall();
  await host.volume.write(file, 0, 0, Buffer.from('new'), false);
  lose(store, [file]);
  const volume = await host.die(new Set([file]));
  const gate = Promise.withResolvers<void>();
  store.gate = gate.promise;
  const { waiting } = store;
  await volume.write(other, 0, 0, Buffer.from('new'), false);
  await eventually(() => store.waiting > waiting, 'it is being written out');
  store.lacks = () => undefined;
  await volume.getattr(file);
  lose(store, [file]);
  gate.resolve();
  store.gate = undefined;
  await volume.fsync(other, 0, false);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await host.die(new Set([file]));
  store.lacks = () => undefined;
  assert.equal((await contentOf(host.volume, file)).toString(), 'new');
});

test('what was left of an inode that a person gave up keeps nothing from being closed', async () => {
  const host = await start();
  const file = await put(host.volume, root, 'file', 'old', true);
  await host.volume.recall();
  await host.volume.write(file, 0, 0, Buffer.from('new'), false);
  lose(host.store, [file], 'lost');
  const volume = await host.die(new Set([file]));
  await assert.rejects(async () => volume.getattr(file), { code: 'lost' });
  await volume.close();
});

test('whichever records are out of reach of however many daemons after one was killed, all is as it was once they are back', async () => {
  let waiting = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps(60), { minLength: 1, maxLength: 4 }), fc.nat(), async (phases, seed) => {
      const random = seeded(seed);
      const store = new UnreadableStore({ random, delay: () => (random() < 0.1 ? new Promise((resolve) => setImmediate(resolve)) : undefined) });
      const host = await Host.start(store, undefined, { flushDelayMs: random() < 0.5 ? 1 : 3_600_000 });
      const run = new Run(store, host.volume);
      run.fails = true;
      for (const list of phases) {
        for (const step of list) await run.step(step);
        await run.givenBack();
        for (let deaths = Math.floor(random() * 3); deaths > 0; deaths--) {
          lose(
            store,
            inodes(store).filter(() => random() < 0.4),
            random() < 0.7 ? 'unavailable' : 'damaged',
          );
          if (random() < 0.3) {
            host.memory = host.memory.copy();
            store.restart();
            store.crashAfter(Math.floor(random() * 20));
            await open(store, {}, { memory: host.memory, inherits: true, resumed: true }).catch(() => {});
          }
          await host.die();
          waiting += host.volume.memory.held;
          await host.volume.syncfs().catch(only);
          if (random() < 0.3) store.lacks = () => undefined;
          if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, 3));
        }
        store.lacks = () => undefined;
        run.volume = random() < 0.5 ? await host.die() : host.volume;
        await Promise.all(run.background.splice(0));
        await run.compare();
      }
      run.volume = host.volume;
      await assertDurable(run);
    }),
    randomRuns(60),
  );
  assert.ok(waiting > 0);
});

/** A failure of the store. */
function only(error: unknown): void {
  if (!(error instanceof InfinitError || error instanceof FileSystemError)) throw error;
}
