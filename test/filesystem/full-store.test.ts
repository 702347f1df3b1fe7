import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually } from '../suites/transport-suite.ts';
import { contentOf, errnoOf, look, namesOf, open, pattern, put, root, user } from './harness.ts';
import { versionOf } from '../../src/filesystem/inodes/written.ts';
import { SmallStore } from './small-store.ts';
import { seeded } from '../suites/seeded.ts';

const mebibyte = 1024 * 1024;

test('while a file cannot be written out for want of room, another one that was removed still makes room for it', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store, { flushDelayMs: 1 });
  const removed = await put(volume, root, 'removed', pattern(3 * mebibyte, 5), true);
  const waiting = await put(volume, root, 'waiting', pattern(mebibyte / 2, 6), true);
  const handle = await volume.open(waiting, 2);
  await volume.write(waiting, handle, mebibyte, pattern(mebibyte, 7), false);
  assert.equal(await errnoOf(() => volume.fsync(waiting, handle, false)), 'ENOSPC');
  await volume.unlink(root, 'removed');
  volume.forget(removed, 1);
  const end = performance.now() + 20_000;
  while (store.immutableBytes > 2 * mebibyte) {
    assert.ok(performance.now() < end, 'its blocks are not dropped');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await eventually(() => volume.memory.dirtyBytes === 0, 'it is written out');
  await volume.close();
});

test('a removal makes room for a file that was made after it and does not fit yet', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store, { flushDelayMs: 1 });
  const removed = await put(volume, root, 'removed', pattern(3 * mebibyte, 5), true);
  await volume.unlink(root, 'removed');
  volume.forget(removed, 1);
  const later = await put(volume, root, 'later', pattern(2 * mebibyte, 7));
  await eventually(() => store.immutableBytes < 3 * mebibyte && volume.memory.dirtyBytes === 0, 'it is written out', 20_000);
  assert.ok(pattern(2 * mebibyte, 7).equals(await contentOf(volume, later)));
  await volume.close();
});

test('a new file that does not fit holds up no other operation on names, and a removal behind it makes the room', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store, { flushDelayMs: 1 });
  const old = await put(volume, root, 'old', pattern(3.5 * mebibyte, 5), true);
  const late = await put(volume, root, 'late', pattern(mebibyte, 7));
  const { inode: directory } = await volume.mkdir(root, 'd', 0o755, 0, user);
  await volume.fsyncdir(root, 0);
  await put(volume, directory, 'small', 'fits', true);
  assert.equal(await errnoOf(() => volume.fsync(late, 0, false)), 'ENOSPC');
  assert.ok(pattern(mebibyte, 7).equals(await contentOf(volume, late)));
  await volume.unlink(root, 'old');
  volume.forget(old, 1);
  await volume.fsyncdir(root, 0);
  await eventually(() => store.immutableBytes < 2 * mebibyte, 'the removal makes room', 20_000);
  await volume.close();
  const after = await open(store);
  assert.deepEqual((await namesOf(after, root)).sort(), ['d', 'late']);
  assert.ok(pattern(mebibyte, 7).equals(await contentOf(after, late)));
  assert.deepEqual((await after.check()).problems, []);
});

test('after a crash a new file whose content did not fit is empty, and what came after it is there', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store);
  await put(volume, root, 'old', pattern(3.5 * mebibyte, 5), true);
  const late = await put(volume, root, 'late', pattern(mebibyte, 7));
  await volume.mkdir(root, 'next', 0o755, 0, user);
  await volume.fsyncdir(root, 0);
  store.restart();
  const after = await open(store);
  assert.equal((await contentOf(after, late)).length, 0);
  assert.deepEqual((await namesOf(after, root)).sort(), ['late', 'next', 'old']);
  const report = await after.check();
  assert.deepEqual(report.problems, []);
  assert.equal(report.allocated, 3.5 * mebibyte);
});

