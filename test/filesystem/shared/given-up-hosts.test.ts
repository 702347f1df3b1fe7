import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { errnoOf, open, put, root } from '../harness.ts';
import { attributesOf, flock, Serving } from './serving.ts';

test('a host that was given up hears so, and opens its files again', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  await serving.server.dismiss('a');
  await serving.own.setlk(inode, flock('9', 'write'), false);
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'x');
  await assert.rejects(async () => guest.fsync(inode, handle, false), { errno: 'EIO' }, 'its lock went to another');
});

test('a guest of a host that opened the volume anew takes its locks again with whatever it asks first', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const inode = await put(first.volume, root, 'f', 'x', true);
  await first.volume.syncfs();
  let server = first.server;
  const guest = new SharedFileSystem('a', () => false);
  guest.setBacking({ kind: 'remote', ask: (call) => server.serve('a', call) });
  const handle = await guest.open(inode, 2);
  await guest.setlk(inode, flock('1', 'write'), false);
  // Nothing told the guest: the lease is where it was.
  await first.volume.abandon();
  const second = new Serving(await open(store));
  const others = await second.volume.open(inode, 0);
  server = second.server;
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => second.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
  await second.volume.unlink(root, 'f');
  second.volume.forget(inode, 1);
  await guest.release(inode, handle);
  assert.equal(Buffer.concat(await second.volume.read(inode, others, 0, 10)).toString(), 'x', 'a handle of the table before is nobody else’s');
});

test('a host that was given up for a moment finds its files without a name again', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  const handle = await guest.open(inode, 2);
  await serving.volume.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  const closeHandles = await serving.server.dismiss('a');
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'x');
  await closeHandles();
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 10)).toString(), 'x');
  await guest.release(inode, handle);
  assert.equal(await attributesOf(serving.volume, inode), undefined);
});

test('a host that is given up and does not come back has nothing open a while later', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  await serving.guest('a').open(inode, 2);
  await serving.volume.unlink(root, 'f');
  serving.volume.forget(inode, 1);
  const closeHandles = await serving.server.dismiss('a');
  assert.ok((await attributesOf(serving.volume, inode)) !== undefined);
  await closeHandles();
  assert.equal(await attributesOf(serving.volume, inode), undefined);
});

test('a host that is given up while it takes its locks again begins anew', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'x', true);
  const guest = serving.guest('a');
  await guest.setlk(inode, flock('1', 'write'), false);
  let dismissals = 1;
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const answer = serving.server.serve('a', call);
      if (decodeCall(call).method !== 'relock' || dismissals-- <= 0) return answer;
      await answer;
      // The host heard it and gave this one up before the answer was through.
      await serving.server.dismiss('a');
      throw new InfinitError('unavailable', 'the link broke');
    },
  });
  await guest.getattr(inode);
  assert.equal(await errnoOf(() => serving.own.setlk(inode, flock('9', 'write'), false)), 'EAGAIN');
});
