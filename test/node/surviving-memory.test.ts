import assert from 'node:assert/strict';
import { closeSync, fstatSync, ftruncateSync } from 'node:fs';
import { test } from 'node:test';

import { createMemory, MappedMemory } from '../../src/node/volumes/surviving-memory.ts';

const earlierBytes = [128 * 1024 * 1024 + 4096, 512 * 1024 * 1024 + 4096];

test('memory stays as large as an earlier daemon made it, with what that left in it, and has none for a guest', () => {
  for (const bytes of earlierBytes) {
    const descriptor = createMemory()!;
    ftruncateSync(descriptor, bytes);
    const first = MappedMemory.open(descriptor)!;
    assert.ok(first.redo.provide(bytes - 4096, bytes));
    first.redo.bytes[bytes - 1] = 7;
    const second = MappedMemory.open(descriptor)!;
    assert.deepEqual([second.redo.bytes.length, second.redo.bytes[bytes - 1], second.unsaid], [bytes, 7, undefined]);
    second.redo.release(4096);
    assert.deepEqual([fstatSync(descriptor).size, second.redo.bytes[bytes - 1]], [bytes, 0]);
    closeSync(descriptor);
  }
});

test('what one part of the memory gives back takes nothing from the other', () => {
  const descriptor = createMemory()!;
  const { redo, unsaid } = MappedMemory.open(descriptor)!;
  for (const part of [redo, unsaid!]) {
    assert.ok(part.provide(0, 8192));
    part.bytes[0] = part.bytes[4096] = 7;
  }
  redo.release(4096);
  assert.deepEqual([redo.bytes[0], redo.bytes[4096], unsaid!.bytes[0], unsaid!.bytes[4096]], [7, 0, 7, 7]);
  unsaid!.release(4096);
  const next = MappedMemory.open(descriptor)!;
  assert.deepEqual([next.redo.bytes[0], next.unsaid!.bytes[0], next.unsaid!.bytes[4096]], [7, 7, 0]);
  closeSync(descriptor);
});

test('memory that a daemon gave back while it died is whole again', () => {
  const descriptor = createMemory()!;
  const { size } = fstatSync(descriptor);
  ftruncateSync(descriptor, 4096);
  assert.ok(MappedMemory.open(descriptor)!.unsaid !== undefined);
  assert.equal(fstatSync(descriptor).size, size);
  closeSync(descriptor);
});