test('on a full store the file that a rename replaces stays until its successor fits, if it can', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store);
  const old = await put(volume, root, 'old', pattern(3.5 * mebibyte, 5), true);
  await put(volume, root, 'conf', 'before', true);
  await put(volume, root, 'big', pattern(mebibyte, 7));
  const fits = await put(volume, root, 'fits', pattern(mebibyte / 4, 8));
  await volume.rename(root, 'fits', root, 'conf', 0);
  await volume.rename(root, 'big', root, 'old', 0);
  volume.forget(old, 1);
  await put(volume, root, 'last', '', true);
  store.restart();
  const after = await open(store);
  assert.deepEqual((await namesOf(after, root)).sort(), ['conf', 'last', 'old']);
  assert.equal(await look(after, root, 'conf'), fits);
  assert.ok(pattern(mebibyte / 4, 8).equals(await contentOf(after, fits)));
});

test('a file that could not be written out for want of room can be cut short, and that makes room', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store);
  const log = await put(volume, root, 'log', pattern(3.5 * mebibyte, 5), true);
  await volume.write(log, 0, 3.5 * mebibyte, pattern(mebibyte, 7), false);
  assert.equal(await errnoOf(() => volume.fsync(log, 0, false)), 'ENOSPC');
  await volume.setattr(log, { size: 1000 });
  await volume.write(log, 0, 2000, pattern(1000, 8), false);
  await volume.fsync(log, 0, false);
  await volume.recall();
  assert.ok(store.immutableBytes < 1.5 * mebibyte);
  store.restart();
  const after = await open(store);
  const expected = Buffer.concat([pattern(3.5 * mebibyte, 5).subarray(0, 1000), Buffer.alloc(1000), pattern(1000, 8)]);
  assert.ok(expected.equals(await contentOf(after, log)));
});

test('whatever was cut out of and written into a file while the store was full, its content is right and no block is left over', async () => {
  const random = seeded(7);
  const upTo = (limit: number): number => Math.floor(random() * limit);
  for (let round = 0; round < 40; round++) {
    const store = new SmallStore(Infinity);
    const volume = await open(store);
    let model = pattern(upTo(3 * mebibyte), round);
    const inode = await put(volume, root, 'f', model, true);
    for (let step = 0; step < 30; step++) {
      const end = Math.min(model.length, 3 * mebibyte);
      switch (upTo(6)) {
        case 0:
        case 1: {
          const data = pattern(1 + upTo(random() < 0.3 ? mebibyte : 5000), step);
          const at = upTo(end + 10_000);
          model = Buffer.concat([model, Buffer.alloc(Math.max(0, at + data.length - model.length))]);
          data.copy(model, at);
          await volume.write(inode, 0, at, data, false);
          break;
        }
        case 2: {
          const at = upTo(end);
          const length = 1 + upTo(mebibyte);
          model.fill(0, at, Math.min(model.length, at + length));
          await volume.fallocate(inode, 0, 3, at, length);
          break;
        }
        case 3: {
          const size = upTo(end + 10_000);
          model = Buffer.concat([model.subarray(0, size), Buffer.alloc(Math.max(0, size - model.length))]);
          await volume.setattr(inode, { size });
          break;
        }
        case 4:
          store.capacity = random() < 0.7 ? store.immutableBytes + upTo(mebibyte / 2) : Infinity;
          break;
        default:
          await errnoOf(() => volume.fsync(inode, 0, false));
      }
      if (step % 5 === 0) assert.ok(model.equals(await contentOf(volume, inode)), `round ${round}, step ${step}`);
    }
    store.capacity = Infinity;
    await volume.close();
    const after = await open(store);
    assert.ok(model.equals(await contentOf(after, inode)), `round ${round}`);
    assert.deepEqual((await after.check()).problems, []);
    await after.unlink(root, 'f');
    after.forget(inode, 1);
    await after.close();
    assert.deepEqual(store.droppedTwice, []);
    assert.equal(store.immutableBytes, 0, `round ${round}`);
  }
});

test('a file that does not fit is no failure of those that are written out with it', async () => {
  const volume = await open(new SmallStore(mebibyte));
  const small = await put(volume, root, 'small', 'old', true);
  const big = await put(volume, root, 'big', '', true);
  const handle = await volume.open(small, 2);
  const other = await volume.open(big, 2);
  await volume.write(big, 0, 0, pattern(2 * mebibyte, 1), false);
  await volume.write(small, handle, 0, Buffer.from('new'), false);
  assert.equal(await errnoOf(() => volume.syncfs()), 'ENOSPC');
  assert.equal(await errnoOf(() => volume.fsync(small, handle, false)), 'none');
  assert.equal(await errnoOf(() => volume.flush(big, other, '0')), 'ENOSPC');
});

