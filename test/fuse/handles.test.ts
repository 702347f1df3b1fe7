import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Handles } from '../../src/fuse/handles.ts';

const old = { low: 7, high: 1 };

test('a handle that is released while it is being opened anew is not known any more when that is done', async () => {
  const handles = new Handles(2);
  const opened = Promise.withResolvers<number>();
  const first = handles.resolve(old, () => opened.promise);
  assert.equal(handles.release(old), first);
  opened.resolve(100);
  assert.equal(await first, 100);
  assert.equal(handles.release(old), undefined);
  const second = Promise.withResolvers<number>();
  const failing = handles.resolve(old, () => second.promise);
  assert.equal(handles.release(old), failing);
  assert.equal(
    handles.resolve(old, () => 101),
    101,
  );
  second.reject(new Error('a test said so'));
  await assert.rejects(failing as Promise<number>);
  assert.equal(handles.release(old), 101);
});
