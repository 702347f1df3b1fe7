/** Files that cannot be written out hold up nothing else, and nothing of them is lost. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { type ErrorCode, InfinitError } from '../../src/base/index.ts';
import { FileSystemError } from '../../src/filesystem/index.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { eventually } from '../suites/transport-suite.ts';
import { BlockedStore } from './blocked-store.ts';
import { contentOf, errnoOf, look, open, put, root } from './harness.ts';
import { Run } from './random-run.ts';
import { kinds as stepKinds, steps } from './random-steps.ts';
import { assertDurable, Host, Memory } from './redo-host.ts';

const ringBytes = 1024 * 1024;
const kibibyte = 1024;
const refusals: readonly ErrorCode[] = ['unavailable', 'disk-full', 'damaged'];

function refusing(code: ErrorCode): () => Promise<never> {
  return () => Promise.reject(new InfinitError(code, 'refused'));
}

/** Refused, or given up by the store's own deadline once and never answered after that. */
const ways: Record<string, () => () => Promise<never>> = {
  'does not answer': () => {
    let first = true;
    return () => {
      const never = first ? refusing('deadline-exceeded')() : new Promise<never>(() => {});
      first = false;
      return never;
    };
  },
  'is out of reach': () => refusing('unavailable'),
  'is full': () => refusing('disk-full'),
  'finds it damaged': () => refusing('damaged'),
};

for (const [what, way] of Object.entries(ways)) {
  test(`while the store ${what} for one file others are written on and on, and nothing is lost with the process`, async () => {
    const host = await Host.start(new BlockedStore(), new Memory(4096 + ringBytes), { flushDelayMs: 2 });
    const [stuck, other] = [
      await put(host.volume, root, 'stuck', Buffer.alloc(150 * kibibyte, 9), true),
      await put(host.volume, root, 'other', 'old', true),
    ];
    let blocked = way();
    host.store.blocked = (inode) => (inode === stuck ? blocked() : undefined);
    await host.volume.write(stuck, 0, 0, Buffer.alloc(100 * kibibyte, 1), false);
    await host.volume.fallocate(stuck, 0, 3, 120 * kibibyte, 1000);
    await host.volume.setattr(stuck, { size: 140 * kibibyte });
    await host.volume.setattr(stuck, { size: 160 * kibibyte });
    await host.volume.setxattr(stuck, 'user.a', Buffer.from('b'), 0, false);
    for (let round = 0; round < 4; round++) {
      // Ten times what the log holds.
      for (let count = 0; count < 160; count++) {
        await host.volume.write(other, 0, (count % 7) * 64 * kibibyte, Buffer.alloc(64 * kibibyte, 1 + count), false);
        if (count % 40 === 0) await host.volume.write(stuck, 0, 3, Buffer.from(`${what} ${round} ${count}`), false);
      }
      assert.ok(host.memory.whole);
      const expected = [await contentOf(host.volume, stuck), await contentOf(host.volume, other)];
      blocked = way();
      const volume = await host.die();
      assert.deepEqual([await contentOf(volume, stuck), await contentOf(volume, other)], expected);
      assert.equal(Buffer.from(await volume.getxattr(stuck, 'user.a')).toString(), 'b');
      assert.equal(await errnoOf(() => volume.fsync(other, 0, false)), 'none');
    }
    const expected = await contentOf(host.volume, stuck);
    host.store.blocked = () => undefined;
    const volume = await host.die();
    await volume.close();
    const after = await open(host.store);
    assert.ok((await contentOf(after, stuck)).equals(expected));
    assert.deepEqual((await after.check()).problems, []);
  });
}

test('content that the store has already, and no record yet, is not lost with the process', async () => {
  const host = await Host.start(new BlockedStore(), new Memory(4096 + 16 * ringBytes), { flushDelayMs: 2 });
  const [stuck, other] = [await put(host.volume, root, 'stuck', 'old', true), await put(host.volume, root, 'other', 'old', true)];
  const commit = host.store.commit.bind(host.store);
  // Blocks that are put before any record is written go through.
  host.store.commit = (stages) => {
    host.store.blocked = (inode) => (inode === stuck && stages.some(({ update }) => update !== undefined) ? refusing('unavailable')() : undefined);
    return commit(stages);
  };
  const data = Buffer.concat([Buffer.alloc(700 * kibibyte, 1), Buffer.alloc(800 * kibibyte, 2)]);
  await host.volume.write(stuck, 0, 1000, data.subarray(0, 700 * kibibyte), false);
  await host.volume.write(stuck, 0, 1000 + 700 * kibibyte, data.subarray(700 * kibibyte), false);
  await host.volume.write(stuck, 0, 100_000, Buffer.from('within'), false);
  for (let count = 0; count < 600; count++) await host.volume.write(other, 0, 0, Buffer.alloc(64 * kibibyte, count), false);
  data.write('within', 99_000);
  assert.ok(host.volume.memory.dirtyBytes < ringBytes && host.memory.whole);
  const volume = await host.die();
  assert.ok((await contentOf(volume, stuck)).subarray(1000).equals(data));
  await volume.abandon();
});

