import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryDisk } from '../../src/disk/index.ts';
import { nodeKinds } from '../../src/node/kinds.ts';
import { StoreSpace } from '../../src/node/store-space.ts';
import { Cluster } from '../overlay/fixture.ts';
import { eventually } from '../suites/transport-suite.ts';

const mebibyte = 1024 * 1024;

test('room is what the hosts have that may and do store, on those that do not, too', async () => {
  await using cluster = await Cluster.inMemory();
  const a = await cluster.first();
  const mayNot = await cluster.join('b', a, { tokenFile: await cluster.tokenFile(a, { rights: ['write'] }) });
  const doesNot = await cluster.join('c', a, { capacity: 0 });
  await eventually(() => [a, mayNot, doesNot].every((host) => host.transport.connected().length === 2), 'all are connected');
  await using own = new MemoryDisk({ capacityBytes: 10 * mebibyte });
  await using other = new MemoryDisk({ capacityBytes: 100 * mebibyte });
  using spaceOfA = new StoreSpace(own, a, () => 1);
  for (const host of [mayNot, doesNot]) {
    using space = new StoreSpace(other, host, () => 1);
    await space.look();
    assert.equal(new Float64Array(space.freeBytes)[0], own.status().freeBytes);
  }
  await spaceOfA.look();
  assert.equal(new Float64Array(spaceOfA.freeBytes)[0], own.status().freeBytes);
});

test('there is no more room than for a majority of copies, however much one host has', async () => {
  await using cluster = await Cluster.inMemory();
  const a = await cluster.first();
  const others = [await cluster.join('b', a), await cluster.join('c', a)];
  await eventually(() => a.transport.connected().length === 2 && a.members().length === 3, 'all are connected');
  await using large = new MemoryDisk({ capacityBytes: 1000 * mebibyte });
  await using small = new MemoryDisk({ capacityBytes: 10 * mebibyte });
  const spaces = others.map((host) => new StoreSpace(small, host, () => 3));
  using space = new StoreSpace(large, a, () => 3);
  await space.look();
  // Of each block one copy is on the large host, and one on either of the small ones.
  assert.equal(new Float64Array(space.freeBytes)[0], 2 * small.status().freeBytes);
  assert.ok(space.hasRoom);
  for (const each of spaces) await each.look();
  assert.ok(
    spaces.every(({ hasRoom }) => !hasRoom),
    'others have much more',
  );
  const full = small.status().freeBytes;
  await small.write([{ type: 'put-meta', key: 'filler', bytes: new Uint8Array(full) }]);
  await space.look();
  assert.equal(new Float64Array(space.freeBytes)[0], 0);
  for (const each of spaces) each[Symbol.dispose]();
});

test('a host that says nonsense counts as one that did not say', async () => {
  await using cluster = await Cluster.inMemory();
  const a = await cluster.first();
  const b = await cluster.join('b', a);
  await eventually(() => a.transport.connected().length === 1 && a.members().length === 2, 'both are connected');
  await using disk = new MemoryDisk({ capacityBytes: 10 * mebibyte });
  using space = new StoreSpace(disk, a, () => 2);
  let says = 0;
  b.transport.handle(nodeKinds.space, () => {
    const answer = Buffer.alloc(8);
    answer.writeDoubleLE(says);
    return answer;
  });
  await space.look();
  assert.equal(new Float64Array(space.freeBytes)[0], 0);
  for (says of [NaN, -1, Infinity, -Infinity, Number.MAX_VALUE]) {
    await space.look();
    assert.equal(new Float64Array(space.freeBytes)[0], disk.status().freeBytes, `${says}`);
  }
});
