import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { type Change, ifAbsent, ifPresent, type Key, NodeCache } from '../../src/tree/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, checkShape, listAll, openTree, rootAddress } from './support.ts';
import { seeded } from '../suites/seeded.ts';

function numbered(count: number, prefix = 'k'): Map<Key, Change> {
  return new Map(Array.from({ length: count }, (_, i) => [`${prefix}${String(i).padStart(6, '0')}`, bytes(`value ${i}`)]));
}

test('an empty tree costs no block and answers', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store);
  assert.equal(await tree.get('a'), undefined);
  assert.deepEqual(await tree.scan(undefined, 10), { entries: [], done: true });
  assert.equal(store.mutableAddresses().size, 0);
});

test('what was applied is there for another instance', async () => {
  const store = new MemoryBlockStore();
  const result = await openTree(store).apply(numbered(2000));
  assert.equal(result.failed.size + result.refused.size, 0);
  const other = openTree(store);
  assert.deepEqual(await other.get('k001234'), bytes('value 1234'));
  assert.equal(await other.get('k002000'), undefined);
  const all = await listAll(other, 100);
  assert.equal(all.size, 2000);
  checkShape(store);
});

test('a small tree is a single block', async () => {
  const store = new MemoryBlockStore();
  await openTree(store).apply(numbered(10));
  assert.deepEqual([...store.mutableAddresses()], [rootAddress]);
});

test('a thousand new entries are few block writes', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store, { nodeBytes: 8192 });
  await tree.apply(numbered(1000));
  await tree.settled();
  assert.ok(store.writes < 20, `${store.writes} block writes`);
});

test('calls of one tick share their leaf writes', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store, { nodeBytes: 8192 });
  await Promise.all([...numbered(50)].map(([key, value]) => tree.apply(new Map([[key, value]]))));
  assert.equal(store.writes, 1);
});

test('a condition that does not hold refuses the change and tells the current value', async () => {
  const tree = openTree(new MemoryBlockStore());
  const put = (key: Key, text: string, condition = ifAbsent) => tree.apply(new Map([[key, { value: bytes(text), condition }]]));
  assert.equal((await put('a', '1')).refused.size, 0);
  assert.deepEqual([...(await put('a', '2')).refused], [['a', bytes('1')]]);
  assert.deepEqual([...(await put('b', '1', ifPresent)).refused], [['b', undefined]]);
  assert.equal((await put('a', '3', ifPresent)).refused.size, 0);
  assert.deepEqual(await tree.get('a'), bytes('3'));
});

test('of two instances that create the same key, exactly one succeeds', async () => {
  const store = new MemoryBlockStore({ delay: () => Promise.resolve() });
  const [a, b] = [openTree(store), openTree(store)];
  const create = new Map([['key', { value: bytes('mine'), condition: ifAbsent }]]);
  const results = await Promise.all([a.apply(create), b.apply(create)]);
  assert.equal(results.filter((result) => result.refused.size === 1).length, 1);
});

test('a refusal by a stale cache is checked against the store', async () => {
  const store = new MemoryBlockStore();
  const [a, b] = [openTree(store), openTree(store)];
  await a.apply(new Map([['key', bytes('1')]]));
  await b.apply(new Map([['key', null]]));
  const result = await a.apply(new Map([['key', { value: bytes('2'), condition: ifAbsent }]]));
  assert.equal(result.refused.size, 0);
});

test('functions compute a value from the current one, without loss under contention', async () => {
  const random = seeded(5);
  const store = new MemoryBlockStore({ delay: () => (random() < 0.5 ? Promise.resolve() : undefined) });
  const increment: Change = { value: (now) => Uint8Array.of((now?.[0] ?? 0) + 1) };
  const trees = [openTree(store), openTree(store), openTree(store)];
  await Promise.all(Array.from({ length: 90 }, (_, i) => trees[i % 3]!.apply(new Map([['n', increment]]))));
  assert.deepEqual(await trees[0]!.get('n'), Uint8Array.of(90));
});

test('while leased, what is cached is answered without a promise and without the store', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store, { leased: true });
  await tree.apply(numbered(300));
  const before = store.counts.fetches;
  assert.deepEqual(tree.get('k000100'), bytes('value 100'));
  assert.deepEqual(tree.getCached('nothing'), { hit: true, value: undefined });
  const page = tree.scanCached('k000100', 5);
  assert.deepEqual(
    page?.entries.map((entry) => entry.key),
    ['k000101', 'k000102', 'k000103', 'k000104', 'k000105'],
  );
  assert.equal(store.counts.fetches, before);
});

test('after a lost lease nothing is answered from the cache', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store, { leased: true });
  await tree.apply(new Map([['a', bytes('1')]]));
  tree.invalidate();
  await openTree(store).apply(new Map([['a', bytes('2')]]));
  assert.equal(tree.getCached('a'), undefined);
  tree.leased = true;
  assert.equal(tree.getCached('a'), undefined);
  assert.deepEqual(await tree.get('a'), bytes('2'));
  assert.deepEqual(tree.getCached('a')?.value, bytes('2'));
});

test('a tree that is emptied shrinks to its root', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store);
  await tree.apply(numbered(3000));
  await tree.settled();
  const high = store.mutableAddresses().size;
  assert.ok(high > 100);
  const keys = [...numbered(3000).keys()];
  for (let i = 0; i < keys.length; i += 100) await tree.apply(new Map(keys.slice(i, i + 100).map((key) => [key, null])));
  await tree.settled();
  checkShape(store);
  assert.deepEqual([...store.mutableAddresses()], [rootAddress]);
});

