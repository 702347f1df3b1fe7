/** What a process notes for the next one of its mount: the memory of calls in which all was first made that the kernel has no answer to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CallMemory, type CallNote } from '../../../src/filesystem/shared/call-memory.ts';
import { VirtualTime } from './virtual-time.ts';

/** Longer than the kernel waits for any answer. */
const longMs = 200_000;

function noted(callMemory: number, isFresh = false): CallNote {
  return { callMemory, isFresh };
}

test('on a new mount the first memory is noted, and stays', () => {
  const { clock } = new VirtualTime();
  const note = noted(0, true);
  const memory = new CallMemory(clock, note);
  assert.equal(memory.left, 0);
  for (let turn = 0; turn < 2; turn++) memory.learn(5);
  assert.equal(note.callMemory, 5);
  assert.equal(new CallMemory(clock, { ...note, isFresh: false }).left, 5);
});

test('another memory is noted when all that was made in the one before is answered', () => {
  const time = new VirtualTime();
  const note = noted(5);
  const memory = new CallMemory(time.clock, note);
  memory.learn(5);
  assert.equal(note.callMemory, 5);
  memory.learn(6);
  assert.equal(note.callMemory, 0);
  memory.learn(6);
  assert.equal(note.callMemory, 0);
  time.jump(longMs);
  memory.learn(6);
  assert.equal(note.callMemory, 6);
  assert.equal(memory.left, 5, 'what is asked for again was made in the one before');
});

test('none is noted while something may be under way of which none knows, or where a daemon before noted none', () => {
  const time = new VirtualTime();
  const note = noted(0);
  const memory = new CallMemory(time.clock, note);
  memory.learn(5);
  assert.equal(note.callMemory, 0);
  time.jump(longMs);
  memory.learn(5);
  assert.equal(note.callMemory, 5);
  memory.spoil();
  memory.learn(5);
  assert.equal(note.callMemory, 0);
  time.jump(longMs);
  memory.learn(5);
  assert.equal(note.callMemory, 5);
});
