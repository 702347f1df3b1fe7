import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Address, namedAddress } from '../../src/block/index.ts';
import { contentSlots } from '../../src/filesystem/journal/content-journal-codec.ts';
import { journalSlots } from '../../src/filesystem/journal/journal.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import type { BlockStore, CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, contentOf, look, namesOf, open, put, readAt, root, user, volumeId } from './harness.ts';

/** A host's way to a store, whose writes of some blocks are held up on the way until they are let through. */
class SlowWay implements BlockStore {
  readonly #store: BlockStore;
  readonly #slow: ReadonlySet<Address>;
  readonly #arrived = Promise.withResolvers<void>();
  readonly #let = Promise.withResolvers<void>();
  armed = false;
  /** Smaller writes pass. */
  leastUpdates = 1;

  constructor(store: BlockStore, slow: Iterable<string>) {
    this.#store = store;
    this.#slow = new Set(Array.from(slow, (name) => namedAddress(volumeId, name)));
  }

  /** Resolves when a write is held up. */
  get arrived(): Promise<void> {
    return this.#arrived.promise;
  }

  letThrough(): void {
    this.#let.resolve();
  }

  get(address: Address): Promise<Uint8Array> {
    return this.#store.get(address);
  }

  fetch(address: Address): ReturnType<BlockStore['fetch']> {
    return this.#store.fetch(address);
  }

