import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Files, LogDisk, nodeFiles } from '../../src/disk/index.ts';
import { Pace } from '../../src/disk/pace.ts';
import { numbered, TemporaryDirectory, valueOf } from './support.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const busy = (ms: number) => (): number => {
  const until = performance.now() + ms;
  while (performance.now() < until);
  return 7;
};

test('reads of one turn of the event loop that take long together leave the others to the thread pool, and the next turn begins anew', async () => {
  const pace = new Pace();
  let reads = 0;
  while (pace.run(busy(0.3)) !== undefined) reads++;
  assert.ok(reads > 0 && reads < 8, `${reads} reads of 0.3 ms`);
  assert.equal(
    pace.run(() => assert.fail('the turn is used up')),
    undefined,
  );
  await turn();
  assert.deepEqual(pace.run(busy(0)), { result: 7 });
});

test('a page of a large value is read on the event loop, also one that lies across two of its pieces', async () => {
  await using directory = await TemporaryDirectory.make();
  let elsewhere = 0;
  const read: Files['read'] = (file, into, position) => {
    elsewhere++;
    return nodeFiles.read(file, into, position);
  };
  await using disk = await LogDisk.open(directory.path, { files: { ...nodeFiles, read } });
  const value = valueOf(1, 1024 * 1024);
  await disk.write([{ type: 'put', address: numbered(1), bytes: value }]);
  // The table of its pieces, once.
  await disk.readPart(numbered(1), 0, 10);
  elsewhere = 0;
  for (const offset of [48, 12_336, 16_384 - 4095, 900_000]) {
    await turn();
    assert.deepEqual(Buffer.from((await disk.readPart(numbered(1), offset, 4096))!), Buffer.from(value.subarray(offset, offset + 4096)));
  }
  assert.ok(elsewhere <= 1, `${elsewhere} through the thread pool: a busy machine may be slow once`);
});
