import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { immutableAddress, mutableAddress, namedAddress } from '../../src/block/index.ts';
import { type Disk, MemoryDisk } from '../../src/disk/index.ts';
import { type CommitResult, Store } from '../../src/store/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sealed = (text: string) => ({ address: immutableAddress(bytes(text)), sealed: bytes(text) });

function openStore(disk: Disk, incarnation = 1): Promise<Store> {
  return Store.open({ self: 'host-a', incarnation, disk, logger: silentLogger });
}

function firstOutcome(result: CommitResult) {
  assert.equal(result.done, false);
  return result.outcomes[0]!;
}

test('a block that was never written is absent, one that was is found, also by the next process', async () => {
  const disk = new MemoryDisk();
  const address = mutableAddress();
  const store = await openStore(disk);
  assert.equal(await store.fetch(address), undefined);
  const result = await store.commit([{ update: [{ address, expect: 'absent', payload: bytes('one') }] }]);
  assert.deepEqual(result, { done: true, versions: [[1]], released: true });
  const next = await openStore(disk, 2);
  assert.deepEqual(await next.fetch(address), { version: 1, payload: bytes('one') });
});

test('of two creations of one name one wins, and the other learns the value', async () => {
  const store = await openStore(new MemoryDisk());
  const address = namedAddress('volume', 'x');
  const results = await Promise.all(['a', 'b'].map((text) => store.commit([{ update: [{ address, expect: 'absent', payload: bytes(text) }] }])));
  assert.deepEqual(results[0], { done: true, versions: [[1]], released: true });
  assert.deepEqual(firstOutcome(results[1]!), { status: 'conflict', current: { version: 1, payload: bytes('a') } });
});

test('a stage after one that did not commit is not begun', async () => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  const [first, second] = [mutableAddress(), mutableAddress()];
  const late = sealed('late');
  const result = await store.commit([
    { update: [{ address: first, expect: 3, payload: bytes('x') }] },
    { put: [late], update: [{ address: second, expect: 'absent', payload: bytes('y') }] },
  ]);
  assert.equal(result.done, false);
  assert.equal(result.stage, 0);
  assert.equal(await store.fetch(second), undefined);
  await assert.rejects(store.get(late.address), { code: 'not-found' });
});

test('versions go on over removal and return', async () => {
  const store = await openStore(new MemoryDisk());
  const address = mutableAddress();
  await store.commit([{ update: [{ address, expect: 'absent', payload: bytes('1') }] }]);
  await store.commit([{ update: [{ address, expect: 1, payload: null }] }]);
  assert.equal(await store.fetch(address), undefined);
  assert.deepEqual(firstOutcome(await store.commit([{ update: [{ address, expect: 1, payload: bytes('stale') }] }])), {
    status: 'conflict',
    current: undefined,
  });
  assert.deepEqual(await store.commit([{ update: [{ address, expect: 'absent', payload: bytes('3') }] }]), {
    done: true,
    versions: [[3]],
    released: true,
  });
});

test('a thousand increments from many callers lose none', async () => {
  const store = await openStore(new MemoryDisk());
  const address = mutableAddress();
  const increment = async (): Promise<void> => {
    for (;;) {
      const current = await store.fetch(address);
      const value = current === undefined ? 1 : Number(Buffer.from(current.payload).toString()) + 1;
      const result = await store.commit([{ update: [{ address, expect: current?.version ?? 'absent', payload: bytes(String(value)) }] }]);
      if (result.done) return;
    }
  };
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (let round = 0; round < 50; round++) await increment();
    }),
  );
  assert.deepEqual(await store.fetch(address), { version: 1000, payload: bytes('1000') });
});

test('dropped blocks are gone', async () => {
  const store = await openStore(new MemoryDisk());
  const block = sealed('data');
  await store.commit([{ put: [block] }]);
  assert.deepEqual(await store.get(block.address), bytes('data'));
  await store.commit([{ drop: [block.address] }]);
  await assert.rejects(store.get(block.address), { code: 'not-found' });
});

