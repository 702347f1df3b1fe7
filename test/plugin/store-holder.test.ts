import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { storeHolder } from '../../plugin/store-holder.ts';
import { LogDisk } from '../../src/disk/index.ts';

test('who has the store of a state directory open is known by the lock, whatever a killed daemon left in the lock file', async () => {
  const stateDir = mkdtempSync(path.join(tmpdir(), 'infinit-holder-'));
  try {
    assert.equal(storeHolder(stateDir), undefined, 'there is no store');
    const disk = await LogDisk.open(path.join(stateDir, 'store'));
    assert.equal(storeHolder(stateDir), process.pid);
    await disk[Symbol.asyncDispose]();
    writeFileSync(path.join(stateDir, 'store/lock'), '1\n');
    assert.equal(storeHolder(stateDir), undefined, 'nobody has it open');
  } finally {
    rmSync(stateDir, { recursive: true });
  }
});
