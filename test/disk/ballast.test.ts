import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { codeOf } from '../../src/base/index.ts';
import { immutableAddress } from '../../src/block/index.ts';
import { type DiskOperation, LogDisk } from '../../src/disk/index.ts';
import { eventually } from '../suites/transport-suite.ts';
import { FaultyFiles } from './faulty-files.ts';
import { SmallDisk, withRoot } from './small-disk.ts';
import { code, contents, numbered, TemporaryDirectory, valueOf } from './support.ts';

const mebibyte = 1024 * 1024;
/** Half of its reserve, of two segments, is put aside. */
const options = { segmentBytes: 4 * mebibyte, tickMs: 20 } as const;
const whole = 4 * mebibyte;

const sizeIn = (directory: string): number => (existsSync(path.join(directory, 'ballast')) ? statSync(path.join(directory, 'ballast')).size : 0);
const isWhole = (directory: string): Promise<void> => eventually(() => sizeIn(directory) === whole, 'it is put aside');

function content(number: number): DiskOperation & { readonly type: 'put' } {
  const bytes = valueOf(number, 100_000 + number);
  return { type: 'put', address: immutableAddress(bytes), bytes };
}

function small(number: number): DiskOperation {
  return { type: 'put', address: numbered(number), bytes: valueOf(number, 1000) };
}

test('while others fill the file system to the last byte content is refused, and what frees space goes on', withRoot, async () => {
  await using medium = await SmallDisk.mount(64);
  const directory = path.join(medium.path, 'store');
  {
    await using disk = await LogDisk.open(directory, options);
    for (let number = 0; number < 20; number++) await disk.write([content(number)]);
    await disk.write([small(0)]);
    await isWhole(directory);
    medium.fill();
    assert.equal((await statfs(medium.path)).bavail, 0);
    // What was made ahead in the log is used first, and what is refused leaves nothing behind.
    for (let number = 20; disk.status().state === 'healthy'; number++)
      await disk.write([content(number)]).catch((error: unknown) => assert.equal(codeOf(error), 'disk-full'));
    await assert.rejects(disk.write([content(1000)]), code('disk-full'));
    for (let number = 1; number < 500; number++) await disk.write([small(number)]);
    for (let number = 10; number < 20; number++) await disk.write([{ type: 'delete', address: content(number).address }]);
    assert.match(disk.status().reason!, /the file system has no room/);
    assert.ok(sizeIn(directory) < whole, 'a part of what was put aside is used');
    for (let number = 0; number < 10; number++) assert.ok(await disk.read(content(number).address));
    medium.empty();
    await eventually(() => disk.status().state === 'healthy', 'it takes everything again');
    assert.equal(sizeIn(directory), whole);
    await disk.write([content(1001)]);
  }
  await using disk = await LogDisk.open(directory, options);
  assert.equal((await contents(disk, 500)).size, 500);
  for (const number of [0, 9, 1001]) assert.deepEqual(Uint8Array.from((await disk.read(content(number).address))!), content(number).bytes);
  assert.equal(await disk.read(content(10).address), undefined);
});

for (const garbage of [false, true])
  test(`while others fill the file system what is deleted is taken back${garbage ? ', though some was garbage before' : ''}`, withRoot, async () => {
    await using medium = await SmallDisk.mount(64);
    const directory = path.join(medium.path, 'store');
    await using disk = await LogDisk.open(directory, options);
    await isWhole(directory);
    for (let number = 0; number < 160; number++) await disk.write([content(number)]);
    const remove = (number: number): Promise<void> => disk.write([{ type: 'delete', address: content(number).address }]);
    // Of each segment 7 % is garbage then, which is taken back only where there is no room.
    if (garbage) for (let number = 0; number < 160; number += 14) await remove(number);
    medium.fill();
    for (let number = 0; sizeIn(directory) === whole; number++) await disk.write([small(number)]);
    // A compaction that makes room for the other program would have come to its end by then.
    await new Promise((resolve) => setTimeout(resolve, 500));
    medium.fill();
    // A quarter, but for what the last gift was more than was asked for.
    assert.ok(sizeIn(directory) >= whole / 4 - mebibyte / 4, `${sizeIn(directory)} bytes are left for removals`);
    for (let number = 0; number < 160; number++) await remove(number);
    await eventually(() => disk.status().usedBytes < 8 * mebibyte, 'it is taken back');
  });

