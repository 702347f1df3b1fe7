import assert from 'node:assert/strict';
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { LogDisk } from '../../src/disk/index.ts';
import { FaultyFiles } from './faulty-files.ts';
import { code, contents, numbered, TemporaryDirectory, valueOf } from './support.ts';

/** Never by itself: the log stays as it is, its tail unindexed. */
const never = 1_000_000_000;
const quiet = { checkpointRecords: never, tickMs: never } as const;
const segmentHeader = 64;
/** One is large enough to be checked piece by piece. */
const sizes = [0, 1, 100, 300, 5000, 70_000, 40, 8, 2000, 300];
const count = sizes.length;

function padded(length: number): number {
  return Math.ceil((96 + (length > 65_536 ? Math.ceil(length / 16_384) * 4 : 0) + length) / 8) * 8;
}
/** Where each record begins, and the end. */
const boundaries = sizes.reduce((all, size) => [...all, all.at(-1)! + padded(size)], [segmentHeader]);

/** A store whose log holds the records, each durable before the next was written, none of them indexed. */
let master: TemporaryDirectory;
/** The same, closed properly: all indexed. */
let indexed: TemporaryDirectory;

before(async () => {
  master = await TemporaryDirectory.make();
  indexed = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(master.path, { ...quiet, files });
  await using other = await LogDisk.open(indexed.path);
  for (const [number, size] of sizes.entries()) {
    for (const one of [disk, other]) await one.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, size) }]);
  }
  files.dead = true;
});

after(async () => {
  await master[Symbol.asyncDispose]();
  await indexed[Symbol.asyncDispose]();
});

/** A copy of the store with its one segment changed. */
async function changed(store: TemporaryDirectory, change: (segment: string) => Promise<void>): Promise<TemporaryDirectory> {
  const copy = await TemporaryDirectory.make();
  await cp(store.path, copy.path, { recursive: true });
  await change(path.join(copy.path, 'segment-00000001'));
  return copy;
}

async function flip(segment: string, at: number): Promise<void> {
  const bytes = await readFile(segment);
  bytes[at]! ^= 1 << (at % 8);
  await writeFile(segment, bytes);
}

function expectedUpTo(records: number): Map<number, string> {
  return new Map(sizes.slice(0, records).map((size, number) => [number, Buffer.from(valueOf(number, size)).toString('hex')]));
}

test('a log cut anywhere keeps exactly the records before the cut', async () => {
  const cuts = new Set([0, 1, 63, ...boundaries]);
  for (const boundary of boundaries)
    for (const off of [-1, 4, 96]) if (boundary + off > 0 && boundary + off < boundaries.at(-1)!) cuts.add(boundary + off);
  for (const cut of cuts) {
    await using copy = await changed(master, (segment) => truncate(segment, cut));
    await using disk = await LogDisk.open(copy.path, quiet);
    // Padding is no part of what counts, but the record is only whole with it.
    const whole = boundaries.filter((boundary) => boundary <= cut).length - 1;
    assert.deepEqual(await contents(disk, count), expectedUpTo(Math.max(0, whole)), `cut at ${cut}`);
    assert.equal(disk.status().damaged, 0, `cut at ${cut}`);
    // And the log goes on from there.
    await disk.write([{ type: 'put', address: numbered(99), bytes: valueOf(99, 50) }]);
    assert.deepEqual(Buffer.from((await disk.read(numbered(99)))!), Buffer.from(valueOf(99, 50)));
  }
});

