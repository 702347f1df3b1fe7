import assert from 'node:assert/strict';
import { test } from 'node:test';

import { immutableAddress, mutableAddress } from '../../src/block/index.ts';
import { ClientsElsewhere } from '../../src/store/clients-elsewhere.ts';
import { place } from '../../src/placement/index.ts';
import { TestCluster } from '../repair/test-cluster.ts';

const text = (string: string): Uint8Array => Buffer.from(string);

test('clients of other hosts are at work for a while after what was done for them', () => {
  let now = 0;
  const clients = new ClientsElsewhere(() => now);
  assert.equal(clients.atWork, false);
  clients.note();
  now += 249;
  assert.equal(clients.atWork, true);
  now += 1;
  assert.equal(clients.atWork, false);
});

test('a host that stores what clients of others write again and read knows that these are at work; of repair alone nobody thinks so', async () => {
  const names = ['a', 'b', 'c'];
  await using cluster = await TestCluster.of(names, 3, { checkIntervalMs: 1e9 });
  const { store } = cluster.host('a');
  const others = (): boolean[] => ['b', 'c'].map((name) => cluster.host(name).store.housekeeping.hasClients);
  /** Whether one of the others says soon that there are clients: a busy machine may look too late. */
  const seen = async (call: () => Promise<unknown>): Promise<boolean> => {
    for (let tries = 0; tries < 20; tries++) {
      await call();
      for (let look = 0; look < 10; look++) {
        if (others().includes(true)) return true;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    return false;
  };
  const calm = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 300));

  const addresses = Array.from({ length: 40 }, () => mutableAddress());
  for (const address of addresses) await store.commit([{ update: [{ address, expect: 'absent', payload: text('1') }] }]);
  await calm();
  assert.deepEqual(others(), [false, false]);

  assert.equal(await seen(() => store.commit([{ update: [{ address: addresses[0]!, expect: 'any', payload: text('2') }] }])), true);
  await calm();
  assert.equal(await seen(() => store.fetch(addresses[0]!)), true);
  await calm();
  const sealed = text('immutable');
  assert.equal(await seen(() => store.commit([{ put: [{ address: immutableAddress(sealed), sealed }] }])), true);
  await calm();

  // Blocks move to a fourth host and away from others, all are compared and settled.
  const heard = new Set<string>();
  const watch = setInterval(() => {
    for (const [name, host] of cluster.hosts) if (host.store.housekeeping.hasClients) heard.add(name);
  }, 5);
  await cluster.open('d');
  cluster.views.append([...names, 'd']);
  await cluster.settled(addresses);
  clearInterval(watch);
  assert.ok(addresses.some((address) => place(address, cluster.views.list.at(-1)!.roster, 3).includes('d')));
  assert.deepEqual([...heard], []);
});
