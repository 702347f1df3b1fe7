import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';

import { LogDisk } from '../../src/disk/index.ts';
import { numbered, TemporaryDirectory, valueOf } from './support.ts';

/** Lets a child write from a number on, kills it after a while. @returns the numbers that it acknowledged. */
async function writeAndKill(directory: string, from: number, afterMs: number): Promise<number[]> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'writer-child.ts'), directory, String(from)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  await new Promise<void>((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      timer ??= setTimeout(() => child.kill('SIGKILL'), afterMs);
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
  assert.equal(errors, '');
  return output.split('\n').slice(0, -1).map(Number);
}

test('kill -9 of a writing process loses no acknowledged put, time after time', { timeout: 300_000 }, async () => {
  await using directory = await TemporaryDirectory.make();
  const acknowledged: number[] = [];
  for (const [round, ms] of [150, 400, 900].entries()) {
    const start = round * 1_000_000;
    acknowledged.push(...(await writeAndKill(directory.path, start, ms)));
    await using disk = await LogDisk.open(directory.path, { reserveBytes: 0, segmentBytes: 4 * 1024 * 1024 });
    assert.equal(disk.status().damaged, 0);
    for (const number of acknowledged) {
      const bytes = await disk.read(numbered(number));
      if (bytes === undefined) assert.equal(number % 2, 0, `${number} was acknowledged and is gone`);
      else assert.deepEqual(Uint8Array.from(bytes), valueOf(number, 500 + (number % 5000)));
    }
  }
  assert.ok(acknowledged.length > 500, `${acknowledged.length} puts were acknowledged`);
});
