import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { test } from 'node:test';

import type { Entry } from '../../src/disk/entry.ts';
import { LevelIndex } from '../../src/disk/level-index.ts';
import { noId, type RecordId, recordTypes } from '../../src/disk/record.ts';

/** Several steps of a listing, and of a look-up of many. */
const many = 1200;

test('what is read of the index while it is closed and opened again is all there, and is no damage', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-index-'));
  const index = await LevelIndex.open(path.join(directory, 'index'));
  try {
    const damage: string[] = [];
    index.onDamage = (how) => damage.push(how);
    const ids: RecordId[] = Array.from({ length: many }, (_, number) => `1${number.toString(16).padStart(63, '0')}`);
    const entries = new Map(ids.map((id, at): [RecordId, Entry] => [id, { type: recordTypes.put, segment: 1, offset: at * 8, length: 1 }]));
    const stats = { segment: 1, offset: 8 * many, sequence: 1, lastId: noId, blocks: many, liveBytes: many };
    await index.commit(entries, [], [], stats);
    // It is closed at whatever step they are.
    for (let turns = 0; turns < 6; turns++) {
      const reading = [index.list(noId, many), index.getMany(ids), Promise.all(ids.map(async (id) => index.get(id)))] as const;
      const ended = Promise.allSettled(reading);
      for (let turn = 0; turn < turns; turn++) await setImmediate();
      await index.reopen();
      const failed = (await ended).flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []));
      assert.deepEqual([failed, damage], [[], []], `after ${turns} turns`);
      const [listed, looked, got] = await Promise.all(reading);
      assert.deepEqual(listed, [...entries]);
      assert.deepEqual(looked, [...entries.values()]);
      assert.deepEqual(got, looked);
    }
  } finally {
    await index.close();
    await rm(directory, { recursive: true, force: true });
  }
});
