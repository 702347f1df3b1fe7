import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { InfinitError } from '../../src/base/index.ts';
import { namedAddress, ownerOf } from '../../src/block/index.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import type { BlockStore, CommitResult, Stage } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { contentOf, errnoOf, open, put, readAt, root, volumeId } from './harness.ts';

const size = 64 * 1024;

async function largeFile(store: MemoryBlockStore): Promise<{ volume: Volume; inode: number }> {
  const volume = await open(store);
  const inode = await put(volume, root, 'f', Buffer.alloc(size, 1), true);
  await volume.syncfs();
  return { volume, inode };
}

async function write(volume: Volume, inode: number, offset: number, value: number, length = 100, sync = true): Promise<void> {
  await volume.write(inode, 0, offset, Buffer.alloc(length, value), false);
  if (sync) await volume.fsync(inode, 0, true);
}

/** The process dies: its background work with it. */
async function crash(store: MemoryBlockStore, volume: Volume): Promise<Volume> {
  await volume.abandon();
  store.restart();
  return open(store);
}

/** Commits with what belongs to some inodes wait, once they are on their way. */
class HeldStore extends MemoryBlockStore {
  readonly #held = new Map<number, { readonly reached: PromiseWithResolvers<void>; readonly letGo: PromiseWithResolvers<void> }>();

  /** 0: the volume's own, the journals among it. */
  hold(inode: number): void {
    this.#held.set(inode, { reached: Promise.withResolvers(), letGo: Promise.withResolvers() });
  }

  async reached(inode: number): Promise<void> {
    await this.#held.get(inode)!.reached.promise;
  }

  letGo(inode: number): void {
    this.#held.get(inode)?.letGo.resolve();
    this.#held.delete(inode);
  }

  override async commit(stages: readonly Stage[]): Promise<CommitResult> {
    for (const { payload } of stages.flatMap(({ update = [] }) => update)) {
      const held = payload === null ? undefined : this.#held.get(ownerOf(payload).inode);
      held?.reached.resolve();
      await held?.letGo.promise;
    }
    return super.commit(stages);
  }
}

test('fsync of a small change in a large file is one small write', async () => {
  const store = new MemoryBlockStore();
  const { volume, inode } = await largeFile(store);
  const before = { ...store.counts };
  for (let round = 0; round < 10; round++) await write(volume, inode, round * 5000, 2);
  assert.equal(store.counts.updates - before.updates, 10);
  assert.equal(store.counts.puts, before.puts);
  await volume.fsync(inode, 0, true);
  assert.equal(store.counts.commits - before.commits, 10);
});

test('fsyncs that arrive together share a block', async () => {
  const store = new MemoryBlockStore({ delay: () => new Promise((resolve) => setImmediate(resolve)) });
  const volume = await open(store);
  const inodes = await Promise.all(['a', 'b', 'c', 'd'].map((name) => put(volume, root, name, Buffer.alloc(size, 1), true)));
  await volume.syncfs();
  const before = store.counts.commits;
  await Promise.all(inodes.map((inode) => write(volume, inode, 100, 2)));
  assert.ok(store.counts.commits - before <= 2, `${store.counts.commits - before} commits`);
  const after = await crash(store, volume);
  for (const inode of inodes) assert.ok((await readAt(after, inode, 100, 100)).equals(Buffer.alloc(100, 2)));
});

test('what is in the journal alone is there after a crash, and after another one, and in its place after that', async () => {
  const store = new MemoryBlockStore();
  let { volume, inode } = await largeFile(store);
  await write(volume, inode, 10, 2);
  await write(volume, inode, 60, 3);
  await write(volume, inode, size, 4);
  await volume.setattr(inode, { mode: 0o600 });
  await volume.fsync(inode, 0, false);
  const expected = Buffer.alloc(size + 100, 1)
    .fill(2, 10, 60)
    .fill(3, 60, 160)
    .fill(4, size);
  for (let time = 0; time < 3; time++) {
    volume = await crash(store, volume);
    assert.ok(expected.equals(await contentOf(volume, inode)), `after crash ${time + 1}`);
    assert.equal((await volume.getattr(inode)).mode & 0o777, 0o600);
    if (time === 1) await volume.syncfs();
  }
});

