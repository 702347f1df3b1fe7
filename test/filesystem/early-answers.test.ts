/** An fsync whose answer leaves with the block that makes the content durable. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import type { EarlyAnswer, Volume } from '../../src/filesystem/index.ts';
import type { BlockStore } from '../../src/store/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { errnoOf, open, put, readAt, root } from './harness.ts';
import { Memory } from './redo-host.ts';

const size = 64 * 1024;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Trouble {
  /** Content finds no room. */
  refuses: boolean;
  /** The answer that cannot be sent. */
  unsent?: number;
  /** What is to be answered early waits for it. */
  holds: Promise<void> | undefined;
}

/** A store whose other side reaches whoever waits. */
function telling(store: MemoryBlockStore, trouble: Trouble, onTold?: () => void): { readonly way: BlockStore; readonly told: Uint8Array[] } {
  const told: Uint8Array[] = [];
  const way = store.way();
  const commit: BlockStore['commit'] = async (stages, options) => {
    if (trouble.refuses && stages.some(({ put }) => put !== undefined)) throw new InfinitError('disk-full', 'no room');
    await turn();
    await turn();
    if (options?.tell !== undefined) await trouble.holds;
    const result = await way.commit(stages, options);
    if (!result.done || options?.tell === undefined) return result;
    told.push(...options.tell);
    onTold?.();
    return { ...result, told: options.tell.map(([byte]) => byte !== trouble.unsent) };
  };
  return { way: { get: (...call) => way.get(...call), fetch: (...call) => way.fetch(...call), commit }, told };
}

/** Changes a little and syncs it. */
async function sync(volume: Volume, inode: number, answer: EarlyAnswer): Promise<void> {
  await volume.write(inode, 0, 100, Buffer.from('text'), false);
  await volume.fsync(inode, 0, true, answer);
}

function answerOf(byte: number): EarlyAnswer {
  return { bytes: Uint8Array.of(byte), sent: false };
}

/** A volume with a file that is in its place. */
async function start(
  isLost = false,
  memory: Memory | null = new Memory(),
): Promise<{ volume: Volume; inode: number; told: Uint8Array[]; trouble: Trouble }> {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'file', Buffer.alloc(size, 1), true);
  await before.syncfs();
  await before.close();
  const trouble: Trouble = { refuses: false, holds: undefined };
  const { way, told } = telling(store, trouble);
  const lostInodes = new Set(isLost ? [inode] : []);
  return { volume: await open(way, {}, { lostInodes, ...(memory === null ? {} : { memory }) }), inode, told, trouble };
}

test('the answers of all fsyncs that share a block are sent with it, and each knows that it was', async () => {
  const { volume, inode, told } = await start();
  const [first, ...others] = [answerOf(1), answerOf(2), answerOf(3)] as const;
  const alone = sync(volume, inode, first);
  await turn();
  // That block is on its way: these share the next one.
  await volume.write(inode, 0, 200, Buffer.from('text'), false);
  await Promise.all([alone, ...others.map((answer) => volume.fsync(inode, 0, true, answer))]);
  assert.deepEqual(
    told.map(([byte]) => byte),
    [1, 2, 3],
  );
  assert.ok([first, ...others].every(({ sent }) => sent));
  const again = answerOf(4);
  await volume.fsync(inode, 0, true, again);
  assert.deepEqual([again.sent, told.length], [false, 3], 'where nothing is to be written nobody but the caller answers');
  await volume.close();
});

test('whoever has to hear of a loss is not told of success before', async () => {
  const { volume, inode, told } = await start(true);
  const [first, second] = [answerOf(1), answerOf(2)];
  assert.equal(await errnoOf(() => sync(volume, inode, first)), 'EIO');
  assert.deepEqual([first.sent, told], [false, []]);
  await sync(volume, inode, second);
  assert.ok(second.sent);
  await volume.close();
});

test('what is lost while the answer leaves is told by the next fsync', async () => {
  const { volume, inode, trouble } = await start();
  const [first, second] = [answerOf(1), answerOf(2)];
  const held = Promise.withResolvers<void>();
  trouble.holds = held.promise;
  const synced = sync(volume, inode, first);
  await turn();
  trouble.refuses = true;
  await volume.write(inode, 0, 0, Buffer.alloc(size, 2), false);
  assert.equal(await errnoOf(() => volume.syncfs()), 'ENOSPC');
  held.resolve();
  await synced;
  assert.ok(first.sent);
  trouble.refuses = false;
  assert.equal(await errnoOf(() => sync(volume, inode, second)), 'ENOSPC');
  assert.ok(!second.sent);
  await volume.close();
});

test('who got his answer with a block hears nothing more of it, though another’s could not be sent: the next fsync does', async () => {
  const { volume, inode, told, trouble } = await start();
  trouble.unsent = 2;
  const held = Promise.withResolvers<void>();
  const [got, not] = [answerOf(1), answerOf(2)];
  const alone = sync(volume, inode, answerOf(0));
  await turn();
  await volume.write(inode, 0, 200, Buffer.from('text'), false);
  const both = [got, not].map(async (answer) => errnoOf(() => volume.fsync(inode, 0, true, answer)));
  await alone;
  trouble.holds = held.promise;
  await turn();
  trouble.refuses = true;
  await volume.write(inode, 0, 0, Buffer.alloc(size, 2), false);
  assert.equal(await errnoOf(() => volume.syncfs()), 'ENOSPC');
  trouble.refuses = false;
  held.resolve();
  assert.deepEqual(await Promise.all(both), ['none', 'ENOSPC']);
  assert.deepEqual([got.sent, not.sent, told.length], [true, false, 3]);
  await volume.close();
});

test('without memory that outlives the process nobody is told before this thread has noted that nothing is lost', async () => {
  const { volume, inode, told } = await start(false, null);
  const answer = answerOf(1);
  await sync(volume, inode, answer);
  assert.deepEqual([answer.sent, told], [false, []]);
  await volume.close();
});

test('a daemon that dies in the very moment in which an answer left is followed by one that has all of it, and says of nothing that it is lost', async () => {
  for (const inherits of [true, false]) {
    const store = new MemoryBlockStore();
    const before = await open(store);
    const inode = await put(before, root, 'file', Buffer.alloc(size, 1), true);
    await before.close();
    const memory = new Memory();
    let left: Memory | undefined;
    const died = Promise.withResolvers<void>();
    const { way, told } = telling(store, { refuses: false, holds: undefined }, () => {
      // All that its thread would have done with the result is not done.
      left = memory.copy();
      store.restart();
      died.resolve();
    });
    const first = await open(way, {}, { memory });
    await first.write(inode, 0, 5000, Buffer.from('earlier'), false);
    void sync(first, inode, answerOf(1)).catch(() => {});
    await died.promise;
    assert.equal(told.length, 1);
    void first.abandon();
    // It is among the files that were not known to be in their places; with the machine, memory and that are gone.
    const more = inherits ? { memory: left!, inherits, resumed: true, lostInodes: new Set([inode]) } : {};
    const next = await open(store, {}, more);
    const content = await readAt(next, inode, 0, size);
    assert.deepEqual([content.subarray(100, 104).toString(), content.subarray(5000, 5007).toString(), content[99]], ['text', 'earlier', 1]);
    await next.fsync(inode, 0, true);
    assert.deepEqual((await next.check()).problems, []);
    await next.close();
  }
});
