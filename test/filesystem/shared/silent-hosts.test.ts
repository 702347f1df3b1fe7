import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { FileLock, SharedFileSystem } from '../../../src/filesystem/index.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { errnoOf, open, put, root } from '../harness.ts';
import { flock, posix, Serving } from './serving.ts';

interface Scene {
  readonly serving: Serving;
  readonly inode: number;
  readonly lost: SharedFileSystem;
  /** Programs of the host that serves the volume, and of a guest. */
  readonly others: readonly SharedFileSystem[];
}

/** Three hosts; the third holds something. */
async function scene(lock: FileLock): Promise<Scene> {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const [lost, guest] = [serving.guest('lost'), serving.guest('guest')];
  await lost.setlk(inode, lock, false);
  return { serving, inode, lost, others: [serving.own, guest] };
}

/** What it comes to; nothing yet. */
function track(attempt: Promise<unknown>): { said: string | undefined } {
  const state: { said: string | undefined } = { said: undefined };
  void errnoOf(() => attempt).then((errno) => (state.said = errno));
  return state;
}

const aMoment = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const lock of [flock('1', 'write'), posix('1', 'write', 0, 9)])
  test(`who must not wait for a ${lock.kind} lock is told at once that a living host has it, and of a silent one when it is known to be lost`, async () => {
    for (const which of [0, 1]) {
      const { serving, inode, others } = await scene(lock);
      const [other, wanted] = [others[which]!, { ...lock, owner: '9' }];
      assert.equal(await errnoOf(() => other.setlk(inode, wanted, false)), 'EAGAIN');
      serving.silent.fell('lost');
      const attempt = track(other.setlk(inode, wanted, false));
      const look = Promise.resolve(other.getlk(inode, wanted));
      await aMoment();
      assert.equal(attempt.said, undefined);
      await serving.server.dismiss('lost');
      assert.equal(await look, undefined);
      await aMoment(600);
      assert.equal(attempt.said, 'none');
    }
  });

test('a silent host that is heard again has its locks, and whoever waited to know is told so', async () => {
  const lock = flock('1', 'write');
  for (const which of [0, 1]) {
    const { serving, inode, others } = await scene(lock);
    serving.silent.fell('lost');
    const attempt = track(others[which]!.setlk(inode, { ...lock, owner: '9' }, false));
    await aMoment();
    serving.silent.judged('lost');
    await aMoment(600);
    assert.equal(attempt.said, 'EAGAIN');
  }
});

test('where a living host’s program has it as well nobody waits for the silent one', async () => {
  const { serving, inode, others } = await scene(posix('1', 'read', 0, 9));
  await others[1]!.setlk(inode, posix('1', 'read', 5, 9), false);
  serving.silent.fell('lost');
  assert.equal(await errnoOf(() => serving.own.setlk(inode, posix('9', 'write', 0, 99), false)), 'EAGAIN');
  assert.equal((await serving.own.getlk(inode, posix('9', 'write', 7, 99)))?.start, 5);
  // What is not in the way of what the silent one has is given.
  await serving.own.setlk(inode, posix('9', 'read', 0, 4), false);
  await serving.own.setlk(inode, posix('9', 'write', 20, 29), false);
});

test('a signal ends that wait, and nothing is locked then', async () => {
  const lock = flock('1', 'write');
  for (const which of [0, 1]) {
    const { serving, inode, others } = await scene(lock);
    serving.silent.fell('lost');
    const abort = new AbortController();
    const attempt = others[which]!.setlk(inode, { ...lock, owner: '9' }, false, abort.signal);
    await aMoment();
    abort.abort();
    await assert.rejects(attempt, { errno: 'EINTR' });
    await serving.server.dismiss('lost');
    await others[1 - which]!.setlk(inode, { ...lock, owner: '8' }, false);
  }
});

test('of a silent host that grants the locks of a file nothing is said before it is known to be lost', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const lost = serving.guest('lost');
  await serving.keeps(lost);
  for (let time = 0; time < 2; time++) for (const type of ['write', 'unlock'] as const) await lost.setlk(inode, flock('1', type), false);
  while (!serving.calls.includes('borrowLocks')) await aMoment(1);
  await aMoment(1);
  serving.calls.length = 0;
  await lost.setlk(inode, flock('1', 'write'), false);
  assert.deepEqual(serving.calls, []);
  serving.unheard.add('lost');
  serving.silent.fell('lost');
  const attempt = track(serving.own.setlk(inode, flock('9', 'write'), false));
  await serving.time.pass(3000);
  await aMoment();
  assert.equal(attempt.said, undefined);
  await serving.server.dismiss('lost');
  await aMoment();
  assert.equal(attempt.said, 'none');
});
