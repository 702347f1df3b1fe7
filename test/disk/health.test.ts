import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Files } from '../../src/disk/files.ts';
import { Health } from '../../src/disk/health.ts';

const noBallast = { bytes: 0, wholeBytes: 0, isGiven: false };

/** Why a store of 100 bytes with a reserve of 10 is full. */
async function reasonOf(free: number, capacityBytes: number | undefined): Promise<string | undefined> {
  const files: Pick<Files, 'space'> = { space: () => Promise.resolve({ free, total: 1000 }) };
  const health = new Health({ files: files as Files, directory: 'store', capacityBytes, reserveBytes: 10, usedBytes: () => 100, ballast: noBallast });
  await health.refresh();
  return health.reason;
}

test('a full store names what has no room: its capacity, or the file system that is smaller', async () => {
  assert.match((await reasonOf(500, 105))!, /its capacity of 105 bytes has no room/);
  assert.match((await reasonOf(5, 800))!, /the file system has no room/);
  assert.match((await reasonOf(5, undefined))!, /the file system has no room/);
  assert.equal(await reasonOf(500, 800), undefined);
});
