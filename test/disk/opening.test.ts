import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';

import { LogDisk } from '../../src/disk/index.ts';
import { encodeSegmentHeader } from '../../src/disk/record.ts';
import { numbered, TemporaryDirectory, valueOf } from './support.ts';

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

test('a second daemon on the same directory is told who holds it, and the lock dies with its process', { timeout: 300_000 }, async () => {
  await using directory = await TemporaryDirectory.make();
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'writer-child.ts'), directory.path, '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await assert.rejects(LogDisk.open(directory.path), { code: 'locked', message: new RegExp(`held by process ${child.pid}\\b`) });
  } finally {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
  }
  await using disk = await LogDisk.open(directory.path);
  assert.equal(disk.status().state, 'healthy');
  await assert.rejects(LogDisk.open(directory.path), { code: 'locked', message: new RegExp(`held by process ${process.pid}\\b`) });
});

test('a directory of another format version, or of somebody else, is refused and left alone', async () => {
  await using directory = await TemporaryDirectory.make();
  for (const format of [
    'infinit-disk 4 00112233445566778899aabbccddeeff\n',
    'infinit-disk 1 00112233445566778899aabbccddeeff\n',
    'something else\n',
    '',
  ]) {
    await writeFile(path.join(directory.path, 'format'), format);
    await assert.rejects(LogDisk.open(directory.path), { code: 'wrong-version', message: /infinit-disk 3/ });
    assert.equal(await readFile(path.join(directory.path, 'format'), 'utf8'), format);
  }
  const other = path.join(directory.path, 'other');
  await mkdir(other);
  await writeFile(path.join(other, 'letters.txt'), 'x');
  await assert.rejects(LogDisk.open(other), { code: 'wrong-version', message: /letters\.txt/ });
  // A fresh mount point is fine.
  const mount = path.join(directory.path, 'mount');
  await mkdir(path.join(mount, 'lost+found'), { recursive: true });
  await (await LogDisk.open(mount))[Symbol.asyncDispose]();
});

test('a FIFO in the place of a file of the store is named, and one of the index makes it anew', async () => {
  await using directory = await TemporaryDirectory.make();
  const at = (...names: string[]): string => path.join(directory.path, ...names);
  const open = async (): Promise<void> => {
    await using disk = await LogDisk.open(directory.path);
    assert.deepEqual(Buffer.from((await disk.read(numbered(1)))!), Buffer.from(valueOf(1, 10)));
  };
  {
    await using disk = await LogDisk.open(directory.path);
    await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 10) }]);
  }
  const replaced = async (...names: string[]): Promise<Buffer> => {
    const before = await readFile(at(...names)).catch(() => Buffer.of());
    await rm(at(...names), { recursive: true });
    assert.equal(spawnSync('mkfifo', [at(...names)]).status, 0);
    return before;
  };
  for (const name of ['format', 'segment-00000001']) {
    const before = await replaced(name);
    await assert.rejects(LogDisk.open(directory.path), { code: 'damaged', message: new RegExp(`${name} is a FIFO`) });
    await rm(at(name));
    await writeFile(at(name), before);
    await open();
  }
  for (const names of [['index', 'CURRENT'], ['index']]) {
    await replaced(...names);
    await open();
  }
});

test('a store of before blocks were addressed by BLAKE3 is read, and programs of before refuse it from then on', async () => {
  await using directory = await TemporaryDirectory.make();
  const file = path.join(directory.path, 'format');
  {
    await using disk = await LogDisk.open(directory.path);
    await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 10) }]);
  }
  const format = await readFile(file, 'utf8');
  await writeFile(file, format.replace(/^infinit-disk 3/, 'infinit-disk 2'));
  await using disk = await LogDisk.open(directory.path);
  assert.deepEqual(Buffer.from((await disk.read(numbered(1)))!), Buffer.from(valueOf(1, 10)));
  assert.equal(await readFile(file, 'utf8'), format);
});

test('a segment of a later format version is refused by name', async () => {
  await using directory = await TemporaryDirectory.make();
  {
    await using disk = await LogDisk.open(directory.path);
    await disk.write([{ type: 'put', address: numbered(1), bytes: valueOf(1, 10) }]);
  }
  const format = await readFile(path.join(directory.path, 'format'), 'latin1');
  const storeId = Buffer.from(format.trim().split(' ')[2]!, 'hex');
  await writeFile(path.join(directory.path, 'segment-00000002'), encodeSegmentHeader(storeId, { version: 3, number: 2, firstSequence: 2 }));
  await assert.rejects(LogDisk.open(directory.path), { code: 'wrong-version', message: /segment 2 has format 3/ });
});

test('opens again and again, with nothing lost and no descriptor left open', async () => {
  await using directory = await TemporaryDirectory.make();
  let before = 0;
  for (let round = 0; round < 6; round++) {
    if (round === 1) before = openDescriptors();
    await using disk = await LogDisk.open(directory.path);
    await disk.write([{ type: 'put', address: numbered(round), bytes: valueOf(round, 100) }]);
    await disk.write([{ type: 'put-meta', key: 'round', bytes: valueOf(round, 4) }]);
    for (let earlier = 0; earlier <= round; earlier++) assert.equal((await disk.read(numbered(earlier)))!.length, 100);
    assert.equal(disk.status().blocks >= round + 1, true);
  }
  assert.ok(openDescriptors() <= before, 'descriptors stay open');
});