test('a flipped bit in any place of an unindexed log is reported as damage of that record and of no other', async () => {
  const places: number[] = [];
  for (const [number, start] of boundaries.slice(0, -2).entries()) {
    for (let at = 0; at < 96; at += number === 3 ? 3 : 31) places.push(start + at);
    if (sizes[number]! > 0) places.push(start + 96, start + 96 + sizes[number]! - 1);
  }
  for (const place of places) {
    const number = boundaries.findLastIndex((start) => start <= place);
    await using copy = await changed(master, (segment) => flip(segment, place));
    await using disk = await LogDisk.open(copy.path, quiet);
    const found = await contents(disk, count);
    assert.equal(found.get(number), 'damaged', `flipped at ${place} in record ${number}`);
    found.delete(number);
    const expected = expectedUpTo(count);
    expected.delete(number);
    assert.deepEqual(found, expected, `flipped at ${place} in record ${number}`);
    assert.equal(disk.status().damaged, 1);
    assert.deepEqual(disk.damagedAddresses(), [numbered(number)]);
  }
});

test('damage stays known over restarts until the block is written again or deleted', async () => {
  await using copy = await changed(master, async (segment) => {
    await flip(segment, boundaries[2]! + 40);
    await flip(segment, boundaries[4]! + 500);
  });
  for (let start = 0; start < 3; start++) {
    await using disk = await LogDisk.open(copy.path);
    for (const number of [2, 4]) {
      await assert.rejects(disk.read(numbered(number)), code('damaged'));
      assert.equal(await disk.has(numbered(number)), false);
    }
  }
  {
    await using disk = await LogDisk.open(copy.path);
    await disk.write([
      { type: 'put', address: numbered(2), bytes: valueOf(2, 5) },
      { type: 'delete', address: numbered(4) },
    ]);
  }
  await using disk = await LogDisk.open(copy.path);
  assert.equal((await disk.read(numbered(2)))!.length, 5);
  assert.equal(await disk.read(numbered(4)), undefined);
});

test('garbage instead of whole records is skipped, counted, and hides nothing after it', async () => {
  await using copy = await changed(master, async (segment) => {
    const bytes = await readFile(segment);
    // Lengths of all ones, magics without records, and noise.
    bytes.fill(0xff, boundaries[3], boundaries[4]! + 200);
    for (let at = boundaries[3]!; at < boundaries[4]!; at += 8) bytes.write('IFR1', at, 'latin1');
    await writeFile(segment, bytes);
  });
  await using disk = await LogDisk.open(copy.path, quiet);
  const found = await contents(disk, count);
  // Of two neighbours that are gone, the header after them names the second.
  assert.equal(found.get(3), undefined);
  assert.equal(found.get(4), 'damaged');
  assert.equal(disk.status().damaged, 2);
  for (const number of [0, 1, 2, 5, 6, 7, 8, 9]) assert.equal(found.get(number), Buffer.from(valueOf(number, sizes[number]!)).toString('hex'));
});

test('a flipped bit in an indexed record is found when it is read', async () => {
  for (const [number, start] of boundaries.slice(0, -1).entries()) {
    for (const place of [start + 8, start + 33, start + 96 + sizes[number]! - 1, ...(sizes[number]! > 65_536 ? [start + 96] : [])]) {
      await using copy = await changed(indexed, (segment) => flip(segment, place));
      await using disk = await LogDisk.open(copy.path, quiet);
      const expected = expectedUpTo(count);
      expected.set(number, 'damaged');
      assert.deepEqual(await contents(disk, count), expected);
      assert.equal(disk.status().damaged, 1);
    }
  }
});

test('a part of a large value is refused where its own piece, the table or the header is damaged, and nowhere else', async () => {
  const number = sizes.indexOf(70_000);
  const start = boundaries[number]!;
  const value = start + 96 + 20;
  for (const [place, damaged] of [
    [start + 40, [0, 1, 2, 3, 4]],
    [start + 96 + 9, [0, 1, 2, 3, 4]],
    [value, [0]],
    [value + 16_384, [1]],
    [value + 3 * 16_384 - 1, [2]],
    [value + 69_999, [4]],
  ] as const) {
    await using copy = await changed(indexed, (segment) => flip(segment, place));
    await using disk = await LogDisk.open(copy.path, quiet);
    for (let piece = 0; piece < 5; piece++) {
      const part = disk.readPart(numbered(number), piece * 16_384, 100);
      if (damaged.some((one) => one === piece)) await assert.rejects(part, code('damaged'), `piece ${piece}, flipped at ${place - start}`);
      else assert.deepEqual(await part, valueOf(number, 70_000).slice(piece * 16_384, piece * 16_384 + 100));
    }
    await assert.rejects(disk.read(numbered(number)), code('damaged'));
  }
});

