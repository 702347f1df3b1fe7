import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WrittenFiles } from '../../src/fuse/written-files.ts';

test('a file counts as being written until a whole time between sweeps went by without a write', () => {
  const files = new WrittenFiles();
  assert.equal(files.add(1), true);
  assert.equal(files.add(1), false);
  files.sweep();
  assert.ok(files.has(1));
  assert.equal(files.add(1), false);
  files.sweep();
  files.sweep();
  assert.ok(!files.has(1));
  assert.equal(files.size, 0);
  assert.equal(files.add(1), true);
});

test('however many files are written, a bounded number of them is kept: the latest', () => {
  const files = new WrittenFiles();
  for (let inode = 0; inode < 100_000; inode++) {
    files.add(inode);
    assert.ok(files.size <= 16_384);
    assert.ok(inode < 8000 || files.has(inode - 8000));
  }
});