test('an older fsync does not come back over what was written into its place later', async () => {
  const store = new MemoryBlockStore();
  const { volume, inode } = await largeFile(store);
  await write(volume, inode, 0, 2);
  await write(volume, inode, 0, 3, 100, false);
  await volume.syncfs();
  await write(volume, inode, 1000, 4);
  const after = await crash(store, volume);
  assert.ok((await readAt(after, inode, 0, 100)).equals(Buffer.alloc(100, 3)));
  assert.ok((await readAt(after, inode, 1000, 100)).equals(Buffer.alloc(100, 4)));
});

test('the ring goes round: thousands of fsyncs, crashes in between', async () => {
  const store = new MemoryBlockStore();
  let { volume, inode } = await largeFile(store);
  const expected = Buffer.alloc(size, 1);
  for (let round = 0; round < 5000; round++) {
    const at = (round * 7919) % (size - 8);
    expected.writeUInt32LE(round, at);
    await volume.write(inode, 0, at, expected.subarray(at, at + 4), false);
    await volume.fsync(inode, 0, true);
    if (round % 1700 === 1600) volume = await crash(store, volume);
  }
  volume = await crash(store, volume);
  assert.ok(expected.equals(await contentOf(volume, inode)));
  await volume.close();
  const fetches = store.counts.fetches;
  volume = await open(store);
  assert.ok(expected.equals(await contentOf(volume, inode)));
  assert.ok(store.counts.fetches - fetches < 32, 'a volume that was closed in order is not replayed');
});

/** More fsyncs of the file than the ring has slots: none finds it full. */
async function fsyncsStaySmall(store: MemoryBlockStore, volume: Volume, inode: number): Promise<void> {
  for (let round = 0; round < 1100; round++) {
    await write(volume, inode, (round * 100) % 60_000, 3);
    if (round % 100 === 0) await volume.syncfs();
  }
  const { puts } = store.counts;
  await write(volume, inode, 0, 4);
  assert.equal(store.counts.puts, puts, 'an fsync is one small write still');
}

test('a file that was written into its place during its fsync holds no room in the ring', async () => {
  let slow = false;
  const store = new MemoryBlockStore({ delay: () => (slow ? new Promise((resolve) => setImmediate(resolve)) : Promise.resolve()) });
  const { volume, inode } = await largeFile(store);
  const other = await put(volume, root, 'g', Buffer.alloc(size, 1), true);
  await volume.syncfs();
  slow = true;
  await write(volume, inode, 0, 2, 100, false);
  await Promise.all([volume.fsync(inode, 0, true), volume.syncfs()]);
  slow = false;
  await fsyncsStaySmall(store, volume, other);
});

for (const first of ['record', 'block'] as const)
  test(`an fsync of what is just being written into its place holds no room in the ring, the ${first} being durable first`, async () => {
    const store = new HeldStore();
    const { volume, inode } = await largeFile(store);
    const other = await put(volume, root, 'g', Buffer.alloc(size, 1), true);
    await volume.syncfs();
    await write(volume, inode, 0, 2, 100, false);
    store.hold(inode);
    const written = volume.syncfs();
    await store.reached(inode);
    if (first === 'record') store.hold(0);
    const synced = volume.fsync(inode, 0, true);
    if (first === 'record') await store.reached(0);
    else await synced;
    store.letGo(inode);
    await written;
    store.letGo(0);
    await synced;
    await fsyncsStaySmall(store, volume, other);
    const after = await crash(store, volume);
    assert.ok((await readAt(after, inode, 0, 100)).equals(Buffer.alloc(100, 2)));
    assert.ok((await readAt(after, other, 0, 100)).equals(Buffer.alloc(100, 4)));
  });

