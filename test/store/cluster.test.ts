import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { immutableAddress, mutableAddress, namedAddress } from '../../src/block/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { MemoryNetwork } from '../../src/overlay/index.ts';
import { place, Roster } from '../../src/placement/index.ts';
import { Store } from '../../src/store/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sealed = (text: string) => ({ address: immutableAddress(bytes(text)), sealed: bytes(text) });

/** Stores on a network in memory, all with the same roster. */
function cluster(hosts: number, replicas = 3, logger = silentLogger) {
  const network = new MemoryNetwork();
  const names = Array.from({ length: hosts }, (_, index) => `host-${index}`);
  const roster = Roster.of(names.map((peer) => ({ peer, zone: 'z', capacity: 1 })));
  return Promise.all(
    names.map(async (self) => {
      const transport = network.open(self);
      const disk = new MemoryDisk();
      const placement = {
        alone: hosts === 1,
        replicas,
        rank: (address: Parameters<typeof place>[0]) => place(address, roster, hosts),
        views: (address: Parameters<typeof place>[0]) => [{ number: 0, replicas: place(address, roster, replicas) }],
      };
      const store = await Store.open({ self, incarnation: 1, disk, logger, cluster: { transport, placement } });
      return { self, transport, disk, store };
    }),
  );
}

test('what one host wrote every host reads, mutable and immutable', async () => {
  const hosts = await cluster(5);
  const block = sealed('data');
  const address = mutableAddress();
  const result = await hosts[0]!.store.commit([{ put: [block] }, { update: [{ address, expect: 'absent', payload: bytes('one') }] }]);
  assert.deepEqual(result, { done: true, versions: [[], [1]] });
  for (const { store } of hosts) {
    assert.equal(Buffer.from(await store.get(block.address)).toString(), 'data');
    assert.equal(Buffer.from((await store.fetch(address))!.payload).toString(), 'one');
  }
  const copies = await Promise.all(hosts.map(({ disk }) => disk.has(block.address)));
  assert.equal(copies.filter(Boolean).length, 3);
});

test('of five hosts that create one name one wins', async () => {
  const hosts = await cluster(5);
  const address = namedAddress('catalogue', 'data');
  const results = await Promise.all(
    hosts.map(({ self, store }) => store.commit([{ update: [{ address, expect: 'absent', payload: bytes(self) }] }])),
  );
  assert.equal(results.filter((result) => result.done).length, 1);
  const values = await Promise.all(hosts.map(async ({ store }) => Buffer.from((await store.fetch(address))!.payload).toString()));
  assert.equal(new Set(values).size, 1);
});

test('entries added by all hosts at once are all there, those of unknown outcomes after a second try', async () => {
  const hosts = await cluster(3);
  const address = mutableAddress();
  const add = async (store: Store, entry: string): Promise<void> => {
    for (;;) {
      const current = await store.fetch(address);
      const entries = current === undefined ? [] : Buffer.from(current.payload).toString().split(',');
      if (entries.includes(entry)) return;
      const payload = bytes([...entries, entry].join(','));
      const result = await store.commit([{ update: [{ address, expect: current?.version ?? 'absent', payload }] }]);
      if (result.done) return;
      assert.ok(['conflict', 'unknown'].includes(result.outcomes[0]!.status));
    }
  };
  await Promise.all(
    hosts.map(async ({ self, store }) => {
      for (let round = 0; round < 20; round++) await add(store, `${self}/${round}`);
    }),
  );
  for (const { store } of hosts) {
    const entries = Buffer.from((await store.fetch(address))!.payload)
      .toString()
      .split(',');
    assert.equal(entries.length, 60);
    assert.equal(new Set(entries).size, 60);
  }
});