test('who writes on while the store is full is told that there is no room', async () => {
  const volume = await open(new SmallStore(mebibyte), { flushDelayMs: 1, maxDirtyBytes: mebibyte });
  const inode = await put(volume, root, 'f', '', true);
  const seen = new Set<string>();
  for (let at = 0; at < 20; at++) seen.add(await errnoOf(() => volume.write(inode, 0, (at * mebibyte) / 2, pattern(mebibyte / 4, at), false)));
  assert.deepEqual([...seen], ['none', 'ENOSPC']);
  await volume.abandon();
});

test(
  'who goes on with new files while the store is full is told that there is no room, and not kept waiting; so are guests; a removal makes room for both',
  { timeout: 300_000 },
  async () => {
    const store = new SmallStore(4 * mebibyte);
    const volume = await open(store, { flushDelayMs: 1, maxDirtyBytes: mebibyte });
    const old = await put(volume, root, 'old', pattern(3.5 * mebibyte, 5), true);
    const lent = await put(volume, root, 'lent', '', true);
    const { image, session } = (await volume.lending.lend(lent, () => {}))!;
    const expect = versionOf(image.attributes);
    const written = {
      expect,
      version: { ...expect, changed: { seconds: expect.changed.seconds + 1, nanoseconds: 7 }, size: mebibyte / 4 },
      session,
      pieces: [{ offset: 0, bytes: pattern(mebibyte / 4, 9) }],
      changes: {},
    };
    const told: string[] = [];
    for (let file = 0; file < 30; file++) told.push(await errnoOf(() => put(volume, root, `f${file}`, pattern(mebibyte / 4, file))));
    assert.ok(
      told.slice(0, 4).every((errno) => errno === 'none'),
      told.join(' '),
    );
    assert.deepEqual([...new Set(told.slice(16))], ['ENOSPC'], told.join(' '));
    assert.equal(await errnoOf(async () => volume.lending.apply(lent, written, () => true)), 'ENOSPC');
    const first = (await look(volume, root, 'f0'))!;
    assert.ok(pattern(mebibyte / 4, 0).equals(await contentOf(volume, first)));
    await volume.unlink(root, 'old');
    volume.forget(old, 1);
    await volume.unlink(root, 'f1');
    await eventually(() => volume.memory.dirtyBytes < mebibyte, 'there is room', 20_000);
    await volume.lending.apply(lent, written, () => true);
    await put(volume, root, 'again', pattern(mebibyte / 4, 6));
    store.capacity = Infinity;
    await volume.close();
    const after = await open(store);
    for (const [index, errno] of told.entries())
      if (errno === 'none' && index !== 1)
        assert.ok(pattern(mebibyte / 4, index).equals(await contentOf(after, (await look(after, root, `f${index}`))!)), `f${index}`);
  },
);

test('a file whose failure was told is given up from memory like any other', async () => {
  const store = new SmallStore(mebibyte);
  const volume = await open(store);
  const inode = await put(volume, root, 'f', pattern(2 * mebibyte, 1));
  volume.forget(inode, 1);
  assert.equal(await errnoOf(() => volume.syncfs()), 'ENOSPC');
  assert.equal(await errnoOf(() => volume.fsync(inode, 0, false)), 'ENOSPC');
  store.capacity = Infinity;
  await volume.recall();
  assert.equal(volume.memory.inodes, 0);
  await volume.close();
});

test('a file with a new link whose content does not fit does not keep what was removed in the store', async () => {
  const store = new SmallStore(4 * mebibyte);
  const volume = await open(store, { flushDelayMs: 1 });
  const old = await put(volume, root, 'old', pattern(3.5 * mebibyte, 5), true);
  const grown = await put(volume, root, 'grown', 'text', true);
  await volume.write(grown, 0, 0, pattern(mebibyte, 7), false);
  await volume.link(grown, root, 'link');
  await volume.fsyncdir(root, 0);
  await volume.unlink(root, 'old');
  volume.forget(old, 1);
  await eventually(() => store.immutableBytes < 2 * mebibyte, 'the removal makes room', 20_000);
  await volume.abandon();
  const after = await open(store);
  assert.equal((await after.getattr(grown)).links, 2);
  assert.deepEqual((await namesOf(after, root)).sort(), ['grown', 'link']);
});
