import assert from 'node:assert/strict';
import { test } from 'node:test';

import { put, root } from '../harness.ts';
import { begin, keeping, mebibyte, pattern } from './borrowing-guest.ts';

test('a guest reads what it writes in turn without giving it back, and what it sees is what was written last', async () => {
  const { store, serving, guest } = await begin();
  const other = await keeping(serving, store);
  const data = pattern(3 * mebibyte);
  const inode = await put(serving.volume, root, 'f', data, true);
  await serving.volume.syncfs();
  const handle = await guest.open(inode, 2);
  const read = async (offset: number, length: number): Promise<Buffer> => Buffer.concat(await guest.read(inode, handle, offset, length));
  const write = async (offset: number, bytes: Buffer): Promise<void> => {
    await guest.write(inode, handle, offset, bytes, false);
    bytes.copy(data, offset);
  };
  const same = async (offset: number, length: number): Promise<void> =>
    assert.ok((await read(offset, length)).equals(data.subarray(offset, offset + length)), `${length} at ${offset}`);
  await same(0, 100);
  serving.calls.length = 0;
  for (let turn = 0; turn < 20; turn++) {
    const at = turn * 4096;
    await same(at, 8192);
    await write(at + 100, Buffer.alloc(4096, turn));
    // All of it is in memory.
    await same(at + 200, 1000);
    // Some of it is.
    await same(at, 8192);
    if (turn % 3 === 2) await guest.fsync(inode, handle, true);
    await same(at + 200, 1000);
  }
  assert.equal(serving.calls.filter((method) => method === 'borrow').length, 1);
  assert.deepEqual(
    new Set(serving.calls),
    new Set(['borrow', 'put', 'readLent', 'read', 'images', 'stored'].filter((method) => serving.calls.includes(method))),
  );
  // Blocks that are in the store already, and the end of the file.
  await write(mebibyte, pattern(mebibyte).map((byte) => byte ^ 255) as Buffer);
  await same(mebibyte - 10, 100_000);
  await same(3 * mebibyte - 10, 10);
  assert.equal((await read(3 * mebibyte, 10)).length, 0);
  const end = data.length + 5000;
  await guest.write(inode, handle, end, Buffer.from('end'), false);
  assert.deepEqual(await read(data.length - 2, 10_000), Buffer.concat([data.subarray(-2), Buffer.alloc(5000), Buffer.from('end')]));
  assert.deepEqual(Buffer.concat(await other.read(inode, await other.open(inode, 0), end - 1, 10)), Buffer.from('\0end'));
});

test('a guest that only reads a file which it has borrowed gives it back, and goes on reading from the store', async () => {
  const { serving, guest } = await begin();
  const data = pattern(mebibyte);
  const inode = await put(serving.volume, root, 'f', data, true);
  await serving.volume.syncfs();
  const handle = await guest.open(inode, 2);
  await guest.write(inode, handle, 0, data.subarray(0, 10), false);
  const look = async (from: number, to: number): Promise<void> => {
    for (let turn = from; turn < to; turn++) {
      const at = turn * 1000;
      assert.ok(Buffer.concat(await guest.read(inode, handle, at, 500)).equals(data.subarray(at, at + 500)), `at ${at}`);
    }
  };
  await look(1, 20);
  await serving.volume.recall();
  serving.calls.length = 0;
  await look(20, 60);
  assert.deepEqual(serving.calls, ['stored']);
});

test('what another host wrote is read once it has asked a file back that was read here', async () => {
  const { serving, guest } = await begin();
  const inode = await put(serving.volume, root, 'f', 'before', true);
  const handle = await guest.open(inode, 2);
  const own = await serving.own.open(inode, 2);
  const read = async (): Promise<string> => Buffer.concat(await guest.read(inode, handle, 0, 100)).toString();
  for (let turn = 0; turn < 5; turn++) {
    await guest.write(inode, handle, 0, Buffer.from('guest '), false);
    assert.equal(await read(), 'guest ');
    await serving.own.write(inode, own, 2, Buffer.from(`${turn}`), false);
    assert.equal(await read(), `gu${turn}st `);
    assert.equal(Buffer.concat(await serving.own.read(inode, own, 0, 100)).toString(), `gu${turn}st `);
  }
});

test('where the serving host is of a version that lets nothing be read of what it lent, that is given back and read', async () => {
  const { serving, guest } = await begin();
  serving.unknown.add('readLent');
  const inode = await put(serving.volume, root, 'f', 'before', true);
  const handle = await guest.open(inode, 2);
  await guest.write(inode, handle, 0, Buffer.from('be'), false);
  const read = async (): Promise<string> => Buffer.concat(await guest.read(inode, handle, 0, 100)).toString();
  assert.equal(await read(), 'before');
  serving.calls.length = 0;
  await guest.write(inode, handle, 0, Buffer.from('xx'), false);
  assert.equal(await read(), 'xxfore');
  assert.equal(serving.calls.includes('borrow'), false);
});

test('what a guest wrote last of a file that it reads, too, it knows yet once that was answered, and nothing that was written over', async () => {
  const { serving, guest } = await begin();
  const data = pattern(3 * mebibyte);
  const inode = await put(serving.volume, root, 'f', data, true);
  const handle = await guest.open(inode, 2);
  const write = async (offset: number, bytes: Uint8Array): Promise<void> => {
    await guest.write(inode, handle, offset, bytes, false);
    data.set(bytes, offset);
    await guest.fsync(inode, handle, true);
  };
  const same = async (offset: number, length: number): Promise<void> =>
    assert.ok(
      Buffer.concat(await guest.read(inode, handle, offset, length)).equals(data.subarray(offset, offset + length)),
      `${length} at ${offset}`,
    );
  await write(0, Buffer.alloc(4096, 1));
  await same(0, 100);
  for (let turn = 2; turn < 40; turn++) {
    await write(turn * 100, Buffer.alloc(4096, turn));
    serving.calls.length = 0;
    await same(turn * 100, 4096);
    assert.deepEqual(serving.calls, []);
    await same(0, 10_000);
  }
  // In a block of its own, which nobody has in memory once it was answered.
  await write(2000, pattern(mebibyte).subarray(0, 600_000));
  await same(0, 10_000);
  await write(3000, Buffer.alloc(30_000, 7));
  await same(0, 40_000);
});
