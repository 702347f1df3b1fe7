import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { LogDisk, nodeFiles, scrub } from '../../src/disk/index.ts';
import { FaultyFiles } from './faulty-files.ts';
import { code, contents, numbered, TemporaryDirectory, valueOf } from './support.ts';

const small = { segmentBytes: 128 * 1024, reserveBytes: 0, tickMs: 20, compactionBytesPerSecond: 1e9, checkpointRecords: 64 } as const;

async function logBytes(directory: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(directory)) if (name.startsWith('segment-')) sum += (await stat(path.join(directory, name))).size;
  return sum;
}

async function put(disk: LogDisk, number: number, seed: number, length: number): Promise<void> {
  await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(seed, length) }]);
}

function hex(seed: number, length: number): string {
  return Buffer.from(valueOf(seed, length)).toString('hex');
}

test('the room of deleted and overwritten blocks comes back, and the rest stays readable over restarts', async () => {
  await using directory = await TemporaryDirectory.make();
  const count = 400;
  const expected = new Map<number, string>();
  {
    await using disk = await LogDisk.open(directory.path, small);
    for (let number = 0; number < count; number++) void put(disk, number, number, 4000);
    for (let number = 0; number < count; number += 2) void disk.write([{ type: 'delete', address: numbered(number) }]);
    for (let number = 1; number < count; number += 4) void put(disk, number, number + 1, 300);
    await disk.write([{ type: 'put-meta', key: 'identity', bytes: valueOf(1, 40) }]);
    for (let number = 1; number < count; number += 2) expected.set(number, number % 4 === 1 ? hex(number + 1, 300) : hex(number, 4000));
    await disk.compact();
    const live = [...expected.values()].reduce((sum, value) => sum + value.length / 2, 0);
    assert.ok(disk.status().usedBytes < live * 1.8, `${disk.status().usedBytes} bytes are used for ${live}`);
    assert.deepEqual(await contents(disk, count), expected);
    assert.equal(disk.status().liveBytes, live);
  }
  for (let start = 0; start < 2; start++) {
    await using disk = await LogDisk.open(directory.path, small);
    assert.deepEqual(await contents(disk, count), expected);
    assert.equal((await disk.readMeta('identity'))!.length, 40);
    assert.equal(disk.status().damaged, 0);
  }
  // The log alone says the same, deletes included.
  await writeFile(path.join(directory.path, 'rebuild-index'), 'x');
  await using disk = await LogDisk.open(directory.path, small);
  assert.deepEqual(await contents(disk, count), expected);
  assert.equal(disk.status().blocks, expected.size);
});

