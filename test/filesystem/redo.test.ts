/** What the death of the daemon alone takes: nothing, where there is memory that outlives it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import * as fc from 'fast-check';

import { silentLogger } from '../../src/base/index.ts';
import { Sealer } from '../../src/block/index.ts';
import { checkVolume, SharedFileSystem } from '../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { randomRuns } from '../suites/random-runs.ts';
import { seeded } from '../suites/seeded.ts';
import { contentOf, errnoOf, look, namesOf, open, put, root, TestClock, user, volumeId } from './harness.ts';
import { Run } from './random-run.ts';
import { steps } from './random-steps.ts';
import { assertDurable, Host, Memory } from './redo-host.ts';

async function check(store: MemoryBlockStore): Promise<void> {
  const setup = { store, sealer: new Sealer(), volumeId, session: 4_000_000, clock: new TestClock(), logger: silentLogger };
  const { problems } = await checkVolume(setup, { immutable: store.immutableAddresses(), mutable: store.mutableAddresses() });
  const left = problems.filter(({ kind }) => kind !== 'leaked-block');
  assert.deepEqual(left, []);
}

test('after the death of the process alone, at any moment and again and again, everything is as it was', async () => {
  const phases = fc.array(fc.tuple(steps(60), fc.option(fc.nat(30), { nil: undefined })), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(phases, fc.nat(), async (list, seed) => {
      const random = seeded(seed);
      const store = new MemoryBlockStore({ random, delay: () => (random() < 0.2 ? new Promise((resolve) => setImmediate(resolve)) : undefined) });
      const host = await Host.start(store);
      const run = new Run(store, host.volume);
      for (const [part, dieAgain] of list) {
        for (const step of part) {
          await run.step(step);
          if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
        }
        // The next one may die as well, while it takes over.
        if (dieAgain !== undefined) {
          host.memory = host.memory.copy();
          store.restart();
          store.crashAfter(dieAgain);
          await open(store, {}, { memory: host.memory, inherits: true, resumed: true }).catch(() => {});
        }
        run.volume = await host.die();
        await Promise.all(run.background.splice(0));
        await run.compare();
        await check(store);
      }
      await assertDurable(run);
      await check(store);
    }),
    randomRuns(100),
  );
});

test('a process that died writes nothing more, whatever of it still runs here', async () => {
  const host = await Host.start();
  const dead = host.volume;
  await put(dead, root, 'file', 'text');
  await host.die();
  const { writes } = host.store;
  await assert.rejects(dead.syncfs(), { errno: 'EIO' });
  assert.equal(host.store.writes, writes);
});

test('what was written and not synced is there for the next process, whose fsync succeeds', async () => {
  const host = await Host.start(undefined, new Memory(4096 + 16 * 1024 * 1024));
  const large = Buffer.alloc(3 * 1024 * 1024, 'large');
  const [small, big] = [await put(host.volume, root, 'small', 'words'), await put(host.volume, root, 'big', large)];
  await host.volume.write(big, 0, 5, Buffer.from('middle'), false);
  await host.volume.setattr(small, { size: 3, mode: 0o640, uid: 5, modified: { seconds: 7, nanoseconds: 8 } });
  await host.volume.setxattr(small, 'user.a', Buffer.from([0, 255, 10]), 0, false);
  const attributes = await host.volume.getattr(small);
  const volume = await host.die(new Set([small, big, root]));
  const same = await volume.getattr(small);
  assert.deepEqual({ ...same, blocks: 0 }, { ...attributes, blocks: 0 });
  assert.equal((await contentOf(volume, small)).toString(), 'wor');
  assert.deepEqual([...(await volume.getxattr(small, 'user.a'))], [0, 255, 10]);
  const expected = Buffer.from(large);
  expected.write('middle', 5);
  assert.ok((await contentOf(volume, big)).equals(expected));
  for (const inode of [small, big, root]) await volume.fsync(inode, 0, false);
  // With the machine, only what was not synced would go.
  host.store.restart();
  const next = await open(host.store);
  assert.ok((await contentOf(next, big)).equals(expected));
});

test('a file that lost its name, or never had one, lives on for whoever has it open', async () => {
  const host = await Host.start();
  const named = await put(host.volume, root, 'a', 'first', true);
  await host.volume.lookup(root, 'a');
  await host.volume.unlink(root, 'a');
  await host.volume.write(named, 0, 5, Buffer.from(' second'), false);
  const { attributes, handle } = await host.volume.tmpfile(root, 0o600, 0, 2, user);
  await host.volume.write(attributes.inode, handle, 0, Buffer.from('nameless'), false);
  const volume = await host.die();
  assert.deepEqual(await namesOf(volume, root), []);
  assert.equal((await contentOf(volume, named)).toString(), 'first second');
  assert.equal((await contentOf(volume, attributes.inode)).toString(), 'nameless');
  await volume.link(attributes.inode, root, 'b');
  volume.forget(named, 1);
  await volume.syncfs();
  assert.equal(await look(volume, root, 'b'), attributes.inode);
  await volume.close();
  await check(host.store);
});

test('what finds no room is lost with the process, and said; after a flush the log is whole again', async () => {
  const host = await Host.start(undefined, new Memory(4096 + 64 * 1024));
  const file = await put(host.volume, root, 'f', Buffer.alloc(100_000, 1), true);
  const later = await put(host.volume, root, 'g', 'unsynced');
  await host.volume.write(file, 0, 0, Buffer.alloc(80_000, 2), false);
  let volume = await host.die(new Set([file, root]));
  assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'EIO');
  assert.equal(await look(volume, root, 'g'), undefined, `inode ${later} is lost`);
  await volume.write(file, 0, 0, Buffer.alloc(80_000, 3), false);
  await volume.syncfs();
  await volume.write(file, 0, 0, Buffer.alloc(50_000, 4), false);
  volume = await host.die(new Set([file]));
  assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'none');
  const content = await contentOf(volume, file);
  assert.ok(content.subarray(0, 50_000).every((byte) => byte === 4) && content.subarray(50_000, 80_000).every((byte) => byte === 3));
});

test('where any file may have lost something, each says so once, and new ones do not', async () => {
  const host = await Host.start();
  const files = await Promise.all(['a', 'b'].map((name) => put(host.volume, root, name, 'old', true)));
  host.store.restart();
  const volume = await open(host.store, {}, { inherits: true, resumed: true, lostAny: true });
  const synced = async (inode: number): Promise<string> => errnoOf(() => volume.fsync(inode, 0, false));
  for (const file of files) assert.deepEqual([await synced(file), await synced(file)], ['EIO', 'none']);
  assert.equal(await synced(await put(volume, root, 'c', 'new')), 'none');
});

test('the ring is used again and again while there is always something unsynced', async () => {
  const host = await Host.start(undefined, new Memory(4096 + 64 * 1024));
  const files = await Promise.all(['a', 'b'].map((name) => put(host.volume, root, name, '')));
  for (let round = 1; round <= 40; round++) {
    const volume = round % 10 === 0 ? await host.die() : host.volume;
    await volume.write(files[0]!, 0, 0, Buffer.alloc(7000 + 13 * round, round), false);
    // What comes while it is written out stays in the log.
    const flushed = volume.syncfs();
    await volume.write(files[1]!, 0, 1000 * round, Buffer.alloc(3000, round), false);
    await flushed;
  }
  const volume = await host.die();
  const content = await contentOf(volume, files[1]!);
  for (let round = 1; round < 40; round++) assert.ok(content.subarray(1000 * round, 1000 * round + 1000).every((byte) => byte === round));
  assert.equal(await errnoOf(() => volume.fsync(files[1]!, 0, false)), 'none');
});

test('a flush takes nothing out of the log that an earlier one, still under way, has passed by', async () => {
  let gate: Promise<void> | undefined;
  const host = await Host.start(new MemoryBlockStore({ delay: () => gate }));
  const file = await put(host.volume, root, 'f', 'first');
  await look(host.volume, root, 'g');
  const open = Promise.withResolvers<void>();
  gate = open.promise;
  const earlier = host.volume.syncfs();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await host.volume.write(file, 0, 0, Buffer.from('again'), false);
  const later = host.volume.syncfs();
  await host.volume.rename(root, 'f', root, 'g', 0);
  gate = undefined;
  open.resolve();
  await Promise.all([earlier, later]);
  const volume = await host.die();
  assert.equal((await contentOf(volume, (await look(volume, root, 'g'))!)).toString(), 'again');
});

test('what became durable while a flush of other files was under way is in the log no longer than that', async () => {
  let until: Promise<void> | undefined;
  const host = await Host.start(new MemoryBlockStore({ delay: () => until }), new Memory(), { flushDelayMs: 1 });
  const { volume } = host;
  const [file, other] = [await put(volume, root, 'f', 'text', true), await put(volume, root, 'g', 'text', true)];
  const gate = Promise.withResolvers<void>();
  until = gate.promise;
  await volume.write(file, 0, 0, Buffer.from('more'), false);
  // The flush has begun.
  await sleep(20);
  await volume.write(other, 0, 0, Buffer.from('more'), false);
  const synced = volume.fsync(other, 0, false);
  gate.resolve();
  until = undefined;
  await synced;
  for (let look = 0; look < 200 && volume.memory.redoBytes > 0; look++) await sleep(5);
  assert.equal(volume.memory.redoBytes, 0);
  await volume.close();
});

test('where another has had the volume meanwhile nothing is made again, and what is lost is said', async () => {
  const host = await Host.start();
  const file = await put(host.volume, root, 'f', 'old', true);
  await host.volume.write(file, 0, 0, Buffer.from('mine'), false);
  host.memory = host.memory.copy();
  host.store.restart();
  const other = await open(host.store);
  await other.write(file, 0, 0, Buffer.from('its'), false);
  await other.close();
  const volume = await host.die(new Set([file]));
  assert.equal((await contentOf(volume, file)).toString(), 'its');
  assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'EIO');
});

test('a record that was not complete when the process died counts for nothing', async () => {
  const host = await Host.start();
  const file = await put(host.volume, root, 'f', 'first', true);
  await host.volume.write(file, 0, 0, Buffer.from('again'), false);
  const before = host.memory.copy();
  await host.volume.write(file, 0, 0, Buffer.from('third and longer'), false);
  // All of the last write is there but the word that says so.
  const torn = host.memory.copy();
  torn.bytes.set(before.bytes.subarray(0, 4096));
  host.memory = torn;
  const volume = await host.die();
  assert.equal((await contentOf(volume, file)).toString(), 'again');
});

test('what kills whoever takes it over is given up', async () => {
  const host = await Host.start(new MemoryBlockStore({ delay: () => new Promise((resolve) => setImmediate(resolve)) }));
  const file = await put(host.volume, root, 'f', 'first', true);
  await host.volume.write(file, 0, 0, Buffer.from('again'), false);
  for (let death = 1; death <= 3; death++) {
    host.memory = host.memory.copy();
    host.store.restart();
    const memory = host.memory.copy();
    const opening = open(host.store, {}, { memory, inherits: true, resumed: true });
    // As it is while it is being taken over.
    const attempts = new Float64Array(memory.bytes.buffer, 64, 1);
    while (attempts[0] !== death) await new Promise((resolve) => setImmediate(resolve));
    host.memory = memory.copy();
    host.store.restart();
    await opening.catch(() => {});
  }
  const volume = await host.die(new Set([file]));
  assert.equal((await contentOf(volume, file)).toString(), 'first');
  assert.equal(await errnoOf(() => volume.fsync(file, 0, false)), 'EIO');
});

test('an exchange of names that is asked for again is done once in all, however many processes die over it', async () => {
  const host = await Host.start();
  const [a, b] = [await put(host.volume, root, 'a', 'a', true), await put(host.volume, root, 'b', 'b', true)];
  const exchange = async (number: number, again: boolean): Promise<void> => host.volume.rename(root, 'a', root, 'b', 2, { number, again });
  const places = async (): Promise<unknown[]> => [await look(host.volume, root, 'a'), await look(host.volume, root, 'b')];
  await exchange(100, false);
  await host.die();
  await exchange(100, true);
  assert.deepEqual(await places(), [b, a], 'it had been done');
  // Its record is trimmed, and the next process is asked for the same.
  await host.volume.syncfs();
  await host.die();
  await exchange(100, true);
  assert.deepEqual(await places(), [b, a]);
  await exchange(102, true);
  assert.deepEqual(await places(), [a, b], 'another one had not been done');
  await host.die();
  await exchange(102, true);
  assert.deepEqual(await places(), [a, b]);
  await host.volume.close();
  await check(host.store);
});

test('a rename that leaves a whiteout and is asked for again does not put the whiteout in the place of the file', async () => {
  const host = await Host.start();
  const file = await put(host.volume, root, 'a', 'content', true);
  const rename = async (number: number, again: boolean): Promise<void> => host.volume.rename(root, 'a', root, 'b', 4, { number, again });
  await rename(100, false);
  const whiteout = await look(host.volume, root, 'a');
  for (const synced of [false, true]) {
    if (synced) await host.volume.syncfs();
    await host.die();
    await rename(100, true);
    assert.deepEqual([await look(host.volume, root, 'a'), await look(host.volume, root, 'b')], [whiteout, file]);
    const { mode, device, links } = await host.volume.getattr(whiteout!);
    assert.deepEqual([mode, device, links], [0o020000, 0, 1]);
  }
  await host.volume.close();
  await check(host.store);
});

test('of an exchange by the host that serves a shared volume its next daemon knows whether it was done', async () => {
  for (const [name, askedBefore] of [
    ['its log is all that there was', false],
    ['another host was asked before', true],
  ] as const) {
    const host = new Host(new MemoryBlockStore(), new Memory(), {});
    host.volume = await open(host.store, {}, { memory: host.memory, askedBefore });
    const [a, b] = [await put(host.volume, root, 'a', 'a', true), await put(host.volume, root, 'b', 'b', true)];
    const exchange = async (number: number, again: boolean): Promise<string> => {
      const shared = new SharedFileSystem('host', () => true);
      shared.setBacking({ kind: 'local', volume: host.volume, grace: Promise.resolve() });
      shared.asking({ asker: 'mount', number, again });
      const done = errnoOf(() => shared.rename(root, 'a', root, 'b', 2, { number, again }));
      shared.asking(undefined);
      return done;
    };
    assert.equal(await exchange(100, false), 'none');
    await host.die();
    for (let time = 0; time < 2; time++) assert.equal(await exchange(100, true), 'none', name);
    assert.deepEqual([await look(host.volume, root, 'a'), await look(host.volume, root, 'b')], [b, a], name);
    assert.equal(await exchange(102, true), askedBefore ? 'EIO' : 'none', name);
    await host.volume.close();
    await check(host.store);
  }
});

test('an exchange whose record was not complete when the process died is done by the next one', async () => {
  const host = await Host.start();
  const [a, b] = [await put(host.volume, root, 'a', 'a', true), await put(host.volume, root, 'b', 'b', true)];
  const words = (): Float64Array => new Float64Array(host.memory.bytes.buffer, 0, 512);
  const published = words()[4]!;
  await host.volume.rename(root, 'a', root, 'b', 2, { number: 100, again: false });
  words()[4] = published;
  const volume = await host.die();
  await volume.rename(root, 'a', root, 'b', 2, { number: 100, again: true });
  assert.deepEqual([await look(volume, root, 'a'), await look(volume, root, 'b')], [b, a]);
});

test('whether an exchange was done is not known where a log was lost, nor of those before that', async () => {
  const host = await Host.start();
  await put(host.volume, root, 'a', 'a', true);
  await put(host.volume, root, 'b', 'b', true);
  const again = async (number: number): Promise<string> => errnoOf(() => host.volume.rename(root, 'a', root, 'b', 2, { number, again: true }));
  host.memory = new Memory();
  await host.die();
  assert.equal(await again(100), 'EIO');
  await host.die();
  assert.equal(await again(100), 'EIO');
});

test('of more exchanges than are noted the oldest may have been done', async () => {
  const host = await Host.start();
  await put(host.volume, root, 'a', 'a', true);
  await put(host.volume, root, 'b', 'b', true);
  const exchange = async (number: number, again: boolean): Promise<string> =>
    errnoOf(() => host.volume.rename(root, 'a', root, 'b', 2, { number, again }));
  for (let number = 2; number <= 400; number += 2) await exchange(number, false);
  await host.die();
  assert.equal(await exchange(2, true), 'EIO');
  const before = await look(host.volume, root, 'a');
  assert.equal(await exchange(400, true), 'none');
  assert.equal(await look(host.volume, root, 'a'), before);
});
