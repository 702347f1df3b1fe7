import assert from 'node:assert/strict';
import { closeSync, fstatSync, ftruncateSync } from 'node:fs';
import { test } from 'node:test';

import { createMemory, MappedMemory } from '../../src/node/surviving-memory.ts';

const earlierBytes = 128 * 1024 * 1024 + 4096;

test('memory stays as large as an earlier daemon made it, with what that left in it', () => {
  const descriptor = createMemory()!;
  ftruncateSync(descriptor, earlierBytes);
  const first = MappedMemory.open(descriptor)!;
  assert.ok(first.provide(earlierBytes - 4096, earlierBytes));
  first.bytes[earlierBytes - 1] = 7;
  const second = MappedMemory.open(descriptor)!;
  assert.deepEqual([second.bytes.length, second.bytes[earlierBytes - 1]], [earlierBytes, 7]);
  second.release(4096);
  assert.equal(fstatSync(descriptor).size, earlierBytes);
  closeSync(descriptor);
});

test('memory that a daemon gave back while it died is whole again', () => {
  const descriptor = createMemory()!;
  const { size } = fstatSync(descriptor);
  ftruncateSync(descriptor, 4096);
  assert.equal(MappedMemory.open(descriptor)!.bytes.length, size);
  closeSync(descriptor);
});