  async commit(stages: readonly Stage[]): Promise<CommitResult> {
    const versions: (readonly number[])[] = [];
    for (const stage of stages) {
      const updates = stage.update ?? [];
      if (this.armed && updates.length >= this.leastUpdates && updates.some(({ address }) => this.#slow.has(address))) {
        this.#arrived.resolve();
        await this.#let.promise;
      }
      const result = await this.#store.commit([stage]);
      if (!result.done) return result;
      versions.push(...result.versions);
    }
    return { done: true, versions };
  }
}

function ring(name: string, slots: number): string[] {
  return Array.from({ length: slots }, (_, slot) => `${name}:${slot}`);
}

test('a name that was on its way when the volume went to another host never comes without its file', async () => {
  const store = new MemoryBlockStore();
  const way = new SlowWay(store, ring('journal', journalSlots));
  const before = await open(way);
  await put(before, root, 'synced', 'old', true);
  way.armed = true;
  // The file's record is durable, the block that names it is held up.
  const late = put(before, root, 'late', 'new', true);
  await way.arrived;
  const after = await open(store);
  way.letThrough();
  await assert.rejects(late);
  await put(after, root, 'more', 'text', true);
  for (const volume of [after, await open(store)]) {
    const names = await namesOf(volume, root);
    assert.ok(names.includes('synced') && names.includes('more'));
    for (const name of names) assert.ok((await contentOf(volume, (await look(volume, root, name))!)).length > 0, name);
  }
});

test('an fsync that was on its way when the volume went to another host does not come over what is written there', async () => {
  const store = new MemoryBlockStore();
  const way = new SlowWay(store, ring('content', contentSlots));
  const before = await open(way);
  const size = 100_000;
  const inode = await put(before, root, 'f', new Uint8Array(size), true);
  await before.recall();
  way.armed = true;
  const handle = await before.open(inode, 2);
  await before.write(inode, handle, 0, bytes('late'), false);
  const late = before.fsync(inode, handle, false) as Promise<void>;
  await way.arrived;
  const after = await open(store);
  way.letThrough();
  await assert.rejects(late);
  await after.write(inode, await after.open(inode, 2), 5000, bytes('after'), false);
  await after.fsync(inode, 0, false);
  // After a crash.
  const last = await open(store);
  assert.equal((await readAt(last, inode, 5000, 5)).toString(), 'after');
  assert.equal((await readAt(last, inode, 0, 4)).toString('latin1'), '\0\0\0\0');
  assert.equal((await last.getattr(inode)).size, size);
});

test('records that were on their way when the volume went to another host are written over there, and no program hears of them', async () => {
  const store = new MemoryBlockStore();
  const first = await open(store);
  const small = await put(first, root, 'small', 'old', true);
  const large = await put(first, root, 'large', new Uint8Array(100_000), true);
  const removed = await put(first, root, 'removed', 'old', true);
  await first.close();
  const files = [small, large, removed];
  const way = new SlowWay(
    store,
    files.map((inode) => `inode:${inode}`),
  );
  const before = await open(way);
  for (const inode of files) await before.write(inode, await before.open(inode, 2), 0, bytes('late'), false);
  way.armed = true;
  const late = before.syncfs();
  await way.arrived;
  let overtaken = 0;
  const after = await open(store, {}, { onOvertaken: () => overtaken++ });
  for (const inode of files) await after.getattr(inode);
  way.letThrough();
  await late;
  for (const inode of [small, large]) {
    const handle = await after.open(inode, 2);
    await after.write(inode, handle, 2, bytes('mine'), false);
    await after.fsync(inode, handle, false);
  }
  await after.unlink(root, 'removed');
  await after.recall();
  assert.equal(overtaken, 0);
  assert.deepEqual((await after.check()).problems, []);
  for (const volume of [after, await open(store)]) {
    assert.equal((await contentOf(volume, small)).toString(), 'olmine');
    assert.equal((await readAt(volume, large, 0, 8)).toString('latin1'), '\0\0mine\0\0');
    assert.deepEqual((await namesOf(volume, root)).toSorted(), ['large', 'small']);
  }
  assert.equal(store.peek(namedAddress(volumeId, `inode:${removed}`)), undefined);
});

test('a record that comes late is counted as it comes to be, though nobody touches its file', async () => {
  const store = new MemoryBlockStore();
  const first = await open(store);
  const inode = await put(first, root, 'f', 'old', true);
  await first.close();
  const way = new SlowWay(store, [`inode:${inode}`]);
  const before = await open(way);
  await before.write(inode, await before.open(inode, 2), 3, bytes(' and late'), false);
  way.armed = true;
  const late = before.syncfs();
  await way.arrived;
  const after = await open(store);
  way.letThrough();
  await late;
  assert.deepEqual((await after.check()).problems, []);
  assert.equal(after.usage.allocated, 3);
  const last = await open(store);
  assert.deepEqual((await last.check()).problems, []);
  assert.equal(last.usage.allocated, 3);
});

test('a new file whose making was durable, unknown to its host, and that was about to be written anew, is counted as it comes to be', async () => {
  let hidden = true;
  const journal = new Set(ring('journal', journalSlots).map((name) => namedAddress(volumeId, name)));
  const store = new MemoryBlockStore({ fate: ({ address }) => (hidden && journal.has(address) ? 'unknown-applied' : 'normal') });
  const way = new SlowWay(
    store,
    Array.from({ length: 100 }, (_, inode) => `inode:${inode}`),
  );
  const before = await open(way);
  const { attributes, handle } = await before.create(root, 'f', 0o644, 0, 1, user);
  await assert.rejects(Promise.resolve(before.fsync(attributes.inode, handle, false)));
  hidden = false;
  await before.write(attributes.inode, handle, 0, bytes('content'), false);
  way.armed = true;
  const late = Promise.resolve(before.fsync(attributes.inode, handle, false));
  await way.arrived;
  const after = await open(store);
  way.letThrough();
  await assert.rejects(late);
  assert.deepEqual((await after.check()).problems, []);
  await after.close();
  const last = await open(store);
  assert.deepEqual((await last.check()).problems, []);
  assert.equal(last.usage.allocated, 0);
});

for (const [what, name, slots] of [
  ['names', 'journal', journalSlots],
  ['contents', 'content', contentSlots],
] as const) {
  test(`a block of the journal of ${what} that is durable, unknown to its host, is not written again once the volume went to another host`, async () => {
    let hidden = true;
    const blocks = new Set(ring(name, slots).map((slot) => namedAddress(volumeId, slot)));
    const store = new MemoryBlockStore({ fate: ({ address }) => (hidden && blocks.has(address) ? 'unknown-applied' : 'normal') });
    hidden = false;
    const way = new SlowWay(store, ring(name, slots));
    const before = await open(way);
    const files = await Promise.all(['a', 'b'].map((file) => put(before, root, file, new Uint8Array(100_000), true)));
    await before.recall();
    const act = async (file: number): Promise<void> => {
      if (name === 'journal') {
        await before.link(files[file]!, root, `other${file}`);
        return before.fsyncdir(root, 0);
      }
      await before.write(files[file]!, 0, 0, bytes('more'), false);
      return before.fsync(files[file]!, 0, false);
    };
    hidden = true;
    if (name === 'journal') await assert.rejects(act(0));
    else await act(0);
    hidden = false;
    if (name === 'content') {
      // Its file went into its place; whether the block can be written is looked at behind the next one.
      await act(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    way.armed = true;
    const late = act(1);
    await way.arrived;
    const after = await open(store);
    way.letThrough();
    await assert.rejects(late);
    if (name === 'journal') assert.deepEqual((await namesOf(after, root)).toSorted(), ['a', 'b', 'other0']);
    else assert.equal((await readAt(after, files[0]!, 0, 4)).toString(), 'more');
    assert.deepEqual((await after.check()).problems, []);
  });
}

test('places in the journal of contents that were being made ready when the volume went to another host are used there', async () => {
  const store = new MemoryBlockStore({ across: true });
  const way = new SlowWay(store, ring('content', contentSlots));
  const before = await open(way);
  const inode = await put(before, root, 'f', new Uint8Array(100_000), true);
  await before.recall();
  const sync = async (volume: Volume, at: number): Promise<void> => {
    await volume.write(inode, 0, at, bytes('x'), false);
    await volume.fsync(inode, 0, false);
  };
  way.leastUpdates = 2;
  way.armed = true;
  await sync(before, 0);
  await way.arrived;
  const after = await open(store);
  for (let at = 0; at < 12; at++) await sync(after, at);
  way.letThrough();
  await assert.rejects(before.syncfs());
  for (let at = 12; at < 60; at++) await sync(after, at);
  assert.equal((await readAt(await open(store), inode, 0, 60)).toString(), 'x'.repeat(60));
});

test('a volume that a later session has opened is not written to any more', async () => {
  const store = new MemoryBlockStore();
  let overtaken = 0;
  const before = await open(store, {}, { onOvertaken: () => overtaken++ });
  const inode = await put(before, root, 'f', 'old', true);
  const after = await open(store);
  await after.write(inode, await after.open(inode, 2), 0, bytes('new'), false);
  await after.syncfs();
  await before.write(inode, await before.open(inode, 2), 0, bytes('not'), false);
  await assert.rejects(before.syncfs());
  assert.ok(overtaken > 0);
  assert.equal((await contentOf(await open(store), inode)).toString(), 'new');
});
