import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Attributes } from '../../src/filesystem/index.ts';
import { JustLookedUp } from '../../src/fuse/just-looked-up.ts';

const attributes = { inode: 7, size: 6 } as Attributes;

test('the attributes of a look-up’s answer are for the next question of the same thread about that inode, once', () => {
  const memo = new JustLookedUp();
  memo.note(1, attributes);
  assert.equal(memo.take(2, 7), undefined);
  assert.equal(memo.take(1, 7), attributes);
  assert.equal(memo.take(1, 7), undefined);
  memo.note(1, attributes);
  assert.equal(memo.take(1, 8), undefined);
  assert.equal(memo.take(1, 7), undefined);
});

test('they are not for a later call: the thread asked for something else, something else was answered, or time went by', () => {
  let now = 0;
  const memo = new JustLookedUp(() => now);
  memo.note(1, attributes);
  memo.asksElse(1);
  assert.equal(memo.take(1, 7), undefined);
  memo.note(1, attributes);
  memo.answersElse();
  assert.equal(memo.take(1, 7), undefined);
  memo.note(1, attributes);
  now = 2.5;
  assert.equal(memo.take(1, 7), undefined);
});

test('what the kernel asks by itself is of no thread', () => {
  const memo = new JustLookedUp();
  memo.note(0, attributes);
  assert.equal(memo.take(0, 7), undefined);
});