test('hosts that write one block in turn each take two rounds, and know how their writes ended', async () => {
  const hosts = await cluster(3);
  const address = mutableAddress();
  const write = async ({ store }: (typeof hosts)[number], payload: string): Promise<void> => {
    const result = await store.commit([{ update: [{ address, expect: 'any', payload: bytes(payload) }] }]);
    assert.deepEqual(result, { done: true, versions: [[++version]] });
    // What was spared the third host for a while has reached it.
    await new Promise((resolve) => setTimeout(resolve, 30));
  };
  let version = 0;
  for (const host of hosts) await write(host, 'first');
  const rounds = (): number => hosts.reduce((sum, { store }) => sum + store.meter.rounds, 0);
  const before = rounds();
  for (let turn = 0; turn < 9; turn++) await write(hosts[turn % 3]!, `turn ${turn}`);
  assert.equal(rounds() - before, 18);
});

test('a block that is fresh takes one round, and a second attempt at it finds what the first came to', async () => {
  const hosts = await cluster(3);
  const address = mutableAddress();
  const { store } = hosts[0]!;
  const before = store.meter.rounds;
  const update = { address, expect: 'absent', payload: bytes('one') } as const;
  const result = await store.commit([{ update: [{ ...update, fresh: true }] }]);
  assert.ok(result.done);
  assert.equal(store.meter.rounds - before, 1);
  const again = await hosts[1]!.store.commit([{ update: [update] }]);
  assert.ok(!again.done && again.outcomes[0]!.status === 'conflict');
});

test('a block whose copies are all out of reach is unavailable; one that no host has is not found', async () => {
  const hosts = await cluster(5);
  const block = sealed('data');
  await hosts[0]!.store.commit([{ put: [block] }]);
  const here = await Promise.all(hosts.map(({ disk }) => disk.has(block.address)));
  const [reader] = hosts.filter((_, index) => !here[index]);
  await assert.rejects(reader!.store.get(sealed('nobody wrote this').address), { code: 'not-found' });
  for (const [index, { transport }] of hosts.entries()) if (here[index]) await transport[Symbol.asyncDispose]();
  await assert.rejects(reader!.store.get(block.address, { deadlineMs: 1000 }), { code: 'unavailable' });
});

test('with one of three hosts gone all goes on; with two gone a write says unavailable and a read too', async () => {
  const hosts = await cluster(3);
  const address = mutableAddress();
  const write = (expect: number | 'absent', deadlineMs: number) =>
    hosts[0]!.store.commit([{ put: [sealed(`data ${expect}`)] }, { update: [{ address, expect, payload: bytes('x') }] }], { deadlineMs });
  assert.equal((await write('absent', 5000)).done, true);
  await hosts[2]!.transport[Symbol.asyncDispose]();
  assert.equal((await write(1, 5000)).done, true);
  assert.equal((await hosts[1]!.store.fetch(address))!.version, 2);
  await hosts[1]!.transport[Symbol.asyncDispose]();
  await assert.rejects(write(2, 300), { code: 'unavailable' });
  await assert.rejects(hosts[0]!.store.fetch(address, { deadlineMs: 300 }), { code: 'unavailable' });
});

test('a commit begins no further stage where it is not to proceed', async () => {
  const [host] = await cluster(3);
  const [first, second] = [mutableAddress(), mutableAddress()];
  let asked = 0;
  const stages = [first, second].map((address) => ({ update: [{ address, expect: 'absent' as const, payload: bytes('x') }] }));
  await assert.rejects(host!.store.commit(stages, { proceed: () => ++asked < 2 }), { code: 'unknown-outcome' });
  assert.ok((await host!.store.fetch(first)) !== undefined);
  assert.equal(await host!.store.fetch(second), undefined);
  await assert.rejects(host!.store.commit(stages, { proceed: () => false }), { code: 'cancelled' });
  await assert.rejects(host!.store.commit(stages, { proceed: () => Promise.resolve(false) }), { code: 'cancelled' });
});

