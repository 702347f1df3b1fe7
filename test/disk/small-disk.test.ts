import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { statfs, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { immutableAddress } from '../../src/block/index.ts';
import { codeOf } from '../../src/base/index.ts';
import { LogDisk } from '../../src/disk/index.ts';
import { SmallDisk, withRoot } from './small-disk.ts';
import { TemporaryDirectory, valueOf } from './support.ts';

test('a store on a read-only file system says that this is what is the matter', withRoot, async () => {
  await using small = await SmallDisk.mount(1);
  execFileSync('mount', ['-o', 'remount,ro', small.path]);
  await assert.rejects(LogDisk.open(path.join(small.path, 'store')), { code: 'disk-failed', message: /read-only file system/ });
});

test('a file system that really fills up: nothing acknowledged is lost, deletes make room, the store goes on', withRoot, async () => {
  await using small = await SmallDisk.mount(48);
  const directory = path.join(small.path, 'store');
  const options = { segmentBytes: 2 * 1024 * 1024, tickMs: 50 } as const;
  const block = (number: number): Uint8Array => valueOf(number, 300_000 + number);
  const kept: number[] = [];
  {
    await using disk = await LogDisk.open(directory, options);
    for (let number = 0; ; number++) {
      try {
        await disk.write([{ type: 'put', address: immutableAddress(block(number)), bytes: block(number) }]);
        kept.push(number);
      } catch (error) {
        assert.equal(codeOf(error), 'disk-full');
        break;
      }
    }
    assert.ok(kept.length > 80, `${kept.length} blocks of 300 kB went into 48 MiB`);
    const { bavail, bsize } = await statfs(small.path);
    assert.ok(bavail * bsize > 1_000_000, 'a reserve is left');
    await disk.write(kept.splice(10).map((number) => ({ type: 'delete', address: immutableAddress(block(number)) })));
    for (let left = 100; disk.status().state !== 'healthy'; left--) {
      assert.ok(left > 0, 'compaction made no room');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await disk.write([{ type: 'put', address: immutableAddress(block(1000)), bytes: block(1000) }]);
    kept.push(1000);
  }
  await using disk = await LogDisk.open(directory, options);
  for (const number of kept) assert.deepEqual(Uint8Array.from((await disk.read(immutableAddress(block(number))))!), block(number));
  assert.equal(disk.status().blocks, kept.length);
});

test('a full disk makes room also where something is written to it all the time', async () => {
  await using directory = await TemporaryDirectory.make();
  const options = { capacityBytes: 16 * 1024 * 1024, segmentBytes: 1024 * 1024, tickMs: 250 } as const;
  await using disk = await LogDisk.open(path.join(directory.path, 'store'), options);
  const block = (number: number): Uint8Array => valueOf(number, 100_000 + number);
  const put = (number: number): Promise<void> => disk.write([{ type: 'put', address: immutableAddress(block(number)), bytes: block(number) }]);
  const kept: number[] = [];
  for (let number = 0; disk.status().state === 'healthy'; number++)
    await put(number).then(
      () => kept.push(number),
      (error: unknown) => assert.equal(codeOf(error), 'disk-full'),
    );
  await disk.write(kept.splice(5).map((number) => ({ type: 'delete', address: immutableAddress(block(number)) })));
  // As leases are renewed, and as what found no room is tried again.
  for (let left = 300; disk.status().state !== 'healthy'; left--) {
    assert.ok(left > 0, 'no room was made');
    await disk.write([{ type: 'put-meta', key: 'lease', bytes: Buffer.from([left % 256]) }]);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await put(1000);
  for (const number of kept) assert.deepEqual(Uint8Array.from((await disk.read(immutableAddress(block(number))))!), block(number));
});

test('others fill the file system to the last byte, the index included: refused clearly, and all is well when they leave', withRoot, async () => {
  await using small = await SmallDisk.mount(32);
  const directory = path.join(small.path, 'store');
  const options = { segmentBytes: 1024 * 1024, reserveBytes: 0, checkpointRecords: 50, tickMs: 50 } as const;
  const ballast = path.join(small.path, 'ballast');
  const acknowledged: number[] = [];
  {
    await using disk = await LogDisk.open(directory, options);
    const put = async (number: number): Promise<void> => {
      const bytes = valueOf(number, 2000 + number);
      await disk.write([{ type: 'put', address: immutableAddress(bytes), bytes }]);
      acknowledged.push(number);
    };
    for (let number = 0; number < 300; number++) await put(number);
    await writeFile(ballast, new Uint8Array(40_000_000)).catch(() => {});
    let refused = 0;
    for (let number = 300; number < 1300; number++)
      await put(number).catch((error: unknown) => assert.equal(codeOf(error), 'disk-full', String(++refused)));
    assert.equal(disk.status().state, 'read-only');
    for (const number of acknowledged) assert.ok(await disk.read(immutableAddress(valueOf(number, 2000 + number))));
    await writeFile(ballast, '');
    for (let left = 200; disk.status().state !== 'healthy'; left--) {
      assert.ok(left > 0, 'it did not recover');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    for (let number = 2000; number < 2200; number++) await put(number);
  }
  await using disk = await LogDisk.open(directory, options);
  for (const number of acknowledged) assert.equal((await disk.read(immutableAddress(valueOf(number, 2000 + number))))!.length, 2000 + number);
  assert.equal(disk.status().damaged, 0);
});
