import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryDisk } from '../../src/disk/index.ts';
import { checkPassport, claimStore, nameStore, rememberCluster } from '../../src/node/members/store-owner.ts';

test('a store stays with the host that began it, also where its first start was cut short', async () => {
  const disk = new MemoryDisk();
  await claimStore(disk, false);
  // The first start got a passport and died before it knew its own id: that is no loss.
  await claimStore(disk, true);
  await nameStore(disk, 'host-a');
  await claimStore(disk, true);
  await nameStore(disk, 'host-a');
  await assert.rejects(nameStore(disk, 'host-b'), { code: 'damaged', message: /host-a.*host-b/ });
});

test('a member whose store is gone does not go on as if it had promised nothing', async () => {
  await assert.rejects(claimStore(new MemoryDisk(), true), { code: 'damaged', message: /infinit node rm/ });
});

test('a member whose passport is gone does not go on as if it were alone', async () => {
  const disk = new MemoryDisk();
  await checkPassport(disk, undefined);
  await rememberCluster(disk, 'a-cluster');
  await checkPassport(disk, 'a-cluster');
  await assert.rejects(checkPassport(disk, undefined), { code: 'damaged', message: /a-cluster.*--token/ });
});