test('a store is opened although the file system is full, and takes what frees space', withRoot, async () => {
  await using medium = await SmallDisk.mount(64);
  const directory = path.join(medium.path, 'store');
  {
    await using disk = await LogDisk.open(directory, options);
    for (let number = 0; number < 100; number++) await disk.write([small(number)]);
    await isWhole(directory);
  }
  medium.fill();
  {
    await using disk = await LogDisk.open(directory, options);
    await assert.rejects(disk.write([content(1)]), code('disk-full'));
    for (let number = 100; number < 200; number++) await disk.write([small(number)]);
    await disk.write([{ type: 'delete', address: numbered(0) }]);
  }
  medium.fill();
  {
    await using disk = await LogDisk.open(directory, options);
    assert.equal((await contents(disk, 200)).size, 199);
    medium.empty();
    await eventually(() => disk.status().state === 'healthy', 'it takes everything again');
    await isWhole(directory);
    await disk.write([content(1)]);
  }
});

test('of a group that finds no room content is refused, and the rest is written again in its order', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  {
    await using disk = await LogDisk.open(directory.path, { ...options, tickMs: 500, files });
    await isWhole(directory.path);
    await disk.write([small(1)]);
    files.errors.write.push('ENOSPC');
    files.failedWriteShare = 0.7;
    const writes = [
      [small(2)],
      [content(3), { type: 'put', address: numbered(2), bytes: valueOf(3, 10) }],
      [small(4), { type: 'delete', address: numbered(1) }],
    ] satisfies DiskOperation[][];
    const ended = await Promise.allSettled(writes.map((operations) => disk.write(operations)));
    assert.deepEqual(
      ended.map((each) => (each.status === 'rejected' ? codeOf(each.reason) : 'acknowledged')),
      ['acknowledged', 'disk-full', 'acknowledged'],
    );
    assert.equal(disk.status().state, 'read-only');
    await assert.rejects(disk.write([content(5)]), code('disk-full'));
    assert.ok(sizeIn(directory.path) < whole);
    await eventually(() => disk.status().state === 'healthy', 'it takes everything again');
    await disk.write([content(5)]);
  }
  await using disk = await LogDisk.open(directory.path, options);
  const found = await contents(disk, 10);
  assert.deepEqual([...found.keys()], [2, 4]);
  assert.equal(found.get(2), Buffer.from(valueOf(2, 1000)).toString('hex'));
});

test('when nothing put aside is left a write is refused as on any full disk', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...options, tickMs: 60_000, files });
  await disk.write([small(1)]);
  files.errors.write.push(...Array.from({ length: 100 }, () => 'EDQUOT'));
  await assert.rejects(disk.write([small(2)]), code('disk-full'));
  assert.equal(sizeIn(directory.path), 0);
  assert.deepEqual([...(await contents(disk, 3)).keys()], [1]);
});

test('what a person removes of it is put aside again', async () => {
  await using directory = await TemporaryDirectory.make();
  await using disk = await LogDisk.open(directory.path, options);
  await isWhole(directory.path);
  rmSync(path.join(directory.path, 'ballast'));
  await disk.write([small(1)]);
  await isWhole(directory.path);
  assert.equal(disk.status().state, 'healthy');
});

test('a store whose reserve is small puts nothing aside, and one with a larger reserve 16 MiB at the most', async () => {
  for (const [reserveBytes, bytes] of [
    [mebibyte, 0],
    [128 * mebibyte, 16 * mebibyte],
  ] as const) {
    await using directory = await TemporaryDirectory.make();
    await using disk = await LogDisk.open(directory.path, { ...options, reserveBytes });
    await disk.write([small(1)]);
    await eventually(() => sizeIn(directory.path) === bytes, `${bytes} bytes are put aside`);
  }
});