test('what fails after a stage that committed does not say that nothing was changed', async () => {
  const hosts = await cluster(3);
  const [first] = hosts;
  const [one, two] = [mutableAddress(), mutableAddress()];
  const block = sealed('to go');
  await first!.store.commit([{ put: [block] }]);
  const create = (address: typeof one) => ({ update: [{ address, expect: 'absent', payload: bytes('1') }] as const });
  const write = first!.disk.write.bind(first!.disk);
  // Its own disk fails where the copy of a dropped block is to go.
  first!.disk.write = (operations) =>
    operations.some(({ type }) => type === 'delete') ? Promise.reject(new InfinitError('disk-failed', 'a test said so')) : write(operations);
  assert.deepEqual(await first!.store.commit([{ ...create(one), drop: [block.address] }]), { done: true, versions: [[1]] });
  first!.disk.write = write;
  let stage = 0;
  const proceed = async (): Promise<boolean> => {
    if (stage++ === 1) for (const { transport } of hosts.slice(1)) await transport[Symbol.asyncDispose]();
    return true;
  };
  const late = first!.store.commit([create(two), { put: [sealed('late')] }], { proceed, deadlineMs: 500 });
  await assert.rejects(late, { code: 'unknown-outcome' });
  // With nothing committed before, a put that fails is what it is.
  await assert.rejects(first!.store.commit([{ put: [sealed('later')] }], { deadlineMs: 300 }), { code: 'unavailable' });
});

test('an update for which there is no room has failed; those beside it say how they ended', { timeout: 300_000 }, async () => {
  const [first] = await cluster(3);
  const update = Array.from({ length: 16_400 }, () => ({ address: mutableAddress(), expect: 'absent' as const, payload: bytes('1') }));
  const result = await first!.store.commit([{ update }], { deadlineMs: 30_000 });
  assert.ok(!result.done);
  assert.equal(result.outcomes.length, update.length);
  const full = result.outcomes.filter((outcome) => outcome.status === 'failed' && outcome.code === 'overloaded');
  assert.equal(full.length, 16);
});

test('a removal is not acknowledged while a host in reach could not delete its copy, whatever the reason', async () => {
  const hosts = await cluster(3);
  const block = sealed('to be removed');
  const erase = { erase: [block.address] };
  await hosts[0]!.store.commit([{ put: [block] }]);
  const { disk } = hosts[2]!;
  const write = disk.write.bind(disk);
  for (const code of ['disk-failed', 'disk-full', 'read-only', 'closed', 'bug'] as const) {
    disk.write = () => Promise.reject(new InfinitError(code, 'the disk of a test'));
    await assert.rejects(hosts[0]!.store.commit([erase]), { code: 'unknown-outcome' }, code);
  }
  disk.write = write;
  await hosts[0]!.store.commit([erase]);
  for (const host of hosts) assert.equal(await host.disk.has(block.address), false);
});

test('of the operations that wait it is known which has for longest, and for whom', { timeout: 300_000 }, async () => {
  const told = Promise.withResolvers<Record<string, unknown>>();
  const logger = {
    ...silentLogger,
    debug: (message: string, more?: object) => void (message.includes('wait for hosts') && told.resolve({ ...more })),
  };
  const hosts = await cluster(3, 3, logger);
  const address = mutableAddress();
  await hosts[0]!.store.commit([{ update: [{ address, expect: 'absent', payload: bytes('x') }] }]);
  for (const { transport } of hosts.slice(1)) await transport[Symbol.asyncDispose]();
  const end = new AbortController();
  const waits = [address, mutableAddress()].map((block) => hosts[0]!.store.fetch(block, { deadlineMs: 60_000, signal: end.signal }));
  const { block, operations, unanswered } = await told.promise;
  assert.deepEqual(
    { block, operations, unanswered: (unanswered as string[]).toSorted() },
    { block: address, operations: 2, unanswered: ['host-1', 'host-2'] },
  );
  end.abort();
  await Promise.all(waits.map((wait) => assert.rejects(wait, { code: 'unavailable' })));
});