test('a tree that is thinned out keeps its nodes filled', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store);
  await tree.apply(numbered(3000));
  await tree.settled();
  const high = store.mutableAddresses().size;
  const random = seeded(1);
  const keys = [...numbered(3000).keys()].filter((_, i) => i % 20 !== 0).sort(() => random() - 0.5);
  for (const key of keys) await tree.apply(new Map([[key, null]]));
  await tree.settled();
  assert.equal((await listAll(tree)).size, 150);
  const nodes = checkShape(store);
  assert.equal(nodes.size, store.mutableAddresses().size, 'no node is lost');
  assert.ok(nodes.size < high / 4, `${nodes.size} of ${high} nodes`);
});

test('a stale reader finds its way after merges removed the nodes it knew', async () => {
  const store = new MemoryBlockStore();
  const [writer, reader] = [openTree(store), openTree(store, { cache: new NodeCache(1000) })];
  await writer.apply(numbered(2000));
  await writer.settled();
  assert.equal((await listAll(reader)).size, 2000);
  await writer.apply(new Map([...numbered(2000).keys()].map((key, i) => [key, i % 100 === 0 ? bytes('kept') : null])));
  await writer.settled();
  for (let i = 0; i < 2000; i += 50) {
    const key = `k${String(i).padStart(6, '0')}`;
    assert.deepEqual(await reader.get(key), i % 100 === 0 ? bytes('kept') : undefined);
  }
  assert.equal((await listAll(reader)).size, 20);
});

test('removeIfEmpty removes an empty tree only', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store);
  await tree.apply(numbered(500));
  assert.equal(await tree.removeIfEmpty(), false);
  await openTree(store).apply(new Map([...numbered(500).keys()].map((key) => [key, null])));
  assert.equal(await tree.removeIfEmpty(), true);
  assert.equal(store.mutableAddresses().size, 0);
});

test('a tree whose root must exist is not made by a write', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store, { missingRoot: 'fail' });
  const result = await tree.apply(new Map([['a', bytes('1')]]));
  assert.equal(result.failed.get('a')?.code, 'not-found');
  await assert.rejects(async () => tree.get('a'), { code: 'not-found' });
});

test('destroy removes every block and shows every entry once', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store);
  await tree.apply(numbered(1000));
  const seen: Key[] = [];
  await tree.destroy((entries) => void seen.push(...entries.map((entry) => entry.key)));
  assert.equal(store.mutableAddresses().size, 0);
  assert.deepEqual(seen.sort(), [...numbered(1000).keys()]);
});

test('keys and values out of bounds are refused before anything is changed', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store);
  const bad: [Key, Change, string][] = [
    ['', bytes('x'), 'bad-argument'],
    ['x'.repeat(1025), bytes('x'), 'too-large'],
    ['\u20ac', bytes('x'), 'bad-argument'],
    ['x', new Uint8Array(16 * 1024 + 1), 'too-large'],
  ];
  for (const [key, change, code] of bad) await assert.rejects(tree.apply(new Map([[key, change]])), { code });
  assert.equal(store.writes, 0);
});

test('the largest keys and values fit', async () => {
  const store = new MemoryBlockStore();
  const tree = openTree(store, { nodeBytes: 32 * 1024 });
  const big = new Map<Key, Change>(
    Array.from({ length: 100 }, (_, i) => [String.fromCharCode(i + 1) + '\xff'.repeat(1023), new Uint8Array(16 * 1024).fill(i)]),
  );
  const result = await tree.apply(big);
  assert.equal(result.failed.size, 0);
  await tree.settled();
  checkShape(store);
  assert.equal((await listAll(openTree(store))).size, 100);
});

test('failures of the store are told by key: what is not known is unknown-outcome', async () => {
  for (const [fate, code] of [
    ['failed', 'unavailable'],
    ['unknown-lost', 'unknown-outcome'],
    ['unknown-applied', 'unknown-outcome'],
  ] as const) {
    let inject = false;
    const store = new MemoryBlockStore({ fate: () => (inject ? fate : 'normal') });
    const tree = openTree(store, { leased: true });
    await tree.apply(new Map([['a', bytes('1')]]));
    inject = true;
    const result = await tree.apply(new Map([['a', bytes('2')]]));
    assert.equal(result.failed.get('a')?.code, code);
    assert.ok(result.failed.get('a') instanceof InfinitError);
    inject = false;
    assert.deepEqual(await tree.get('a'), bytes(fate === 'unknown-applied' ? '2' : '1'));
  }
});

test('a failed split changes nothing and leaves no block behind', async () => {
  let left = Infinity;
  const store = new MemoryBlockStore({ fate: () => (left-- > 0 ? 'normal' : 'failed') });
  const tree = openTree(store);
  await tree.apply(numbered(100));
  await tree.settled();
  const before = store.mutableAddresses();
  left = 2;
  const result = await tree.apply(numbered(20, 'k000050'));
  assert.equal(result.failed.size, 20);
  left = Infinity;
  await tree.settled();
  assert.deepEqual(store.mutableAddresses(), before);
  checkShape(store);
});

test('a batch over far more leaves than the cache holds goes through', async () => {
  const store = new MemoryBlockStore({ delay: () => Promise.resolve() });
  const cache = new NodeCache(16);
  await openTree(store, { cache }).apply(numbered(4000));
  const tree = openTree(store, { cache, leased: true });
  const result = await tree.apply(new Map([...numbered(4000).keys()].map((key) => [key, bytes('new')])));
  assert.equal(result.failed.size, 0);
  assert.ok(cache.size <= 16);
  assert.deepEqual(new Set((await listAll(openTree(store), 500)).values()), new Set(['new']));
});

test('changes of one key in one tick are made in order', async () => {
  const tree = openTree(new MemoryBlockStore());
  await Promise.all(['1', '2', '3'].map((text) => tree.apply(new Map([['a', bytes(text)]]))));
  assert.deepEqual(await tree.get('a'), bytes('3'));
});
