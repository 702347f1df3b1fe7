import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createLogger } from '../../src/base/index.ts';
import { namedAddress } from '../../src/block/index.ts';
import { maxOperations, sharedOperations } from '../../src/filesystem/flusher.ts';
import { journalSlots, reservedSlots } from '../../src/filesystem/journal/journal.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, contentOf, errnoOf, look, namesOf, open, put, readAt, root, user, volumeId, TestClock } from './harness.ts';

test('a small file survives a close and a new mount', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'hello', 'hello, world');
  await volume.close();
  const again = await open(store);
  assert.equal(await look(again, root, 'hello'), inode);
  assert.equal((await contentOf(again, inode)).toString(), 'hello, world');
  assert.deepEqual(await namesOf(again, root), ['hello']);
});

test('what fsync acknowledged survives a crash, and only that need', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'kept', 'durable', true);
  await put(volume, root, 'lost', 'not durable');
  store.restart();
  const again = await open(store);
  assert.deepEqual(await namesOf(again, root), ['kept']);
  assert.equal((await contentOf(again, inode)).toString(), 'durable');
});

test('fsync of a new file is one commit, and so are that and the fsync of its directory, time after time', async () => {
  const store = new MemoryBlockStore();
  let volume = await open(store);
  for (let round = 1; round <= 3; round++) {
    const before = store.counts.commits;
    await put(volume, root, 'journal', 'content', true);
    await volume.fsyncdir(root, 0);
    assert.equal(store.counts.commits, before + 1);
    const { modified } = await volume.getattr(root);
    await volume.abandon();
    store.restart();
    volume = await open(store);
    assert.deepEqual(await namesOf(volume, root), ['journal']);
    assert.deepEqual((await volume.getattr(root)).modified, modified);
    await volume.unlink(root, 'journal');
  }
});

test('the record of a new inode is fresh once, whatever comes of it, and never where another session may have written it', async () => {
  const files = new Set(Array.from({ length: 100 }, (_, index) => namedAddress(volumeId, `inode:${index + 16}`)));
  const fresh: boolean[] = [];
  let unheard = 1;
  const store = new MemoryBlockStore({
    fate: ({ address, expect, fresh: isFresh = false }) => {
      if (!files.has(address) || expect !== 'absent') return 'normal';
      fresh.push(isFresh);
      return unheard-- > 0 ? 'unknown-lost' : 'normal';
    },
  });
  const volume = await open(store);
  await put(volume, root, 'first', 'content', true);
  await put(volume, root, 'second', 'content', true);
  assert.deepEqual(fresh, [true, false, true]);
  const next = await open(store);
  const { inode: number, ...attributes } = (await next.lookup(root, 'second'))!;
  fresh.length = 0;
  await next.remake({ inode: number + 1, parent: root, name: 'again', mode: 0o644, umask: 0, caller: user, attributes });
  await next.syncfs();
  assert.deepEqual(fresh, [false]);
});

test('directories count their subdirectories and go only when empty', async () => {
  const volume = await open(new MemoryBlockStore());
  const { inode } = await volume.mkdir(root, 'd', 0o755, 0, user);
  assert.equal((await volume.getattr(root)).links, 3);
  await put(volume, inode, 'f', '');
  assert.equal(await errnoOf(() => volume.rmdir(root, 'd')), 'ENOTEMPTY');
  await volume.unlink(inode, 'f');
  await volume.rmdir(root, 'd');
  assert.equal((await volume.getattr(root)).links, 2);
  assert.equal(await look(volume, root, 'd'), undefined);
});

test('after a crash usage has what was synced with a new file, and not what a file without a name took', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const size = 200_000;
  await put(volume, root, 'kept', new Uint8Array(size).fill(1), true);
  const { attributes, handle } = await volume.tmpfile(root, 0o600, 0, 2, user);
  await volume.write(attributes.inode, handle, 0, new Uint8Array(size).fill(2), false);
  await volume.fsync(attributes.inode, handle, false);
  store.restart();
  const after = await open(store);
  const report = await after.check();
  assert.deepEqual(report.problems, []);
  assert.equal(report.allocated, size);
});

