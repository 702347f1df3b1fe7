import assert from 'node:assert/strict';
import { test } from 'node:test';

import { contentOf, errnoOf, open, root } from '../harness.ts';
import { begin, seen } from './killed-guest.ts';
import { Serving } from './serving.ts';

const mebibyte = 1024 * 1024;

function pattern(bytes: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + seed * 17) % 251));
}

test('what a guest had not said when its process died the next one says, and a sync succeeds', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  const data = pattern(3 * mebibyte, 1);
  for (let at = 0; at < data.length; at += mebibyte) await guest.fileSystem.write(inode, handle, at, data.subarray(at, at + mebibyte), false);
  for (let at = 0; at < 2000; at++) await guest.fileSystem.write(inode, handle, at * 1000, pattern(100, at).fill(at, 0, 10), false);
  for (let at = 0; at < 2000; at++)
    pattern(100, at)
      .fill(at, 0, 10)
      .copy(data, at * 1000);
  const modified = { seconds: 1000, nanoseconds: 7 };
  await guest.fileSystem.setattr(inode, { mode: 0o600, modified, accessed: { seconds: 3, nanoseconds: 4 } });
  guest.die();
  const { mode, size, modified: since, accessed } = await guest.fileSystem.getattr(inode);
  assert.deepEqual([mode & 0o777, size, since, accessed.seconds], [0o600, data.length, modified, 3]);
  const again = await guest.fileSystem.open(inode, 1);
  guest.fileSystem.inherited(inode, again);
  await guest.fileSystem.fsync(inode, again, false);
  assert.ok((await seen(serving, inode)).equals(data));
  assert.deepEqual(guest.heard, []);
  await (await guest.ready()).write(inode, again, 0, Buffer.from('goes on'), false);
  guest.die();
  await guest.ready();
  assert.equal((await seen(serving, inode)).subarray(0, 7).toString(), 'goes on');
});

test('a process may die at any moment of what it says, and so may the one after it', async () => {
  for (let puts = 0; puts < 7; puts++) {
    const { serving, guest } = await begin();
    const { inode, handle } = await guest.make('f');
    const expected = Buffer.alloc(2 * mebibyte);
    // Pieces that are said by themselves, and more of them than one message takes.
    for (let at = 0; at < 700; at++) {
      const data = pattern(1 + ((at * 37) % 1500), at);
      await guest.fileSystem.write(inode, handle, at * 2500, data, false);
      data.copy(expected, at * 2500);
    }
    guest.dieAfter(puts);
    const synced = (async () => guest.fileSystem.fsync(inode, handle, false))().catch(() => {});
    for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    // Written over while that is on its way.
    await guest.fileSystem.write(inode, handle, 5000, Buffer.from('later'), false);
    expected.write('later', 5000);
    guest.die();
    guest.dieAfter(puts % 3);
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    guest.die();
    await guest.ready();
    const content = await seen(serving, inode);
    assert.ok(content.equals(expected.subarray(0, content.length)), `${puts} puts`);
    assert.ok(content.length > 699 * 2500);
    // What the dead ones had sent and nobody had read comes after all.
    for (const call of guest.late) await serving.server.serve(guest.peer, call);
    assert.ok((await seen(serving, inode)).equals(content), `${puts} puts, and late ones`);
    assert.deepEqual(guest.heard, []);
    void synced;
  }
});

test('what somebody else did to the file meanwhile stays: whoever had it open hears that what it wrote is lost', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('mine'), false);
  guest.freeze();
  serving.grants.loans.lapse(guest.peer);
  await serving.own.write(inode, await serving.own.open(inode, 1), 0, Buffer.from('others'), false);
  guest.die();
  const again = await guest.fileSystem.open(inode, 1);
  guest.fileSystem.inherited(inode, again);
  assert.equal(await errnoOf(async () => guest.fileSystem.fsync(inode, again, false)), 'EIO');
  await guest.fileSystem.fsync(inode, again, false);
  assert.deepEqual(guest.heard, [inode]);
  assert.equal((await seen(serving, inode)).toString(), 'others');
  // It was said to be lost, and does not come back.
  guest.die();
  await guest.ready();
  assert.deepEqual(guest.heard, [inode]);
});

test('what this host itself does to the file next comes after what it wrote', async () => {
  for (const what of ['rename', 'truncate', 'write', 'chmod', 'unlink'] as const) {
    const { serving, guest } = await begin();
    const { inode, handle } = await guest.make('f');
    await guest.fileSystem.write(inode, handle, 0, Buffer.from('all of it'), false);
    guest.die();
    const { fileSystem } = guest;
    const again = what === 'unlink' ? await fileSystem.open(inode, 1) : 0;
    if (what === 'rename') await fileSystem.rename(root, 'f', root, 'g', 0);
    else if (what === 'truncate') await fileSystem.setattr(inode, { size: 3 });
    else if (what === 'write') await fileSystem.write(inode, await fileSystem.open(inode, 1), 0, Buffer.from('ALL'), false);
    else if (what === 'chmod') await fileSystem.setattr(inode, { mode: 0o600 });
    else await fileSystem.unlink(root, 'f');
    const content = (await seen(serving, inode)).toString();
    assert.equal(content, what === 'truncate' ? 'all' : what === 'write' ? 'ALL of it' : 'all of it', what);
    assert.deepEqual(guest.heard, [], what);
    void again;
  }
});

test('another host that serves the volume by then is told as well, and so is a volume that is opened in this very process', async () => {
  const scene = await begin();
  const { guest, store } = scene;
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('first'), false);
  guest.freeze();
  await scene.serving.volume.abandon();
  store.restart();
  scene.serving = new Serving(await open(store));
  guest.die();
  await guest.ready();
  assert.equal((await seen(scene.serving, inode)).toString(), 'first');
  const again = await guest.fileSystem.open(inode, 1);
  await guest.fileSystem.write(inode, again, 5, Buffer.from(' and second'), false);
  await scene.serving.volume.abandon();
  guest.die();
  store.restart();
  const volume = await open(store);
  await guest.fileSystem.takeLeft({
    attributes: async (number) => volume.getattr(number),
    put: async (number, _loan, written) => volume.lending.apply(number, written),
  });
  assert.equal((await contentOf(volume, inode)).toString(), 'first and second');
  assert.deepEqual([[...guest.fileSystem.leftUnsaid()], guest.heard], [[], []]);
});

test('where the host that serves the volume is of a version that takes no such writes, programs hear that they are lost', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('lost'), false);
  guest.freeze();
  serving.unknown.add('put').add('renew');
  serving.grants.loans.lapse(guest.peer);
  guest.die();
  const again = await guest.fileSystem.open(inode, 1);
  guest.fileSystem.inherited(inode, again);
  assert.equal(await errnoOf(async () => guest.fileSystem.fsync(inode, again, false)), 'EIO');
  assert.deepEqual(guest.heard, [inode]);
});

test('a process that stops in order leaves nothing', async () => {
  const { serving, guest } = await begin();
  const { inode, handle } = await guest.make('f');
  await guest.fileSystem.write(inode, handle, 0, Buffer.from('said'), false);
  await guest.fileSystem.close();
  assert.equal((await seen(serving, inode)).toString(), 'said');
  guest.die();
  assert.deepEqual([...guest.fileSystem.leftUnsaid()], []);
});