test('a new file whose blocks no host takes keeps no name, and no other file, from becoming durable', async () => {
  const host = await Host.start(new BlockedStore(), new Memory(4096 + ringBytes), { flushDelayMs: 2 });
  const refused = new Set<number>();
  host.store.blocked = (inode) => (refused.has(inode) ? refusing('unavailable')() : undefined);
  const other = await put(host.volume, root, 'other', '');
  const stuck = await put(host.volume, root, 'stuck', '');
  // Its record can be written, its content cannot.
  const commit = host.store.commit.bind(host.store);
  host.store.commit = (stages) => {
    if (stages.some(({ put: blocks = [] }) => blocks.length > 0)) refused.add(stuck);
    return commit(stages).finally(() => refused.clear());
  };
  await host.volume.write(stuck, 0, 0, Buffer.alloc(50 * kibibyte, 1), false);
  await host.volume.write(other, 0, 0, Buffer.from('other'), false);
  await host.volume.fsync(other, 0, false);
  for (let count = 0; count < 100; count++) await host.volume.write(other, 0, 0, Buffer.alloc(4 * kibibyte, count), false);
  await host.volume.fsync(root, 0, false);
  assert.ok(host.memory.whole);
  const volume = await host.die();
  assert.equal(await look(volume, root, 'stuck'), stuck);
  assert.ok((await contentOf(volume, stuck)).equals(Buffer.alloc(50 * kibibyte, 1)));
  await host.volume.abandon();
});

test('when a file that could not be written out is removed its room is there for others at once', async () => {
  const host = await Host.start(new BlockedStore(), new Memory(4096 + 16 * ringBytes), { flushDelayMs: 2, sizeBytes: 4 * ringBytes });
  const { volume, store } = host;
  const [stuck, other] = [await put(volume, root, 'stuck', 'old', true), await put(volume, root, 'other', 'old', true)];
  store.blocked = (inode) => (inode === stuck ? refusing('unavailable')() : undefined);
  await volume.write(stuck, 0, 0, Buffer.alloc(3 * ringBytes, 1), false);
  assert.equal(await errnoOf(() => volume.fsync(stuck, 0, false)), 'EIO');
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await errnoOf(() => volume.write(other, 0, 0, Buffer.alloc(2 * ringBytes, 2), false)), 'ENOSPC');
  await volume.unlink(root, 'stuck');
  volume.forget(stuck, 1);
  await volume.write(other, 0, 0, Buffer.alloc(3.5 * ringBytes, 2), false);
  await volume.fsync(other, 0, false);
  assert.equal(volume.usage.allocated, 3.5 * ringBytes);
  await eventually(() => volume.memory.dirtyBytes === 0, 'nothing is left of it in memory');
  await volume.close();
  assert.deepEqual((await (await open(store)).check()).problems, []);
});

/** Each attempt is given up by the store's own deadline, or refused at once. */
const outOfReach: Record<string, () => Promise<never>> = {
  'does not answer': () => new Promise((resolve) => setTimeout(resolve, 5)).then(refusing('deadline-exceeded')),
  'is out of reach': refusing('unavailable'),
};

for (const [what, refuse] of Object.entries(outOfReach))
  for (const [how, size] of Object.entries({ 'what its record holds': 3000, 'what the journal takes': 20 * kibibyte, more: 150 * kibibyte }))
    test(`a file that was renamed over another, of which the store ${what}, holds up no name and no write (${how})`, async () => {
      const host = await Host.start(new BlockedStore(), new Memory(4096 + ringBytes), { flushDelayMs: 2 });
      const { volume, store } = host;
      await put(volume, root, 'replaced', Buffer.alloc(50 * kibibyte, 1), true);
      const stuck = await put(volume, root, 'stuck', Buffer.alloc(size, 2), true);
      store.blocked = (inode) => (inode === stuck ? refuse() : undefined);
      const content = Buffer.alloc(size, 3);
      await volume.write(stuck, 0, 0, content, false);
      await volume.rename(root, 'stuck', root, 'replaced', 0);
      const other = await put(volume, root, 'other', 'text', true);
      for (let count = 0; count < 200; count++) {
        await volume.write(other, 0, 0, Buffer.alloc(64 * kibibyte, count), false);
        await put(volume, root, `new ${count % 7}`, `${count}`, true);
        if (count % 7 === 6) await volume.rename(root, `new ${count % 7}`, root, 'newest', 0);
      }
      assert.equal(await errnoOf(() => volume.fsync(other, 0, false)), 'none');
      assert.equal(volume.memory.operations, 0);
      assert.ok(host.memory.whole);
      const next = await host.die();
      assert.equal(await look(next, root, 'replaced'), stuck);
      assert.ok((await contentOf(next, stuck)).equals(content));
      await next.abandon();
      // The machine dies as well.
      store.restart();
      const after = await open(store);
      assert.equal(await look(after, root, 'replaced'), stuck);
      if (size < 48 * kibibyte) assert.ok((await contentOf(after, stuck)).equals(content));
      store.blocked = () => undefined;
      await after.close();
      assert.deepEqual((await (await open(store)).check()).problems, []);
    });