test('in calm times the segment that is written to gives its room back too, though a lease is renewed now and then', async () => {
  await using directory = await TemporaryDirectory.make();
  await using disk = await LogDisk.open(directory.path, small);
  const numbers = Array.from({ length: 8 }, (_, at) => at);
  await Promise.all(numbers.map((number) => put(disk, number, number, 10_000)));
  await disk.write(numbers.map((number) => ({ type: 'delete', address: numbered(number) })));
  assert.ok(disk.status().usedBytes > 80_000);
  for (let renewal = 0; disk.status().usedBytes > 20_000; renewal++) {
    assert.ok(renewal < 1000, `${disk.status().usedBytes} bytes are used for ${disk.status().liveBytes}`);
    await put(disk, 1000, renewal, 100);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok((await disk.read(numbered(1000))) !== undefined);
});

test('a store that is emptied shrinks to almost nothing', async () => {
  await using directory = await TemporaryDirectory.make();
  let written: number;
  {
    await using disk = await LogDisk.open(directory.path, small);
    const numbers = Array.from({ length: 200 }, (_, at) => at);
    await Promise.all(numbers.map((number) => put(disk, number, number, 10_000)));
    assert.ok((await logBytes(directory.path)) > 1_900_000);
    await disk.write(numbers.map((number) => ({ type: 'delete', address: numbered(number) })));
    await disk.compact();
    assert.ok((await logBytes(directory.path)) < 400_000, `${await logBytes(directory.path)} bytes are left`);
    assert.deepEqual([disk.status().blocks, disk.status().liveBytes], [0, 0]);
    written = disk.written;
    assert.ok(written >= 400);
  }
  await rm(path.join(directory.path, 'index'), { recursive: true });
  await using disk = await LogDisk.open(directory.path, small);
  assert.ok(disk.written >= written, `the count of what was written does not go back: ${disk.written} of ${written}`);
});

/** The slowest of durable writes to a file of its own, made until told to stop: what the disk itself costs meanwhile. */
async function yardstick(directory: string, stop: () => boolean): Promise<number> {
  const file = await nodeFiles.open(path.join(directory, 'yardstick'), 'write');
  let slowest = 0;
  while (!stop()) {
    const start = performance.now();
    await nodeFiles.write(file, [valueOf(1, 4096)], 0);
    slowest = Math.max(slowest, performance.now() - start);
  }
  await nodeFiles.close(file);
  return slowest;
}

test('compaction under load loses no update and holds no writer up', { timeout: 300_000 }, async () => {
  await using directory = await TemporaryDirectory.make();
  await using disk = await LogDisk.open(path.join(directory.path, 'store'), { ...small, segmentBytes: 512 * 1024 });
  const keys = 200;
  const latest = new Map<number, string>();
  const end = performance.now() + 1500;
  let slowest = 0;
  const raw = yardstick(directory.path, () => performance.now() > end);
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let round = 0; performance.now() < end; round++) {
        // Each key has one writer, so that the model knows which value is the last.
        const number = ((round * 13) % (keys / 8)) * 8 + writer;
        const length = 200 + ((round * 97) % 6000);
        const start = performance.now();
        await put(disk, number, round, length);
        slowest = Math.max(slowest, performance.now() - start);
        latest.set(number, hex(round, length));
      }
    }),
  );
  assert.ok(!(await readdir(path.join(directory.path, 'store'))).includes('segment-00000001'), 'segments were compacted away meanwhile');
  assert.deepEqual(await contents(disk, keys), latest);
  const bound = 50 + 4 * (await raw);
  assert.ok(slowest < bound, `a writer waited ${slowest.toFixed(1)} ms, the bound is ${bound.toFixed(1)}`);
});

test('a crash at any write of a compaction loses nothing', { timeout: 300_000 }, async () => {
  const count = 120;
  for (let crashAt = 1; crashAt <= 60; crashAt += 3) {
    await using directory = await TemporaryDirectory.make();
    const expected = new Map<number, string>();
    const quiet = { ...small, tickMs: 1e9, checkpointRecords: 1e9 } as const;
    {
      await using disk = await LogDisk.open(directory.path, quiet);
      await Promise.all(Array.from({ length: count }, (_, number) => put(disk, number, number, 4000)));
      const dead = Array.from({ length: count }, (_, number) => number).filter((number) => number % 5 < 3);
      await disk.write(dead.map((number) => ({ type: 'delete', address: numbered(number) })));
      for (let number = 0; number < count; number++) if (number % 5 >= 3) expected.set(number, hex(number, 4000));
    }
    const files = new FaultyFiles();
    let written = 0;
    {
      files.writesUntilCrash = crashAt;
      files.tear = { kind: 'sectors', pick: (sector) => sector % 3 !== 0 };
      const disk = await LogDisk.open(directory.path, { ...quiet, files }).catch(() => undefined);
      await disk?.compact().catch(() => {});
      written = disk?.written ?? 0;
      files.dead = true;
      await disk?.[Symbol.asyncDispose]();
    }
    await using disk = await LogDisk.open(directory.path, small);
    assert.deepEqual(await contents(disk, count), expected, `crash at write ${crashAt}`);
    assert.equal(disk.status().damaged, 0);
    assert.ok(disk.written >= written);
    if (files.writes < crashAt) break;
  }
});

