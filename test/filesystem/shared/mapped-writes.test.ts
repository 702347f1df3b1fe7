/** Pages that a program changed in mapped memory, written by the kernel of a host that another one serves: a mapping makes no file longer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';

import { errnos } from '../../../src/filesystem/index.ts';
import { opcodes } from '../../../src/fuse/wire/index.ts';
import { start } from '../../fuse/fake-session.ts';
import { contentOf, open, put, root, user } from '../harness.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { keeping } from './borrowing-guest.ts';
import { Serving } from './serving.ts';

const pageBytes = 4096;
/** FUSE_WRITE_CACHE: it is no program that writes it. */
const ofPages = 1;

/** A page that the kernel writes back. */
function page(handle: number, offset: number): Buffer {
  const body = Buffer.alloc(40 + pageBytes, 'm');
  body.fill(0, 0, 40);
  body.writeUInt32LE(handle, 0);
  body.writeUInt32LE(1, 4);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt32LE(pageBytes, 16);
  body.writeUInt32LE(ofPages, 20);
  return body;
}

async function scene(isKept: boolean) {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const guest = isKept ? await keeping(serving, store) : serving.guest('guest');
  const inode = await put(serving.volume, root, 'f', Buffer.alloc(3 * pageBytes, '-'), true);
  const handle = await guest.open(inode, 2);
  const { kernel, session } = start({ fileSystem: guest, options: { leased: true } });
  const answered = async (unique: number): Promise<number> => {
    while (kernel.answerTo(unique) === undefined) await setImmediate();
    return kernel.answerTo(unique)!.errno;
  };
  return { serving, guest, inode, kernel, answered, handle, [Symbol.dispose]: () => session.stop() };
}

for (const method of ['writeMapped', 'borrow'])
  test(`what another host cuts off while a page is on its way there stays cut off (${method})`, async () => {
    using it = await scene(method === 'borrow');
    const { serving, inode, kernel, handle, answered } = it;
    for (const [size, text] of [
      [pageBytes + 3, '-mmm'],
      [10, '-'],
    ] as const) {
      const go = serving.holdBack(method);
      const unique = kernel.request(opcodes.write, inode, page(handle, pageBytes));
      await setImmediate();
      await serving.own.setattr(inode, { size });
      go();
      assert.equal(await answered(unique), 0);
      const { size: seen } = await serving.own.getattr(inode);
      assert.equal(seen, size);
      assert.ok((await contentOf(serving.volume, inode)).toString().endsWith(text));
    }
  });

test('a page that finds no room is not answered with what was there before: whoever syncs hears ENOSPC, and whoever touches it SIGBUS', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store, { sizeBytes: 4 * pageBytes }));
  const guest = await keeping(serving, store);
  const { attributes } = await guest.create(root, 'f', 0o644, 0, 2, user);
  const { inode } = attributes;
  await guest.setattr(inode, { size: 16 * pageBytes });
  const { kernel, session } = start({ fileSystem: guest, options: { leased: true } });
  using _ = { [Symbol.dispose]: () => session.stop() };
  const answered = async (unique: number): Promise<number> => {
    while (kernel.answerTo(unique) === undefined) await setImmediate();
    return kernel.answerTo(unique)!.errno;
  };
  const opening = kernel.request(opcodes.open, inode, Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]));
  assert.equal(await answered(opening), 0);
  const handle = kernel.answerTo(opening)!.body.readUInt32LE(0);
  const read = (): Promise<number> => answered(kernel.request(opcodes.read, inode, page(handle, 0).subarray(0, 40)));
  assert.equal(await read(), 0);
  const refused: number[] = [];
  for (let index = 0; index < 16; index++) refused.push(await answered(kernel.request(opcodes.write, inode, page(handle, index * pageBytes))));
  refused.push(await answered(kernel.request(opcodes.fsync, inode, page(handle, 0).subarray(0, 16))));
  assert.ok(refused.includes(errnos.ENOSPC), 'at once, or when it is made durable');
  assert.equal(await read(), errnos.EIO);
});

test('a host of an earlier version is told how much lies within the file as it was when that was asked', async () => {
  using it = await scene(false);
  const { serving, inode, kernel, handle, answered } = it;
  serving.unknown.add('writeMapped');
  await serving.own.setattr(inode, { size: pageBytes + 3 });
  assert.equal(await answered(kernel.request(opcodes.write, inode, page(handle, pageBytes))), 0);
  assert.equal(await answered(kernel.request(opcodes.write, inode, page(handle, 2 * pageBytes))), 0);
  assert.equal((await contentOf(serving.volume, inode)).toString(), `${'-'.repeat(pageBytes)}mmm`);
});

test('a page that lies beyond the end which the serving host knows is written where the guest that has the file made it longer', async () => {
  const store = new MemoryBlockStore();
  const serving = new Serving(await open(store));
  const guest = await keeping(serving, store);
  const inode = await put(serving.volume, root, 'f', '-', true);
  const handle = await guest.open(inode, 2);
  await guest.write(inode, handle, 0, Buffer.alloc(2 * pageBytes, '+'), false);
  const here = await serving.own.open(inode, 2);
  await serving.own.writeMapped(inode, here, pageBytes, Buffer.alloc(pageBytes, 'm'));
  assert.equal((await contentOf(serving.volume, inode)).toString(), '+'.repeat(pageBytes) + 'm'.repeat(pageBytes));
});
