/** A daemon takes a mount over and does not know all that the one before should have left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SharedFileSystem } from '../../../src/filesystem/index.ts';
import { errnoOf, open, put, root } from '../harness.ts';
import { MemoryBlockStore } from '../../suites/memory-block-store.ts';
import { MemoryRecords } from '../../suites/memory-records.ts';
import { Serving } from './serving.ts';

test('which locks its programs have is not known: whoever had a file open hears EIO by the next sync, once, and nobody else does', async () => {
  for (const areIncomplete of [true, false]) {
    const serving = new Serving(await open(new MemoryBlockStore()));
    const inode = await put(serving.volume, root, 'f', 'content', true);
    const records = new MemoryRecords();
    records.areIncomplete = areIncomplete;
    const guest = new SharedFileSystem('guest', () => false, { clock: serving.time.clock, records });
    serving.welcome(guest, 'guest');
    const [before, since] = [await guest.open(inode, 2), await guest.open(inode, 2)];
    guest.inherited(inode, before);
    const sync = (handle: number): Promise<unknown> => errnoOf(async () => guest.fsync(inode, handle, false));
    assert.deepEqual([await sync(before), await sync(before), await sync(since)], [areIncomplete ? 'EIO' : 'none', 'none', 'none']);
  }
});
