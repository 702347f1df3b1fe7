import assert from 'node:assert/strict';
import { test } from 'node:test';

import { errnoOf, look, open, put, root, user } from '../harness.ts';
import { SmallStore } from '../small-store.ts';
import { Serving } from './serving.ts';

const mebibyte = 1024 * 1024;

test('a file of the holder that does not fit is no failure of what other hosts do with others', async () => {
  const serving = new Serving(await open(new SmallStore(4 * mebibyte)));
  const { volume } = serving;
  const guest = serving.guest('guest');
  const big = await put(volume, root, 'big', Buffer.alloc(3.5 * mebibyte, 1), true);
  const { inode: directory } = await volume.mkdir(root, 'd', 0o755, 0, user);
  const other = await put(volume, directory, 'other', 'text', true);
  const handle = await guest.open(other, 0);
  await put(volume, root, 'late', Buffer.alloc(mebibyte, 2));
  assert.equal((await guest.getattr(other)).size, 4);
  assert.equal(Buffer.concat(await guest.read(other, handle, 0, 4)).toString(), 'text');
  assert.equal((await guest.lookup(directory, 'other'))?.inode, other);
  await guest.release(other, await guest.open(other, 0));
  await guest.setattr(other, { mode: 0o600 });
  await guest.mkdir(root, 'e', 0o755, 0, user);
  assert.equal(await errnoOf(() => guest.lookup(root, 'late')), 'ENOSPC', 'what it shows is not durable');
  const entries = await guest.readdir(root, await guest.opendir(root), 2, 4096, true);
  assert.deepEqual(new Map(entries.map(({ name, attributes }) => [name, attributes?.inode])).get('late'), undefined);
  assert.deepEqual(entries.flatMap(({ name, attributes }) => (attributes === undefined ? [] : [name])).sort(), ['big', 'd', 'e']);
  await guest.unlink(root, 'big');
  assert.equal(await look(volume, root, 'big'), undefined);
  volume.forget(big, 1);
  await volume.abandon();
});

test('what was opened for another host that is then told of a failure does not stay open', async () => {
  const store = new SmallStore(mebibyte);
  const serving = new Serving(await open(store));
  const { volume } = serving;
  const guest = serving.guest('guest');
  const late = await put(volume, root, 'late', Buffer.alloc(2 * mebibyte, 2));
  volume.forget(late, 1);
  for (let count = 0; count < 3; count++) assert.equal(await errnoOf(() => guest.open(late, 0)), 'ENOSPC');
  store.capacity = Infinity;
  const handle = await guest.open(late, 0);
  assert.equal(serving.opens, 4);
  await guest.unlink(root, 'late');
  assert.equal((await volume.getattr(late)).links, 0);
  await guest.release(late, handle);
  assert.equal(await errnoOf(() => volume.getattr(late)), 'ESTALE');
  await volume.close();
});