test('holes, extended attributes and much at once go into their place', async () => {
  const store = new MemoryBlockStore();
  const { volume, inode } = await largeFile(store);
  await write(volume, inode, 0, 2);
  await volume.fallocate(inode, 0, 3, 4096, 8192);
  await volume.fsync(inode, 0, false);
  await volume.setxattr(inode, 'user.x', Buffer.from('y'), 0, false);
  await volume.fsync(inode, 0, false);
  await write(volume, inode, 0, 5, 60_000);
  await volume.setattr(inode, { size: 50_000 });
  await volume.fsync(inode, 0, false);
  const after = await crash(store, volume);
  assert.ok(Buffer.alloc(50_000, 5).equals(await contentOf(after, inode)));
  assert.equal(Buffer.from(await after.getxattr(inode, 'user.x')).toString(), 'y');
});

test('extended attributes that a chmod or a write changes are as durable as that', async () => {
  const store = new MemoryBlockStore();
  const { volume, inode } = await largeFile(store);
  // user::rw-, user:1000:rw-, group::r--, mask::rw-, other::---
  const entries = [[1, 6, -1], [2, 6, 1000], [4, 4, -1], [16, 6, -1], [32, 0, -1]] as const; // prettier-ignore
  const acl = Buffer.alloc(4 + 8 * entries.length);
  acl.writeUInt32LE(2);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    acl.writeUInt16LE(tag, 4 + 8 * index);
    acl.writeUInt16LE(permissions, 6 + 8 * index);
    acl.writeInt32LE(id, 8 + 8 * index);
  }
  await volume.setxattr(inode, 'system.posix_acl_access', acl, 0, false);
  await volume.setxattr(inode, 'security.capability', Buffer.alloc(20, 1), 0, false);
  await volume.fsync(inode, 0, false);
  await volume.setattr(inode, { mode: 0o600 });
  await volume.fsync(inode, 0, false);
  let after = await crash(store, volume);
  const mask = Buffer.from(await after.getxattr(inode, 'system.posix_acl_access')).readUInt16LE(4 + 8 * 3 + 2);
  assert.equal(mask, 0, 'the mask follows the mode');
  assert.equal((await after.getxattr(inode, 'security.capability')).length, 20);
  await after.write(inode, 0, 10, Buffer.alloc(100, 2), true);
  await after.fsync(inode, 0, true);
  after = await crash(store, after);
  assert.ok((await readAt(after, inode, 10, 100)).equals(Buffer.alloc(100, 2)));
  assert.equal(await errnoOf(() => after.getxattr(inode, 'security.capability')), 'ENODATA');
});

test('a mount that ends before all of the journal is in memory has written out none of it', async () => {
  const store = new MemoryBlockStore();
  const { volume, inode } = await largeFile(store);
  const other = await put(volume, root, 'g', Buffer.alloc(size, 1), true);
  await volume.recall();
  await write(volume, inode, 0, 2);
  await write(volume, other, 0, 3);
  await write(volume, inode, 1000, 4);
  await volume.abandon();
  store.restart();
  // The first block is in memory, the second's file does not come: time for a flusher that would write out what is there.
  const cut: BlockStore = {
    get: (address) => store.get(address),
    commit: (stages) => store.commit(stages),
    fetch: async (address) => {
      if (address !== namedAddress(volumeId, `inode:${other}`)) return store.fetch(address);
      await sleep(50);
      throw new InfinitError('closed', 'the machine dies');
    },
  };
  await assert.rejects(open(cut, { flushDelayMs: 0 }), { code: 'closed' });
  const after = await open(store);
  const expected = Buffer.alloc(size, 1).fill(2, 0, 100).fill(4, 1000, 1100);
  assert.ok(expected.equals(await contentOf(after, inode)));
  assert.ok((await readAt(after, other, 0, 100)).equals(Buffer.alloc(100, 3)));
});