/** A disk whose writes fail from some moment on, without saying so beforehand. */
function failing(disk: Disk): { disk: Disk; fail: (error: InfinitError | undefined) => void } {
  let failure: InfinitError | undefined;
  const wrapped = new Proxy(disk, {
    get(target, property) {
      if (property === 'write' && failure !== undefined) return () => Promise.reject(failure);
      const value: unknown = Reflect.get(target, property);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { disk: wrapped, fail: (error) => (failure = error) };
}

test('after a failed write the outcome is unknown, nothing unsaved is shown, and the next good write heals it', async () => {
  const { disk, fail } = failing(new MemoryDisk());
  const store = await openStore(disk);
  const address = mutableAddress();
  await store.commit([{ update: [{ address, expect: 'absent', payload: bytes('1') }] }]);
  fail(new InfinitError('disk-full', 'no room'));
  const outcome = firstOutcome(await store.commit([{ update: [{ address, expect: 1, payload: bytes('2') }] }]));
  assert.equal(outcome.status, 'unknown');
  assert.equal(outcome.code, 'disk-full');
  await assert.rejects(store.fetch(address), { code: 'disk-full' });
  fail(undefined);
  const current = await store.fetch(address);
  assert.ok(current !== undefined && [1, 2].includes(current.version));
  const again = await openStore(disk, 2);
  assert.deepEqual(await again.fetch(address), current);
});

test('an erasure that the disk refused is not said to have changed nothing', async () => {
  const { disk, fail } = failing(new MemoryDisk());
  const store = await openStore(disk);
  const block = sealed('data');
  await store.commit([{ put: [block] }]);
  fail(new InfinitError('disk-failed', 'an error in the middle'));
  await assert.rejects(store.commit([{ erase: [block.address] }]), { code: 'unknown-outcome', message: /an error in the middle/ });
});

test('blocks that are only read do not stay in memory for ever', async () => {
  const store = await openStore(new MemoryDisk());
  const addresses = Array.from({ length: 20_000 }, (_, index) => namedAddress('volume', `block ${index}`));
  for (const address of addresses) assert.equal(await store.fetch(address), undefined);
  // Memory is put in order between turns of the event loop.
  await new Promise(setImmediate);
  const { loads } = store.meter;
  await store.fetch(addresses.at(-1)!);
  assert.equal(store.meter.loads, loads);
  await store.fetch(addresses[0]!);
  assert.equal(store.meter.loads, loads + 1);
});

test('of large blocks that are written a bounded number of bytes stays in memory', async () => {
  const store = await openStore(new MemoryDisk());
  const payload = Buffer.alloc(60_000);
  const addresses = Array.from({ length: 1500 }, () => mutableAddress());
  for (const address of addresses) await store.commit([{ update: [{ address, expect: 'absent', payload }] }]);
  while (store.cached.registers * payload.length > 65 * 2 ** 20) await new Promise(setImmediate);
  assert.ok(store.cached.hints * payload.length <= 65 * 2 ** 20, `${store.cached.hints} hints`);
  const again = await store.commit([{ update: [{ address: addresses[0]!, expect: 1, payload }] }]);
  assert.ok(again.done);
});

test('of blocks that were removed nothing stays in memory', async () => {
  const store = await openStore(new MemoryDisk());
  const addresses = Array.from({ length: 500 }, () => mutableAddress());
  await store.commit([{ update: addresses.map((address) => ({ address, expect: 'absent', payload: bytes('x') })) }]);
  assert.deepEqual(store.cached, { registers: 500, hints: 500 });
  await store.commit([{ update: addresses.map((address) => ({ address, expect: 1, payload: null })) }]);
  // Whoever asks at this moment is not disturbed.
  assert.deepEqual(await Promise.all(addresses.slice(0, 10).map((address) => store.fetch(address))), Array(10).fill(undefined));
  while (store.cached.registers > 0) await new Promise(setImmediate);
  assert.equal(store.cached.hints, 0);
  const again = await store.commit([{ update: [{ address: addresses[7]!, expect: 'absent', payload: bytes('y') }] }]);
  assert.ok(again.done);
  assert.equal((await store.fetch(addresses[7]!))!.payload.length, 1);
});

test('a damaged register fails its own update, and what the same commit decided before it is on the disk', async () => {
  const disk = new MemoryDisk();
  const [good, bad] = [mutableAddress(), mutableAddress()];
  const block = sealed('put before');
  const before = await openStore(disk);
  for (const address of [good, bad]) await before.commit([{ update: [{ address, expect: 'absent', payload: bytes('1') }] }]);
  disk.damage(bad);
  const store = await openStore(disk, 2);
  const commit = (expect: number) =>
    store.commit([
      { put: [block], update: [{ address: good, expect, payload: bytes('2') }] },
      { update: [{ address: bad, expect: 'any', payload: bytes('2') }] },
    ]);
  const result = await commit(1);
  assert.equal(result.done ? undefined : result.stage, 1);
  const { status, code } = firstOutcome(result) as { status: string; code: string };
  assert.deepEqual({ status, code }, { status: 'failed', code: 'unavailable' });
  assert.equal((await store.fetch(good))!.version, 2);
  await assert.rejects(store.fetch(bad), { code: 'unavailable' });
  const next = await openStore(disk, 3);
  assert.equal((await next.fetch(good))!.version, 2);
  assert.deepEqual(await next.get(block.address), block.sealed);
  await assert.rejects(next.fetch(bad), { code: 'unavailable' });
});

test('a commit that breaks off in the middle leaves on the disk what others may have seen of it', async () => {
  const disk = new MemoryDisk();
  const store = await openStore(disk);
  const [good, broken] = [mutableAddress(), mutableAddress()];
  const owner = bytes('sixteen bytes it');
  const commit = store.commit([
    { update: [{ address: good, expect: 'absent', payload: bytes('1') }] },
    { update: [{ address: broken, expect: 'absent', payload: new Uint8Array(0), owner }] },
  ]);
  await assert.rejects(commit);
  assert.equal((await store.fetch(good))!.version, 1);
  assert.equal((await (await openStore(disk, 2)).fetch(good))!.version, 1);
});
