import assert from 'node:assert/strict';
import { test } from 'node:test';

import { namedAddress } from '../../../src/block/index.ts';
import { errnoOf, look, namesOf, open, put, root, user, volumeId } from '../harness.ts';
import { SmallStore } from '../small-store.ts';
import { UnreadableStore } from '../unreadable-store.ts';
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

test('what another host makes where the hosts of its record have no room is answered, and survives the serving host', async () => {
  const store = new UnreadableStore();
  const serving = new Serving(await open(store));
  const guest = serving.guest('guest');
  await guest.mkdir(root, 'before', 0o755, 0, user);
  const records = new Set(Array.from({ length: 1000 }, (_, index) => namedAddress(volumeId, `inode:${index + 3}`)));
  store.lacks = (address) => (records.has(address) ? 'disk-full' : undefined);
  const { inode } = await guest.mkdir(root, 'made', 0o755, 0, user);
  await guest.rename(root, 'made', root, 'moved', 0);
  await guest.rmdir(root, 'before');
  store.restart();
  const next = await open(store);
  assert.deepEqual(await namesOf(next, root), ['moved']);
  assert.equal(await look(next, root, 'moved'), inode);
  store.lacks = () => undefined;
  await next.recall();
  assert.deepEqual((await next.check()).problems, []);
  await serving.volume.abandon();
});