test('a block that failed is not believed: the next fsync writes its content again', async () => {
  for (const fate of ['failed', 'unknown-lost', 'unknown-applied'] as const) {
    let broken = false;
    const store = new MemoryBlockStore({ fate: () => (broken ? fate : 'normal') });
    const { volume, inode } = await largeFile(store);
    await write(volume, inode, 0, 2);
    broken = true;
    await write(volume, inode, 50, 3, 100, false);
    assert.equal(await errnoOf(() => volume.fsync(inode, 0, true)), 'EIO', fate);
    broken = false;
    await write(volume, inode, 1000, 4);
    await write(volume, inode, 2000, 5);
    const after = await crash(store, volume);
    const expected = Buffer.alloc(size, 1).fill(2, 0, 50).fill(3, 50, 150).fill(4, 1000, 1100).fill(5, 2000, 2100);
    assert.ok(expected.equals(await contentOf(after, inode)), fate);
  }
});

test('a removed file is not brought back by what the journal had of it', async () => {
  const store = new MemoryBlockStore();
  const { volume, inode } = await largeFile(store);
  await write(volume, inode, 0, 2);
  await volume.unlink(root, 'f');
  volume.forget(inode, 1);
  await volume.fsyncdir(root, 0);
  const after = await crash(store, volume);
  assert.equal(await after.lookup(root, 'f'), undefined);
  await after.close();
});

test('what the journal has does not count as lost when the process dies', async () => {
  const dirty = new Set<number>();
  const store = new MemoryBlockStore();
  const volume = await open(store, {}, { onDirty: (inode) => dirty.add(inode), onClean: (inode) => dirty.delete(inode) });
  const inode = await put(volume, root, 'f', Buffer.alloc(size, 1), true);
  await volume.syncfs();
  await write(volume, inode, 0, 2, 100, false);
  assert.deepEqual([...dirty], [inode]);
  await volume.fsync(inode, 0, true);
  assert.equal(dirty.size, 0);
  await volume.setattr(inode, { mode: 0o600 });
  assert.equal(dirty.size, 0);
});

test('where blocks are on several hosts, slots are written ahead of their use, many at once, and none of them is taken for content', async () => {
  const store = new MemoryBlockStore({ across: true });
  let { volume, inode } = await largeFile(store);
  const expected = Buffer.alloc(size, 1);
  const round = async (from: number, count: number): Promise<void> => {
    for (let index = from; index < from + count; index++) {
      const at = (index * 7919) % (size - 8);
      expected.writeUInt32LE(index, at);
      await volume.write(inode, 0, at, expected.subarray(at, at + 4), false);
      await volume.fsync(inode, 0, true);
    }
  };
  const before = { ...store.counts };
  await round(0, 600);
  assert.ok(store.counts.updates - before.updates > 1100, 'each slot is written twice');
  assert.ok(store.counts.commits - before.commits < 700, 'the first time along with others');
  for (const [from, count] of [
    [600, 3],
    [603, 400],
    [1003, 25],
    [1028, 1],
    [1029, 1500],
  ] as const) {
    volume = await crash(store, volume);
    assert.ok(expected.equals(await contentOf(volume, inode)), `after ${from}`);
    await round(from, count);
  }
  await volume.close();
  volume = await open(store);
  await round(3000, 50);
  volume = await crash(store, volume);
  assert.ok(expected.equals(await contentOf(volume, inode)));
});

test('an fsync waits for no slot that is long in being made ready, and fails by none', async () => {
  let blocked: Promise<void> | undefined;
  let updates = 0;
  const store = new MemoryBlockStore({ across: true });
  const commit = store.commit.bind(store);
  store.commit = async (stages) => {
    if (stages.some(({ update }) => (update?.length ?? 0) >= 8)) {
      updates++;
      await blocked;
    }
    return commit(stages);
  };
  const release = Promise.withResolvers<void>();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', Buffer.alloc(size, 1), true);
  await volume.syncfs();
  blocked = release.promise;
  for (let index = 0; index < 20; index++) await write(volume, inode, index * 200, 2);
  assert.ok(updates > 0);
  release.resolve();
  blocked = undefined;
  for (let index = 20; index < 200; index++) await write(volume, inode, index * 200, 2);
  const after = await crash(store, volume);
  for (let index = 0; index < 200; index++) assert.equal((await readAt(after, inode, index * 200, 1))[0], 2, `${index}`);
});