test('what is not durable yet is told, names in directories too, until it is', async () => {
  const store = new MemoryBlockStore();
  const dirty = new Set<number>();
  const volume = await open(store, {}, { onDirty: (inode) => dirty.add(inode), onClean: (inode) => dirty.delete(inode) });
  const inode = await put(volume, root, 'f', 'text');
  assert.deepEqual(dirty, new Set([inode, root]));
  await volume.fsync(inode, 0, false);
  assert.deepEqual(dirty, new Set());
  await volume.rename(root, 'f', root, 'g', 0);
  assert.deepEqual(dirty, new Set([root]));
  assert.ok([...volume.unsynced()].includes(root));
  await volume.fsyncdir(root, 0);
  assert.deepEqual(dirty, new Set());
});

test('a writer who waits for room goes on when the volume is abandoned, also while the store takes nothing', async () => {
  const store = new MemoryBlockStore();
  const { promise: failed, resolve } = Promise.withResolvers<void>();
  const volume = await open(store, { maxDirtyBytes: 64 * 1024 }, { logger: createLogger('warn', () => resolve()) });
  const inode = await put(volume, root, 'f', '', true);
  store.crashAfter(0);
  await volume.write(inode, 0, 0, new Uint8Array(60 * 1024), false);
  await failed;
  const waiting = volume.write(inode, 0, 60 * 1024, new Uint8Array(30 * 1024), false);
  assert.ok(waiting instanceof Promise);
  await volume.abandon();
  await waiting;
});

test('an opening that fails leaves nothing behind that would go on writing', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const inode = await put(volume, root, 'f', new Uint8Array(100_000), true);
  await volume.syncfs();
  // Durable in the journal alone.
  await volume.write(inode, 0, 0, bytes('later'), false);
  await volume.fsync(inode, 0, false);
  await volume.abandon();
  let tried = 0;
  const logger = createLogger('warn', () => void tried++);
  // Each opening gets further than the one before, until one gets through.
  let failures = 0;
  for (let writes = 0; ; writes++) {
    store.crashAfter(writes);
    const opened = await open(store, { flushDelayMs: 0 }, { logger }).catch(() => undefined);
    if (opened !== undefined) {
      await opened.abandon();
      break;
    }
    failures++;
    tried = 0;
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(tried, 0, `after ${writes} writes`);
    store.restart();
  }
  assert.ok(failures > 0);
  store.restart();
  const after = await open(store);
  assert.equal((await readAt(after, inode, 0, 5)).toString(), 'later');
});

test('while other hosts wait for names, programs here make no more than a few ahead of theirs', async () => {
  const clock = new TestClock();
  const volume = await open(new MemoryBlockStore(), {}, { clock });
  const directory = await volume.mkdir(root, 'd', 0o755, 0, user);
  const full = (): Promise<unknown> => {
    for (let index = 0; index < maxOperations; index++) {
      const made = volume.mknod(directory.inode, `${clock.now}-${index}`, 0o644, 0, 0, user);
      if (made instanceof Promise) return made;
    }
    throw new Error('it never was');
  };
  await volume.keep({ inodes: [], names: 'all' });
  const made = full();
  assert.equal(volume.memory.operations, sharedOperations);
  await made;
  assert.ok(volume.memory.operations <= sharedOperations, `${volume.memory.operations} left`);
  clock.now += 2000;
  full().catch(() => {});
  assert.ok(volume.memory.operations >= maxOperations);
  await volume.abandon();
});

test('who makes a file while memory is full of names waits for some of them, not for most', async () => {
  const volume = await open(new MemoryBlockStore());
  const directory = await volume.mkdir(root, 'd', 0o755, 0, user);
  let made: unknown;
  for (let index = 0; !(made instanceof Promise); index++) made = volume.mknod(directory.inode, `f${index}`, 0o644, 0, 0, user);
  assert.ok(volume.memory.operations >= maxOperations);
  await made;
  const left = volume.memory.operations;
  assert.ok(left < maxOperations && left > (maxOperations * 3) / 4, `${left} left`);
  await volume.abandon();
});