/** A file outside of the tree, whose writes fill the log. */
async function fill(run: Run, seed: number): Promise<void> {
  if (run.held.length === 0) await run.step([stepKinds.indexOf('tmpfile'), 0, 0, 0, 0]);
  const { file } = run.held[0]!;
  const data = Buffer.alloc(40 * kibibyte, 1 + (seed % 255));
  const content = Buffer.alloc(Math.max(data.length, file.content.length));
  file.content.copy(content);
  data.copy(content);
  file.content = content;
  file.changes++;
  await run.volume.write(file.inode, 0, 0, data, false);
}

test('whichever files cannot be written out, everything is as it was after the death of the process, at any moment and again and again', async () => {
  let carried = 0;
  const phases = fc.array(steps(60), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(phases, fc.nat(), async (list, seed) => {
      const random = seeded(seed);
      const store = new BlockedStore({ random, delay: () => (random() < 0.2 ? new Promise((resolve) => setImmediate(resolve)) : undefined) });
      const host = await Host.start(store, new Memory(4096 + ringBytes), { flushDelayMs: 1 });
      const run = new Run(store, host.volume);
      run.fails = true;
      for (const part of list) {
        store.blocked = () => undefined;
        await run.volume.syncfs();
        const codes = new Map(
          [...run.nodes.keys()].map((inode) => [inode, random() < 0.3 ? refusals[Math.floor(random() * refusals.length)] : undefined]),
        );
        codes.delete(run.held[0]?.file.inode ?? 0);
        store.blocked = (inode) => {
          const code = codes.get(inode);
          if (code === undefined || random() < 0.1) return undefined;
          carried++;
          return Promise.reject(new InfinitError(code, 'refused'));
        };
        for (const [index, step] of part.entries()) {
          // What a sync says of a failure is all that a failure may do.
          await run.step(step).catch((error: unknown) => {
            if (!(error instanceof InfinitError || (error instanceof FileSystemError && ['EIO', 'ENOSPC'].includes(error.errno)))) throw error;
          });
          if (random() < 0.3) await fill(run, index);
          if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
        }
        assert.ok(host.memory.whole);
        store.blocked = () => undefined;
        run.volume = await host.die();
        await Promise.all(run.background.splice(0));
        await run.compare();
      }
      await assertDurable(run);
    }),
    randomRuns(50),
  );
  assert.ok(carried > 0);
});

for (const code of refusals)
  test(`a file with a new name that cannot be written fails the fsync of no other one, and keeps its name from nobody (${code})`, async () => {
    const store = new BlockedStore();
    const volume = await open(store);
    const stuck = await put(volume, root, 'stuck', 'old', true);
    store.blocked = (inode) => (inode === stuck ? refusing(code)() : undefined);
    await volume.write(stuck, 0, 0, Buffer.from('new'), false);
    await volume.link(stuck, root, 'link');
    const other = await put(volume, root, 'other', 'text');
    const synced = await Promise.all([stuck, other, root].map((inode) => errnoOf(() => volume.fsync(inode, 0, false))));
    assert.deepEqual(synced, [code === 'disk-full' ? 'ENOSPC' : 'EIO', 'none', 'none']);
    store.restart();
    store.blocked = () => undefined;
    const after = await open(store);
    assert.equal(await look(after, root, 'link'), stuck);
    assert.equal((await contentOf(after, other)).toString(), 'text');
    await after.close();
  });

test('a damaged file that replaces another keeps no name from becoming durable', async () => {
  const store = new BlockedStore();
  const volume = await open(store);
  const stuck = await put(volume, root, 'stuck', Buffer.alloc(20_000, 1), true);
  await put(volume, root, 'replaced', 'text', true);
  store.blocked = (inode) => (inode === stuck ? refusing('damaged')() : undefined);
  await volume.write(stuck, 0, 0, Buffer.from('new'), false);
  await volume.rename(root, 'stuck', root, 'replaced', 0);
  const other = await put(volume, root, 'other', 'text', true);
  store.restart();
  store.blocked = () => undefined;
  const after = await open(store);
  assert.deepEqual([await look(after, root, 'replaced'), await look(after, root, 'other')], [stuck, other]);
  assert.deepEqual((await after.check()).problems, []);
  await after.close();
});
