import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { DirectFile } from '../../src/disk/direct-file.ts';
import { LogDisk, nodeFiles } from '../../src/disk/index.ts';
import { FaultyFiles, type Tear } from './faulty-files.ts';
import { numbered, TemporaryDirectory, valueOf } from './support.ts';

test('appends of any length, at any place, leave the bytes one after the other, and zeros behind them', async () => {
  await using directory = await TemporaryDirectory.make();
  const file = path.join(directory.path, 'log');
  await writeFile(file, '');
  await using handle = await open(file, 'r+');
  const direct = new DirectFile(file);
  const expected: Buffer[] = [];
  let end = 0;
  let byDirect = 0;
  for (const length of [1, 4095, 4096, 10_000, 1_048_624, 3, 700_001, 8 * 1024 * 1024]) {
    const bytes = randomBytes(length);
    const parts = [bytes.subarray(0, length >>> 1), bytes.subarray(length >>> 1)];
    const before = async (into: Uint8Array, position: number): Promise<number> => (await handle.read(into, 0, into.length, position)).bytesRead;
    if (await direct.append(parts, end, length, before)) byDirect++;
    else await handle.write(bytes, 0, length, end);
    expected.push(bytes);
    end += length;
    // Another way to write between two of them, as small groups have it.
    const small = randomBytes(77);
    await handle.write(small, 0, small.length, end);
    expected.push(small);
    end += small.length;
    assert.ok((await readFile(file)).subarray(0, end).equals(Buffer.concat(expected)), `after ${length} bytes`);
  }
  assert.ok((await readFile(file)).subarray(end).every((byte) => byte === 0));
  assert.ok(byDirect === 0 || byDirect === 8, 'a file system can do it or cannot');
  await direct.close();
});

test('what is too large for its memory, or on a file system that cannot, is left to the other way', async () => {
  await using directory = await TemporaryDirectory.make();
  const direct = new DirectFile(path.join(directory.path, 'no', 'such', 'file'));
  const before = async (): Promise<number> => 0;
  assert.equal(await direct.append([new Uint8Array(10)], 0, 10, before), false);
  const large = new Uint8Array(64 * 1024 * 1024);
  assert.equal(await direct.append([large], 0, large.length, before), false);
  await direct.close();
});

const lengths = [10, 600_000, 5000, 1_048_624, 70_000, 524_288, 3_000_001, 1];
const segmentBytes = 16 * 1024 * 1024;

function largeOrSmall(number: number): Uint8Array {
  return valueOf(number, lengths[number % lengths.length]! + number);
}

async function check(disk: LogDisk, numbers: Iterable<number>): Promise<void> {
  for (const number of numbers) {
    const found = await disk.read(numbered(number));
    assert.ok(found !== undefined && Buffer.compare(found, largeOrSmall(number)) === 0, `value ${number}`);
  }
}

test('large and small values in turn are read back at once, and after a close, which leaves no zeros behind', async () => {
  await using directory = await TemporaryDirectory.make();
  const numbers = Array.from({ length: 36 }, (_, number) => number);
  {
    await using disk = await LogDisk.open(directory.path, { segmentBytes, reserveBytes: 0 });
    for (const number of numbers) {
      await disk.write([{ type: 'put', address: numbered(number), bytes: largeOrSmall(number) }]);
      // The page of its end is in memory now, and the next write changes that page on the medium.
      await check(disk, [number]);
    }
    await check(disk, numbers);
  }
  const segments = (await nodeFiles.list(directory.path)).filter((name) => name.startsWith('segment-'));
  const sizes = await Promise.all(segments.map(async (name) => (await stat(path.join(directory.path, name))).size));
  await using disk = await LogDisk.open(directory.path, { segmentBytes, reserveBytes: 0 });
  assert.equal(
    disk.status().usedBytes,
    sizes.reduce((sum, size) => sum + size),
  );
  assert.equal(disk.status().damaged, 0);
  await check(disk, numbers);
});

test('the power goes in a large write: what was acknowledged is there, and the log goes on behind it', async () => {
  const tears: Tear[] = [
    { kind: 'lost' },
    { kind: 'whole' },
    ...[0.001, 0.5, 0.999].map((share) => ({ kind: 'prefix', share }) as const),
    { kind: 'sectors', pick: (sector) => sector % 3 !== 0 },
  ];
  for (const tear of tears) {
    await using directory = await TemporaryDirectory.make();
    const acknowledged = new Set<number>();
    for (let life = 0, number = 0; life < 3; life++) {
      const files = new FaultyFiles();
      files.tear = tear;
      const disk = await LogDisk.open(directory.path, { segmentBytes, reserveBytes: 0, files });
      await check(disk, acknowledged);
      assert.equal(disk.status().damaged, 0, tear.kind);
      files.writesUntilCrash = 4 + life;
      while (!files.dead) {
        const writing = number++;
        const written = disk.write([{ type: 'put', address: numbered(writing), bytes: largeOrSmall(writing) }]);
        await written.then(
          () => acknowledged.add(writing),
          () => {},
        );
      }
      await disk[Symbol.asyncDispose]();
    }
    await using disk = await LogDisk.open(directory.path, { segmentBytes, reserveBytes: 0 });
    await check(disk, acknowledged);
    assert.ok(acknowledged.size >= 6);
  }
});

/** Reads of the disk that this process has caused so far, in bytes. */
async function readFromDisk(): Promise<number> {
  return Number(/^read_bytes: (\d+)$/m.exec(await readFile('/proc/self/io', 'latin1'))![1]);
}

test('small durable writes read no pages from the disk: the room made ahead of them is in memory', async () => {
  await using directory = await TemporaryDirectory.make();
  await using disk = await LogDisk.open(directory.path, { segmentBytes, reserveBytes: 0 });
  await disk.write([{ type: 'put', address: numbered(0), bytes: valueOf(0, 5000) }]);
  const before = await readFromDisk();
  const count = 100;
  for (let number = 1; number <= count; number++) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 5000) }]);
  // Each begins a page or two; that the program itself may have to be read is allowed for.
  const pages = ((await readFromDisk()) - before) / 4096;
  assert.ok(pages < count / 2, `${pages} pages`);
});