/** Holds up writes of a volume's own block. */
class HeldState extends MemoryBlockStore {
  readonly reached = Promise.withResolvers<void>();
  readonly #let = Promise.withResolvers<void>();
  holds = false;
  held = 0;

  letGo(): void {
    this.#let.resolve();
  }

  override async commit(...call: Parameters<MemoryBlockStore['commit']>): ReturnType<MemoryBlockStore['commit']> {
    if (this.holds && call[0].some(({ update }) => update?.some(({ address }) => address === namedAddress(volumeId, 'volume')) === true)) {
      this.held++;
      this.reached.resolve();
      await this.#let.promise;
    }
    return super.commit(...call);
  }
}

test('an fsync that finds the journal full goes on when the checkpoint under way ends', async () => {
  const store = new HeldState();
  const volume = await open(store);
  await put(volume, root, 'f', '', true);
  store.holds = true;
  const settled = volume.recall();
  await store.reached.promise;
  // A slot each, and one is in use: now it is full.
  for (let index = 0; index < journalSlots - reservedSlots - 2; index++) await put(volume, root, `f${index}`, '', true);
  const last = put(volume, root, 'last', '', true).then(() => store.held);
  store.letGo();
  // That of the checkpoint, and the one with which recalling ends.
  assert.ok((await last) <= 2);
  await settled;
  await volume.abandon();
});

test('many files are written out, and listed, in pieces that keep no event loop for long', async () => {
  const store = new MemoryBlockStore();
  const [commit, fetch] = [store.commit.bind(store), store.fetch.bind(store)];
  let largest = 0;
  store.commit = (stages) => {
    largest = Math.max(largest, ...stages.map(({ update }) => update?.length ?? 0));
    return commit(stages);
  };
  const volume = await open(store);
  for (let index = 0; index < 300; index++) await put(volume, root, `f${index}`, '');
  await volume.recall();
  assert.ok(largest > 1 && largest <= 64, `${largest} blocks in a stage`);

  let fetches = 0;
  store.fetch = (address) => {
    fetches++;
    return fetch(address);
  };
  // What it takes to have the names themselves in memory.
  assert.equal((await volume.readdir(root, 0, 0, 256 * 1024, false)).length, 302);
  fetches = 0;
  const listing = volume.readdir(root, 0, 0, 256 * 1024, true);
  assert.equal(fetches, 64);
  const entries = await listing;
  assert.equal(entries.filter(({ attributes }) => attributes !== undefined).length, 300);
  assert.equal(fetches, 300);
});

test('syncfs covers what was written to a new file while the commit that made it was under way, also where it is renamed then', async () => {
  let gate: Promise<void> | undefined;
  const store = new MemoryBlockStore({ delay: () => gate });
  const volume = await open(store);
  const inode = await put(volume, root, 'f', 'first');
  await look(volume, root, 'g');
  const opening = Promise.withResolvers<void>();
  gate = opening.promise;
  const earlier = volume.syncfs();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await volume.write(inode, 0, 0, bytes('again'), false);
  const later = volume.syncfs();
  await volume.rename(root, 'f', root, 'g', 0);
  gate = undefined;
  opening.resolve();
  await Promise.all([earlier, later]);
  store.restart();
  assert.equal((await contentOf(await open(store), inode)).toString(), 'again');
});

test('of files with many extended attributes those that are in memory are bounded in bytes', async () => {
  const store = new MemoryBlockStore();
  const volume = await open(store);
  const value = Buffer.alloc(45_000, 7);
  const inodes: number[] = [];
  for (let index = 0; index < 1000; index++) {
    const inode = await put(volume, root, `f${index}`, '');
    await volume.setxattr(inode, 'user.x', value, 0, false);
    volume.forget(inode, 1);
    if (index % 100 === 99) await volume.syncfs();
    inodes.push(inode);
  }
  const most = (32 * 2 ** 20) / value.length + 150;
  const before = volume.memory.inodes;
  for (const inode of inodes) assert.equal((await volume.getxattr(inode, 'user.x')).length, value.length);
  assert.ok(volume.memory.inodes < most, `${before}, ${volume.memory.inodes} of 1000`);
  assert.ok(before < most, `${before} of 1000`);
  await volume.close();
});
