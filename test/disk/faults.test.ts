import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { mock, test } from 'node:test';

import { ClassicLevel } from 'classic-level';

import { immutableAddress } from '../../src/block/index.ts';
import { LogDisk } from '../../src/disk/index.ts';
import { LevelIndex } from '../../src/disk/level-index.ts';
import { FaultyFiles } from './faulty-files.ts';
import { code, contents, numbered, TemporaryDirectory, valueOf } from './support.ts';

const small = { segmentBytes: 256 * 1024, reserveBytes: 512 * 1024, tickMs: 20 } as const;

async function until(condition: () => boolean): Promise<void> {
  for (let left = 500; !condition(); left--) {
    assert.ok(left > 0, 'it never came to be');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

for (const share of [0, 0.5, 1]) {
  test(`a write that fails with EIO after ${share * 100} % turns the store read-only for good, and is never acknowledged`, async () => {
    await using directory = await TemporaryDirectory.make();
    const files = new FaultyFiles();
    {
      await using disk = await LogDisk.open(directory.path, { ...small, files });
      const states: string[] = [];
      disk.onStateChange((status) => void states.push(`${status.state}: ${status.reason}`));
      await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 1000) }]);
      files.errors.write.push('EIO');
      files.failedWriteShare = share;
      const results = await Promise.allSettled(
        [2, 3, 4].map((number) => disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 1000) }])),
      );
      assert.deepEqual(
        results.map((result) => (result.status === 'rejected' ? (result.reason as { code: string }).code : 'acknowledged')),
        ['disk-failed', 'disk-failed', 'disk-failed'],
      );
      // The disk works again, and still nothing is believed until a restart.
      await assert.rejects(disk.write([{ type: 'put', address: numbered(5), bytes: valueOf(5, 10) }]), code('disk-failed'));
      await assert.rejects(disk.write([{ type: 'delete', address: numbered(1) }]), code('disk-failed'));
      assert.equal(disk.status().state, 'read-only');
      assert.match(states.join('\n'), /^read-only: the disk of .* failed: EIO/);
      assert.equal(Buffer.from((await disk.read(numbered(1)))!).toString('hex'), Buffer.from(valueOf(1, 1000)).toString('hex'));
      assert.equal(await disk.read(numbered(2)), undefined);
    }
    await using disk = await LogDisk.open(directory.path, small);
    const found = await contents(disk, 6);
    assert.deepEqual([...found.keys()], [1], 'what was refused did not come back');
    await disk.write([{ type: 'put', address: numbered(6), bytes: valueOf(6, 10) }]);
  });
}

test('a log whose file is taken away under the daemon takes nothing more, and says so', async () => {
  await using directory = await TemporaryDirectory.make();
  await using disk = await LogDisk.open(directory.path, small);
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 1000) }]);
  rmSync(path.join(directory.path, 'segment-00000001'));
  // What is written now the kernel keeps for as long as the file is open, and no longer.
  await disk.write([{ type: 'put', address: numbered(2), bytes: valueOf(2, 1000) }]);
  await until(() => disk.status().state === 'read-only');
  assert.match(disk.status().reason!, /segment-00000001 was taken away while the daemon ran/);
  await assert.rejects(disk.write([{ type: 'put', address: numbered(3), bytes: valueOf(3, 10) }]), code('disk-failed'));
  assert.equal((await disk.read(numbered(1)))!.length, 1000);
});

test('a write that meets a full disk fails alone; the log is cut back and goes on when there is room', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 2000) }]);
  for (const error of ['ENOSPC', 'EDQUOT']) {
    files.errors.write.push(error);
    files.failedWriteShare = 0.7;
    await assert.rejects(
      disk.write([2, 3].map((number) => ({ type: 'put', address: numbered(number), bytes: valueOf(number, 5000) }))),
      code('disk-full'),
    );
    assert.equal(disk.status().state, 'read-only');
    await assert.rejects(disk.write([{ type: 'put', address: numbered(4), bytes: valueOf(4, 10) }]), code('disk-full'));
    // What frees space is still tried.
    await disk.write([{ type: 'delete', address: numbered(9) }]);
    await until(() => disk.status().state === 'healthy');
    await disk.write([{ type: 'put', address: numbered(5), bytes: valueOf(5, 3000) }]);
    assert.deepEqual([...(await contents(disk, 6)).keys()], [1, 5]);
  }
});

test('of a write that takes several trips to the disk nothing follows what met a full disk', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 2000) }]);
  files.errors.write.push('ENOSPC');
  // The last record refers to the ones before it, as an inode does to its data.
  const lengths = [40_000, 40_000, 40_000, 100];
  const write = disk.write(lengths.map((length, index) => ({ type: 'put', address: numbered(2 + index), bytes: valueOf(2 + index, length) })));
  const other = disk.write([{ type: 'put', address: numbered(6), bytes: valueOf(6, 100) }]);
  await assert.rejects(write, code('disk-full'));
  await other;
  assert.deepEqual([...(await contents(disk, 7)).keys()], [1, 6]);
});

