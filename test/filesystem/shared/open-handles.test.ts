import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../../../src/base/index.ts';
import { HandleNumbers } from '../../../src/filesystem/handle-numbers.ts';
import { GuestCache } from '../../../src/filesystem/shared/guest-cache.ts';
import { HolderLink } from '../../../src/filesystem/shared/holder-link.ts';
import { OpenHandles } from '../../../src/filesystem/shared/open-handles.ts';
import { Undelivered } from '../../../src/filesystem/shared/undelivered.ts';

test('handles stay below 2^32, and begin anew with numbers that are not in use', () => {
  const done = (): Promise<void> => Promise.resolve();
  const holder = new HolderLink(
    () => true,
    { makeAgain: done, lockAgain: done, saying: done, openAgain: done, requireLocks: () => {}, openUnsaid: done },
    new GuestCache(systemClock),
    systemClock,
  );
  const files = new OpenHandles(holder, new Undelivered(), () => {}, new HandleNumbers(2 ** 32 - 2));
  const opened = Array.from({ length: 4 }, () => files.keep(7, 0, false, 0, 1));
  assert.deepEqual(opened, [2 ** 32 - 2, 2 ** 32 - 1, 1, 2]);
});

test('a number in use is passed over', () => {
  const numbers = new HandleNumbers(2 ** 32 - 1);
  const used = new Map([
    [2 ** 32 - 1, 0],
    [1, 0],
  ]);
  assert.equal(numbers.take(used), 2);
});
