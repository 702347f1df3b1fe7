/** What the journal cannot bring to its place, for its blocks are out of reach or damaged, keeps nothing else from it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import type { Volume } from '../../src/filesystem/index.ts';
import { assertRests } from './at-rest.ts';
import { BlockedStore } from './blocked-store.ts';
import { contentOf, errnoOf, look, namesOf, open, put, root, user } from './harness.ts';

const refusals: readonly ErrorCode[] = ['unavailable', 'damaged', 'lost'];
/** More than the journal has blocks. */
const manyBlocks = 600;

async function makeDirectory(volume: Volume, name: string): Promise<number> {
  return (await volume.mkdir(root, name, 0o755, 0, user)).inode;
}

/** A block of the journal each. */
async function makeMany(volume: Volume, directory: number, first: number, count: number): Promise<void> {
  for (let index = first; index < first + count; index++) await put(volume, directory, `file-${index % 20}-${index}`, 'text', true);
}

for (const code of refusals)
  test(`a directory whose blocks cannot be written keeps no name of others from becoming durable, nor the volume from being opened (${code})`, async () => {
    const store = new BlockedStore();
    let volume = await open(store, { flushDelayMs: 2 });
    const [stuck, other] = [await makeDirectory(volume, 'stuck'), await makeDirectory(volume, 'other')];
    await put(volume, stuck, 'before', 'before');
    const removed = await put(volume, stuck, 'removed', 'removed', true);
    await volume.recall();
    const block = (): void => {
      store.blocked = (inode) => (inode === stuck ? Promise.reject(new InfinitError(code, 'refused')) : undefined);
    };
    block();
    await put(volume, stuck, 'made', 'made', true);
    await volume.rename(stuck, 'before', other, 'moved', 0);
    await volume.unlink(stuck, 'removed');
    volume.forget(removed, 1);
    await makeMany(volume, other, 0, manyBlocks);
    const { usage } = volume;
    for (let death = 0; death < 2; death++) {
      store.restart();
      block();
      volume = await open(store, { flushDelayMs: 2 });
      assert.deepEqual((await namesOf(volume, stuck)).sort(), ['made']);
      assert.equal((await namesOf(volume, other)).length, manyBlocks + 1 + 20 * death);
      assert.equal(volume.usage.files, usage.files + 20 * death);
      await makeMany(volume, other, manyBlocks + 20 * death, 20);
    }
    // Neither does it keep the volume from being closed in order.
    await volume.close();
    volume = await open(store, { flushDelayMs: 2 });
    assert.deepEqual(await namesOf(volume, stuck), ['made']);
    store.blocked = () => undefined;
    await volume.close();
    volume = await open(store);
    assert.deepEqual(await namesOf(volume, stuck), ['made']);
    assert.equal((await contentOf(volume, (await look(volume, other, 'moved'))!)).toString(), 'before');
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  });

test('a directory whose blocks cannot be written takes so many changes and no more, and all of them once it can', async () => {
  const store = new BlockedStore();
  const volume = await open(store, { flushDelayMs: 2 });
  const [stuck, other] = [await makeDirectory(volume, 'stuck'), await makeDirectory(volume, 'other')];
  await volume.recall();
  store.blocked = (inode) => (inode === stuck ? Promise.reject(new InfinitError('unavailable', 'refused')) : undefined);
  let made = 0;
  let refusal = 'none';
  for (; made < 4096 && refusal === 'none'; made++) {
    refusal = await errnoOf(() => put(volume, stuck, `name-${made}`, ''));
    if (made % 64 === 0) await volume.fsync(other, 0, false);
    if (made % 64 === 0) await makeMany(volume, other, made, 8);
  }
  assert.equal(refusal, 'EIO');
  assert.ok(made > 1024);
  await put(volume, other, 'goes on', 'text', true);
  store.blocked = () => undefined;
  await volume.recall();
  assert.equal((await namesOf(volume, stuck)).length, made - 1);
  await put(volume, stuck, 'again', 'text', true);
  await volume.close();
  assert.deepEqual((await (await open(store)).check()).problems, []);
});

test('after a crash at any moment of such a checkpoint all that was durable is there, and counted once', async () => {
  for (let writes = 0; writes < 60; writes++) {
    const store = new BlockedStore();
    let volume = await open(store);
    const stuck = await makeDirectory(volume, 'stuck');
    const removed = await put(volume, stuck, 'removed', 'removed', true);
    await volume.recall();
    store.blocked = (inode) => ([stuck, removed].includes(inode) ? Promise.reject(new InfinitError('unavailable', 'refused')) : undefined);
    await volume.unlink(stuck, 'removed');
    volume.forget(removed, 1);
    await put(volume, stuck, 'made', 'made', true);
    const { usage } = volume;
    store.crashAfter(writes);
    await volume.recall().catch(() => {});
    await put(volume, root, 'more', '').catch(() => {});
    await volume.recall().catch(() => {});
    store.restart();
    volume = await open(store);
    const more = (await look(volume, root, 'more')) === undefined ? 0 : 1;
    assert.deepEqual([await namesOf(volume, stuck), volume.usage.files], [['made'], usage.files + more], `${writes} writes`);
    store.blocked = () => undefined;
    await volume.close();
    volume = await open(store);
    assert.deepEqual([await namesOf(volume, stuck), volume.usage.files], [['made'], usage.files + more]);
    assert.deepEqual((await volume.check()).problems, []);
    await volume.close();
  }
});

test('a file whose record is out of reach for its links, and not for its removal, is no trouble once it is removed', async () => {
  const store = new BlockedStore();
  const volume = await open(store);
  const file = await put(volume, root, 'f', 'text', true);
  await volume.recall();
  const handle = await volume.open(file, 0);
  await volume.unlink(root, 'f');
  volume.forget(file, 1);
  await volume.syncfs();
  let isGone = false;
  store.blocked = (inode) => {
    // With the names: the links come next.
    if (inode === root && !isGone) {
      isGone = true;
      void volume.release(file, handle);
    }
    if (inode !== file) return undefined;
    return volume.syncfs().then(() => {
      throw new InfinitError('unavailable', 'refused');
    });
  };
  await volume.recall();
  assert.ok(isGone);
  store.blocked = () => undefined;
  await volume.recall();
  assertRests(volume, 'recall');
  assert.deepEqual((await volume.check()).problems, []);
  await volume.close();
});

test('a file of which only the links could be written is written as a whole once it can be', async () => {
  const store = new BlockedStore();
  const volume = await open(store);
  const file = await put(volume, root, 'f', 'text', true);
  await volume.recall();
  await volume.link(file, root, 'g');
  await volume.syncfs();
  let refused = 0;
  store.blocked = (inode) => (inode === file && ++refused === 1 ? Promise.reject(new InfinitError('unavailable', 'refused')) : undefined);
  await volume.recall();
  assert.equal(refused, 2);
  await volume.recall();
  assertRests(volume, 'recall');
  await volume.close();
});