test('compaction keeps damage known instead of dropping the block', async () => {
  await using directory = await TemporaryDirectory.make();
  const count = 60;
  {
    await using disk = await LogDisk.open(directory.path, { ...small, tickMs: 1e9 });
    await Promise.all(Array.from({ length: count }, (_, number) => put(disk, number, number, 4000)));
  }
  const segment = path.join(directory.path, 'segment-00000001');
  const bytes = await readFile(segment);
  const record = 4096;
  // One value and one header.
  bytes[64 + record * 3 + 500]! ^= 4;
  bytes[64 + record * 5 + 40]! ^= 4;
  await writeFile(segment, bytes);
  for (let start = 0; start < 2; start++) {
    await using disk = await LogDisk.open(directory.path, small);
    await disk.write([0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].map((number) => ({ type: 'delete', address: numbered(number) })));
    await disk.compact();
    assert.ok(!(await readdir(directory.path)).includes('segment-00000001'));
    assert.deepEqual(
      await Promise.all([3, 5, 20].map((number) => disk.has(numbered(number)))),
      [false, false, true],
      'nobody counts on what is lost',
    );
    await assert.rejects(disk.read(numbered(3)), code('damaged'));
    await assert.rejects(disk.read(numbered(5)), code('damaged'));
    assert.equal((await disk.read(numbered(20)))!.length, 4000);
  }
});

test('scrub finds what rotted, at a bounded rate, and can be stopped and taken up again', async () => {
  await using directory = await TemporaryDirectory.make();
  const count = 100;
  {
    await using disk = await LogDisk.open(directory.path, small);
    await Promise.all(Array.from({ length: count }, (_, number) => put(disk, number, number, 1000)));
  }
  const segment = path.join(directory.path, 'segment-00000001');
  const bytes = await readFile(segment);
  for (const number of [7, 42]) bytes[64 + number * 1096 + 600]! ^= 1;
  await writeFile(segment, bytes);
  await using disk = await LogDisk.open(directory.path, small);
  const found: string[] = [];
  const onDamaged = (address: string): void => void found.push(address);
  const start = performance.now();
  const report = await scrub(disk, { bytesPerSecond: 400_000, onDamaged });
  assert.ok(performance.now() - start > 200, 'it read faster than it may');
  assert.deepEqual([report.blocks, report.damaged, report.finished], [count - 2, 2, true]);
  assert.deepEqual(found.sort(), [numbered(7), numbered(42)].sort());
  assert.deepEqual(disk.damagedAddresses().sort(), found);
  const controller = new AbortController();
  const half = await scrub(disk, { bytesPerSecond: 1e9, onDamaged, signal: controller.signal, verify: () => controller.abort() });
  assert.equal(half.finished, false);
  const rest = await scrub(disk, { bytesPerSecond: 1e9, onDamaged, after: half.last! });
  assert.equal(half.blocks + half.damaged + rest.blocks + rest.damaged, count);
});

test('that a block was found damaged outlives the segments that say so, also where the index is made anew', async () => {
  await using directory = await TemporaryDirectory.make();
  const numbers = Array.from({ length: 20 }, (_, at) => at);
  {
    const files = new FaultyFiles();
    await using disk = await LogDisk.open(directory.path, { ...small, checkpointRecords: 1_000_000, tickMs: 1_000_000, files });
    for (const number of numbers) await put(disk, number, number, 5000);
    files.dead = true;
  }
  const first = path.join(directory.path, 'segment-00000001');
  const bytes = await readFile(first);
  bytes[64 + 3 * 5096 + 40]! ^= 1;
  await writeFile(first, bytes);
  const lowest = async (): Promise<number> => {
    const names = (await readdir(directory.path)).filter((name) => name.startsWith('segment-'));
    return Math.min(...names.map((name) => Number(name.slice('segment-'.length))));
  };
  {
    await using disk = await LogDisk.open(directory.path, small);
    await disk.write(numbers.filter((number) => number !== 3).map((number) => ({ type: 'delete', address: numbered(number) })));
    // The segment goes with the block, then each that the mark was carried into.
    for (let round = 0; (await lowest()) < 8; round++) {
      assert.ok(round < 100, 'the log moves on');
      for (const number of numbers) await put(disk, 100 + number, number, 10_000);
      await disk.write(numbers.map((number) => ({ type: 'delete', address: numbered(100 + number) })));
      await disk.compact();
    }
    await assert.rejects(disk.read(numbered(3)), code('damaged'));
  }
  await writeFile(path.join(directory.path, 'rebuild-index'), 'x');
  await using disk = await LogDisk.open(directory.path, small);
  await assert.rejects(disk.read(numbered(3)), code('damaged'));
  assert.equal(await disk.read(numbered(4)), undefined);
});