test('a log that cannot be cut back after a full disk is failed, not full', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 2000) }]);
  files.errors.write.push('ENOSPC');
  files.errors.truncate.push('EIO');
  await assert.rejects(disk.write([{ type: 'put', address: numbered(2), bytes: valueOf(2, 2000) }]), /disk/);
  await assert.rejects(disk.write([{ type: 'put', address: numbered(3), bytes: valueOf(3, 2000) }]), code('disk-failed'));
});

test('no room for a new segment is a full disk, and the store goes on later', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  for (let number = 0; number < 4; number++) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 60_000) }]);
  files.errors.open.push('ENOSPC');
  await assert.rejects(disk.write([{ type: 'put', address: numbered(4), bytes: valueOf(4, 60_000) }]), code('disk-full'));
  await until(() => disk.status().state === 'healthy');
  await disk.write([{ type: 'put', address: numbered(5), bytes: valueOf(5, 60_000) }]);
  assert.deepEqual([...(await contents(disk, 6)).keys()], [0, 1, 2, 3, 5]);
});

test('as the file system fills up, bulk data is refused first, then metadata; deletes go on', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  const bulk = valueOf(1, 1000);
  const putBulk = (): Promise<void> => disk.write([{ type: 'put', address: immutableAddress(bulk), bytes: bulk }]);
  const putSmall = (): Promise<void> => disk.write([{ type: 'put', address: numbered(1), bytes: bulk }]);
  files.free = 400 * 1024;
  await until(() => disk.status().state === 'read-only');
  assert.match(disk.status().reason!, /full/);
  assert.equal(disk.status().freeBytes, 0);
  await assert.rejects(putBulk(), code('disk-full'));
  await putSmall();
  files.free = 100 * 1024;
  await new Promise((resolve) => setTimeout(resolve, 60));
  await assert.rejects(putSmall(), code('disk-full'));
  await disk.write([{ type: 'delete', address: numbered(1) }]);
  assert.equal(await disk.read(numbered(1)), undefined);
  files.free = undefined;
  await until(() => disk.status().state === 'healthy');
  await putBulk();
});

test('a sector that cannot be read makes its block damaged, and the store stays healthy', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 2000) }]);
  files.errors.read.push('EIO');
  await assert.rejects(disk.read(numbered(1)), code('damaged'));
  assert.deepEqual([disk.status().state, disk.status().damaged], ['healthy', 1]);
});

test('what cannot be read for want of descriptors or memory is not damaged: it can be read later', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 2000) }]);
  for (const error of ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']) {
    files.errors.read.push(error);
    await assert.rejects(disk.read(numbered(1)), code('overloaded'));
    assert.equal(disk.isDamaged(numbered(1)), false);
  }
  assert.equal(disk.status().damaged, 0);
  assert.deepEqual(Uint8Array.from((await disk.read(numbered(1)))!), valueOf(1, 2000));
});

test('an index that could not be opened again does not make blocks damaged', async () => {
  await using directory = await TemporaryDirectory.make();
  const index = await LevelIndex.open(directory.path);
  const damage: string[] = [];
  index.onDamage = (how) => void damage.push(how);
  await index.close();
  await assert.rejects(async () => index.get(numbered(1)), code('overloaded'));
  await assert.rejects(index.getMany([numbered(1)]), code('overloaded'));
  await assert.rejects(index.list('00', 10), code('overloaded'));
  assert.deepEqual(damage, []);
});

test('compaction that cannot read for want of memory stops, and loses nothing', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files, tickMs: 60_000 });
  const numbers = Array.from({ length: 40 }, (_, number) => number);
  for (const number of numbers) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 20_000) }]);
  const kept = numbers.filter((number) => number % 2 === 0);
  await disk.write(numbers.filter((number) => !kept.includes(number)).map((number) => ({ type: 'delete', address: numbered(number) })));
  files.errors.read.push(...Array.from({ length: 1000 }, () => 'ENOMEM'));
  await disk.compact();
  files.errors.read.length = 0;
  for (const number of kept) assert.deepEqual(Uint8Array.from((await disk.read(numbered(number)))!), valueOf(number, 20_000));
});

