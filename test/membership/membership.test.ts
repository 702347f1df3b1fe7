import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress, namedAddress } from '../../src/block/index.ts';
import { Hosts, until } from './hosts.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('hosts that come later become storing members, all that wait in one view, and the old blocks follow', async () => {
  await using cluster = new Hosts();
  const first = await cluster.found('h0');
  const addresses = Array.from({ length: 20 }, () => mutableAddress());
  for (const address of addresses) {
    const { done } = await first.store.commit([{ update: [{ address, expect: 'absent', payload: bytes(address) }] }]);
    assert.ok(done);
  }
  const others = [await cluster.start('h1'), await cluster.start('h2')];
  await cluster.settled(3);
  assert.deepEqual(first.membership.status().views, [2]);
  for (const { store } of others)
    for (const address of addresses) assert.equal(Buffer.from((await store.fetch(address))!.payload).toString(), address);
  await first.stop();
  for (const address of addresses) assert.equal((await others[0]!.store.fetch(address))!.version, 1);
});

test('all hosts that know a view know the same', async () => {
  const { cluster, hosts } = await Hosts.of(7);
  await using _ = cluster;
  const ids = new Set(hosts.map(({ membership }) => membership.inForce()[0]!.roster.id));
  assert.equal(ids.size, 1);
  const address = namedAddress('owner', 'name');
  const results = await Promise.all(
    hosts.map(({ self, store }) => store.commit([{ update: [{ address, expect: 'absent', payload: bytes(self) }] }])),
  );
  assert.equal(results.filter(({ done }) => done).length, 1);
  await until(() => true);
});