test('an index that is gone, or damaged, is made anew from the log', async () => {
  for (const how of ['gone', 'garbage in its manifest', 'asked for']) {
    await using copy = await changed(indexed, async () => {});
    const index = path.join(copy.path, 'index');
    if (how === 'gone') await rm(index, { recursive: true });
    else if (how === 'asked for') await writeFile(path.join(copy.path, 'rebuild-index'), 'x');
    else await writeFile(path.join(index, 'CURRENT'), 'nonsense\n');
    await using disk = await LogDisk.open(copy.path, quiet);
    assert.deepEqual(await contents(disk, count), expectedUpTo(count), how);
    assert.equal(disk.status().blocks, count, how);
  }
});

test('bits flipped anywhere in the index make no block silently disappear or change', async () => {
  await using store = await TemporaryDirectory.make();
  const many = 60;
  const expected = new Map(Array.from({ length: many }, (_, number) => [number, Buffer.from(valueOf(number, 50)).toString('hex')]));
  {
    await using disk = await LogDisk.open(store.path, { checkpointRecords: 5 });
    for (let number = 0; number < many; number++) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 50) }]);
  }
  const directory = path.join(store.path, 'index');
  const files = (await readdir(directory)).filter((name) => /^(\d+\.(log|ldb)|MANIFEST-\d+|CURRENT)$/.test(name));
  for (const name of files) {
    const { size } = await stat(path.join(directory, name));
    for (let step = 0; step < 8; step++) {
      const place = Math.floor(((step + 0.5) / 8) * size);
      await using copy = await changed(store, async () => {});
      await flip(path.join(copy.path, 'index', name), place);
      await using disk = await LogDisk.open(copy.path, quiet);
      for (const [number, found] of await contents(disk, many))
        assert.ok(found === expected.get(number) || found === 'damaged', `${name} at ${place}: block ${number} is ${found}`);
      assert.equal((await contents(disk, many)).size, many, `${name} at ${place}`);
    }
  }
});

test('a segment that is missing makes its blocks damaged, not absent', async () => {
  await using copy = await changed(indexed, (segment) => rm(segment));
  await using disk = await LogDisk.open(copy.path, quiet);
  for (let number = 0; number < count; number++) await assert.rejects(disk.read(numbered(number)), code('damaged'));
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 10) }]);
  assert.equal((await disk.read(numbered(1)))!.length, 10);
  assert.ok(disk.status().damaged > 0);
});

test('bytes of a log inside a value, or of another store, never pass for records', async () => {
  await using copy = await changed(master, async () => {});
  const log = await readFile(path.join(copy.path, 'segment-00000001'));
  {
    const files = new FaultyFiles();
    await using disk = await LogDisk.open(copy.path, { ...quiet, files });
    await disk.write([{ type: 'put', address: numbered(50), bytes: log }]);
    await disk.write([{ type: 'put', address: numbered(0), bytes: valueOf(77, 12) }]);
    await disk.write([{ type: 'put', address: numbered(51), bytes: valueOf(51, 12) }]);
    files.dead = true;
  }
  // The header of the value that holds the log is damaged: the walk goes through the value in search of the next record.
  await flip(path.join(copy.path, 'segment-00000001'), boundaries.at(-1)! + 10);
  await using disk = await LogDisk.open(copy.path, quiet);
  assert.equal(Buffer.from((await disk.read(numbered(0)))!).toString('hex'), Buffer.from(valueOf(77, 12)).toString('hex'));
  await assert.rejects(disk.read(numbered(50)), code('damaged'));
  assert.equal(disk.status().damaged, 1);
});
