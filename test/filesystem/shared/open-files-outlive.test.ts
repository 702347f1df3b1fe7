import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../../src/base/index.ts';
import { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { eventually } from '../../docker/process.ts';
import { decodeCall } from '../../../src/filesystem/shared/calls.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { contentOf, open, put, root } from '../harness.ts';
import { attributesOf, none, Serving } from './serving.ts';

test('a file that a program has open and that has no name any more outlives the host that served it, until it is closed', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const guest = first.guest('a');
  const kept = await put(first.volume, root, 'kept', 'text', true);
  const left = await put(first.volume, root, 'left', 'text', true);
  const handle = await guest.open(kept, 2);
  await first.volume.open(left, 2);
  for (const name of ['kept', 'left']) await guest.unlink(root, name);
  await first.volume.abandon();
  const opened = Promise.withResolvers<void>();
  const volume = await open(store, {}, { othersOpened: opened.promise });
  const second = new Serving(volume);
  second.welcome(guest, 'a');
  // Idle, as far as the program is concerned.
  await eventually('it is open there', () => (second.opens > 0 ? true : undefined));
  opened.resolve();
  await eventually('what nobody has open is gone', async () => ((await attributesOf(volume, left)) === undefined ? true : undefined));
  assert.equal(Buffer.concat(await guest.read(kept, handle, 0, 10)).toString(), 'text');
  await guest.release(kept, handle);
  await eventually('it goes when it is closed', async () => ((await attributesOf(volume, kept)) === undefined ? true : undefined));
});

test('a file that loses its name before the host whose program has it open has opened it at the new holder stays until then', async () => {
  const store = new MemoryBlockStore();
  const first = new Serving(await open(store));
  const names = ['open', 'replaced', 'unused'];
  const inodes = await Promise.all(names.map((name) => put(first.volume, root, name, 'text', true)));
  await put(first.volume, root, 'new', '', true);
  await first.volume.abandon();
  const opened = Promise.withResolvers<void>();
  const volume = await open(store, {}, { othersOpened: opened.promise });
  const [inode, replaced, unused] = inodes as [number, number, number];
  // Another host's program, and the new holder's kernel, which drops what it knew of it.
  for (const name of ['open', 'unused']) await volume.unlink(root, name);
  await volume.rename(root, 'new', root, 'replaced', 0);
  await volume.syncfs();
  volume.forget(inode, 1);
  const handles = [await volume.open(inode, 2), await volume.open(replaced, 0)];
  await volume.release(replaced, handles[1]!);
  assert.ok((await attributesOf(volume, replaced)) !== undefined, 'another host may have it open, too');
  opened.resolve();
  for (const gone of [replaced, unused])
    await eventually('what nobody has open is gone', async () => ((await attributesOf(volume, gone)) === undefined ? true : undefined));
  assert.equal((await contentOf(volume, inode)).toString(), 'text');
  await volume.release(inode, handles[0]!);
  assert.equal(await attributesOf(volume, inode), undefined);
  const made = await put(volume, root, 'made', '', true);
  volume.forget(made, 1);
  await volume.unlink(root, 'made');
  assert.equal(await attributesOf(volume, made), undefined);
  await volume.close();
});

test('a file that is opened while the volume moves is opened once at the host where it counts, and closed there', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const inode = await put(serving.volume, root, 'f', 'text', true);
  const guest = new SharedFileSystem('a', () => false);
  const opening = guest.open(inode, 2);
  serving.welcome(guest, 'a');
  const handle = await opening;
  assert.equal(Buffer.concat(await guest.read(inode, handle, 0, 4)).toString(), 'text');
  assert.equal(serving.opens, 1);
  // At home, in a lapse of the lease: what was opened there before the lapse is still good.
  let held = true;
  const { volume } = serving;
  const host = new SharedFileSystem('host', () => held);
  host.setBacking({ kind: 'local', volume, grace: none });
  const kept = await host.open(inode, 2);
  held = false;
  const read = host.read(inode, kept, 0, 4);
  await new Promise(setImmediate);
  held = true;
  await read;
  await host.release(inode, kept);
  await guest.unlink(root, 'f');
  await guest.release(inode, handle);
  volume.forget(inode, 1);
  await eventually('nobody has it open', async () => ((await attributesOf(volume, inode)) === undefined ? true : undefined));
});

test('a file that cannot be opened again for want of an answer is tried until it is open or closed', async () => {
  const serving = new Serving(await open(new MemoryBlockStore()));
  const [kept, closed] = [await put(serving.volume, root, 'kept', 'text', true), await put(serving.volume, root, 'closed', 'text', true)];
  const guest = serving.guest('a');
  await guest.open(kept, 2);
  const handle = await guest.open(closed, 2);
  serving.opens = 0;
  let cut = true;
  const refused: unknown[] = [];
  guest.setBacking({
    kind: 'remote',
    ask: async (call) => {
      const { method, args } = decodeCall(call);
      if (cut && method === 'open') {
        refused.push(args[0]);
        throw new InfinitError('deadline-exceeded', 'no answer');
      }
      const answer = await serving.server.serve('a', call);
      if (method === 'open') serving.opens++;
      return answer;
    },
  });
  await eventually('both were tried', () => (new Set(refused).size === 2 ? true : undefined));
  await guest.release(closed, handle);
  cut = false;
  await eventually('what a program has open is open', () => (serving.opens > 0 ? true : undefined));
  assert.equal(serving.opens, 1);
});

test('an orphan of before is not removed by what a kernel gives back while hosts still open theirs', async () => {
  const store = new MemoryBlockStore();
  const before = await open(store);
  const inode = await put(before, root, 'f', 'text', true);
  await before.open(inode, 2);
  await before.unlink(root, 'f');
  await before.syncfs();
  await before.abandon();
  const opened = Promise.withResolvers<void>();
  const volume = await open(store, {}, { othersOpened: opened.promise });
  volume.forget(inode, 1);
  await new Promise(setImmediate);
  const handle = await volume.open(inode, 2);
  opened.resolve();
  assert.equal((await contentOf(volume, inode)).toString(), 'text');
  await volume.release(inode, handle);
  await eventually('it goes when it is closed', async () => ((await attributesOf(volume, inode)) === undefined ? true : undefined));
});