test('an index that lacks descriptors for a while does not make the disk fail', async () => {
  await using directory = await TemporaryDirectory.make();
  await using disk = await LogDisk.open(directory.path, { ...small, tickMs: 60_000 });
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 2000) }]);
  const lacking = mock.method(ClassicLevel.prototype, 'getMany', () => Promise.reject(new Error('IO error: 000005.ldb: Too many open files')));
  try {
    await assert.rejects(disk.compact(), code('overloaded'));
  } finally {
    lacking.mock.restore();
  }
  assert.equal(disk.status().state, 'healthy');
  assert.equal(existsSync(path.join(directory.path, 'rebuild-index')), false);
  await disk.write([{ type: 'put', address: numbered(2), bytes: valueOf(2, 2000) }]);
  await disk.compact();
  assert.deepEqual(Uint8Array.from((await disk.read(numbered(1)))!), valueOf(1, 2000));
});

test('a lack of descriptors for the next segment is waited for, and if it lasts the write fails alone', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files, tickMs: 60_000 });
  const put = (number: number): Promise<void> => disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 60_000) }]);
  for (let number = 0; number < 4; number++) await put(number);
  files.errors.open.push('EMFILE', 'ENFILE');
  await put(4);
  for (let number = 5; number < 8; number++) await put(number);
  files.errors.open.push(...Array.from({ length: 1000 }, () => 'EMFILE'));
  await assert.rejects(put(8), code('overloaded'));
  assert.equal(disk.status().state, 'healthy');
  files.errors.open.length = 0;
  await put(9);
  assert.deepEqual([...(await contents(disk, 10)).keys()], [0, 1, 2, 3, 4, 5, 6, 7, 9]);
});

test('compaction ends with the disk: it writes nothing more, and takes nothing away', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  const numbers = Array.from({ length: 40 }, (_, number) => number);
  const kept = numbers.filter((number) => number % 2 === 0);
  {
    // So slow that it is under way when the disk fails.
    await using disk = await LogDisk.open(directory.path, { ...small, files, tickMs: 60_000, compactionBytesPerSecond: 1_000_000 });
    for (const number of numbers) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 20_000) }]);
    await disk.write(numbers.filter((number) => !kept.includes(number)).map((number) => ({ type: 'delete', address: numbered(number) })));
    const before = files.writes;
    const compacted = disk.compact();
    await until(() => files.writes > before);
    files.errors.write.push('EIO');
    await assert.rejects(disk.write([{ type: 'put', address: numbered(50), bytes: valueOf(50, 10) }]), code('disk-failed'));
    const segments = (): string[] => readdirSync(directory.path).filter((name) => name.startsWith('segment-'));
    const then = [files.writes, segments()];
    await compacted;
    assert.deepEqual([files.writes, segments()], then);
  }
  await using disk = await LogDisk.open(directory.path, small);
  assert.deepEqual([...(await contents(disk, 51)).keys()], kept);
});

test('what the file system cannot say now of its room says nothing of the disk', async () => {
  await using directory = await TemporaryDirectory.make();
  const files = new FaultyFiles();
  await using disk = await LogDisk.open(directory.path, { ...small, files });
  files.space = () => Promise.reject(Object.assign(new Error('ENOMEM: by order of the test'), { code: 'ENOMEM' }));
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(disk.status().state, 'healthy');
  await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 10) }]);
});

test('a start that cannot read a segment for want of memory is no start, and takes nothing off the log', async () => {
  await using directory = await TemporaryDirectory.make();
  const numbers = Array.from({ length: 12 }, (_, number) => number);
  // What is deleted fills segments of its own: compaction leaves a hole in the log, of which only the header of the segment after it tells.
  const kept = numbers.filter((number) => number < 4);
  {
    await using disk = await LogDisk.open(directory.path, { ...small, tickMs: 60_000 });
    for (const number of numbers) await disk.write([{ type: 'put', address: numbered(number), bytes: valueOf(number, 60_000) }]);
    await disk.write(numbers.filter((number) => !kept.includes(number)).map((number) => ({ type: 'delete', address: numbered(number) })));
    await disk.compact();
  }
  // All of the log is read again.
  writeFileSync(path.join(directory.path, 'rebuild-index'), '');
  for (let reads = 0, open = false; !open; reads++) {
    const files = new FaultyFiles();
    let left = reads;
    const read = files.read.bind(files);
    files.read = (file, into, position) =>
      left-- === 0 ? Promise.reject(Object.assign(new Error('ENOMEM'), { code: 'ENOMEM' })) : read(file, into, position);
    try {
      await using disk = await LogDisk.open(directory.path, { ...small, files, tickMs: 60_000 });
      assert.deepEqual([...(await contents(disk, 12)).keys()], kept);
      open = left >= 0;
      // Nothing was given up, or else it was not read.
      assert.equal(disk.status().damaged, 0);
    } catch (error) {
      code('overloaded')(error);
    }
    if (!open && reads > 100) assert.fail('it never opens');
    if (!open) writeFileSync(path.join(directory.path, 'rebuild-index'), '');
  }
});
