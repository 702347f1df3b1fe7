import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type BLinkTree, type Change, type Key, NodeCache } from '../../src/tree/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { bytes, checkShape, listAll, openTree, randomOf } from './support.ts';
import { seeded } from '../suites/seeded.ts';

const keySpace = 400;

/** A batch of random changes, mostly additions or mostly deletions by phases, so that trees grow high and shrink again. */
function randomBatch(random: () => number, growing: boolean): Map<Key, Change> {
  const batch = new Map<Key, Change>();
  for (let left = 1 + Math.floor(random() * 25); left > 0; left--) {
    const key = `key ${Math.floor(random() * keySpace)}`.padEnd(8 + Math.floor(random() * 3) * 10, '.');
    batch.set(key, random() < (growing ? 0.85 : 0.1) ? bytes(`value ${Math.floor(random() * 1e6)}`) : null);
  }
  return batch;
}

function record(model: Map<Key, string>, batch: ReadonlyMap<Key, Change>): void {
  for (const [key, change] of batch) {
    if (change instanceof Uint8Array) model.set(key, Buffer.from(change).toString('latin1'));
    else model.delete(key);
  }
}

test('a tree agrees with a sorted map', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seeded(seed);
    const store = new MemoryBlockStore();
    const tree = openTree(store, { random: randomOf(random), leased: seed % 2 === 0, cache: new NodeCache(16) });
    const model = new Map<Key, string>();
    for (let round = 0; round < 60; round++) {
      const batch = randomBatch(random, round % 40 < 24);
      const result = await tree.apply(batch);
      assert.equal(result.failed.size + result.refused.size, 0);
      record(model, batch);
      if (random() < 0.2) {
        const expected = [...model].toSorted(([a], [b]) => (a < b ? -1 : 1));
        assert.deepEqual([...(await listAll(tree))], expected);
        checkShape(store);
      }
    }
    await tree.settled();
    const shape = checkShape(store);
    assert.deepEqual(new Set(shape.keys()), store.mutableAddresses(), 'no block is lost');
  }
});

test('a crash between any two block writes leaves a right tree with all that was acknowledged', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seeded(seed + 100);
    const store = new MemoryBlockStore({ random });
    const model = new Map<Key, string>();
    for (let life = 0; life < 8; life++) {
      const tree = openTree(store, { random: randomOf(random), leased: random() < 0.5 });
      const open = new Map<Key, string | undefined>();
      store.crashAfter(Math.floor(random() * 40));
      for (let round = 0; !store.crashed; round++) {
        const batch = randomBatch(random, (life + seed) % 5 < 3);
        const result = await tree.apply(batch);
        for (const [key, change] of batch) {
          if (!result.failed.has(key)) record(model, new Map([[key, change]]));
          else if (result.failed.get(key)?.code === 'unknown-outcome')
            open.set(key, change instanceof Uint8Array ? Buffer.from(change).toString('latin1') : undefined);
        }
        if (random() < 0.5) await tree.settled();
      }
      await tree.settled();
      store.restart();
      checkShape(store);
      const found = await listAll(openTree(store, { random: randomOf(random) }));
      for (const [key, value] of open) {
        // Each of these took effect or did not; the model learns which.
        if (found.get(key) === value) record(model, new Map([[key, value === undefined ? null : bytes(value)]]));
      }
      assert.deepEqual(new Map([...found].toSorted()), new Map([...model].toSorted()));
    }
  }
});

test('several instances on one store lose nothing, however their block accesses interleave', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed + 200);
    const waiting: (() => void)[] = [];
    let done = false;
    const store = new MemoryBlockStore({
      random,
      delay: () => (!done && random() < 0.7 ? new Promise<void>((resolve) => waiting.push(resolve)) : undefined),
    });
    const trees = [0, 1, 2].map((i) => openTree(store, { random: randomOf(seeded(seed * 10 + i)), cache: new NodeCache(16 + i * 30) }));
    // Each instance owns every third key, so that the outcome is known; leaves they share.
    const models = trees.map(() => new Map<Key, string>());
    const work = async (tree: BLinkTree, who: number): Promise<void> => {
      for (let round = 0; round < 14; round++) {
        const batch = new Map([...randomBatch(random, round < 8)].map(([key, change]) => [`${key}${who}`, change]));
        const result = await tree.apply(batch);
        assert.equal(result.failed.size, 0);
        record(models[who]!, batch);
        const key = `key ${Math.floor(random() * keySpace)}${who}`;
        const value = await tree.get(key);
        assert.equal(value === undefined ? undefined : Buffer.from(value).toString('latin1'), models[who]!.get(key));
        if (round % 5 === 4) await checkOwn(tree, who, models[who]!);
      }
    };
    const all = Promise.all(trees.map((tree, who) => work(tree, who)));
    const settled = all.then(() => Promise.all(trees.map((tree) => tree.settled())));
    void settled.finally(() => (done = true)).catch(() => {});
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      if (waiting.length > 0) waiting.splice(Math.floor(random() * waiting.length), 1)[0]!();
    }
    await settled;
    const listing = await listAll(openTree(store));
    assert.deepEqual(new Map([...listing].toSorted()), new Map(models.flatMap((model) => [...model]).toSorted()));
    checkShape(store);
  }
});

/** A scan while others write shows an instance's own entries exactly. */
async function checkOwn(tree: BLinkTree, who: number, model: ReadonlyMap<Key, string>): Promise<void> {
  const own = [...(await listAll(tree))].filter(([key]) => key.endsWith(String(who)));
  assert.deepEqual(new Map(own), new Map([...model].toSorted(([a], [b]) => (a < b ? -1 : 1))));
}

test('under failures and unknown outcomes each key has a value that the answers allow', async () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed + 300);
    let trouble = true;
    const fate = () => (!trouble || random() < 0.85 ? 'normal' : (['failed', 'unknown-lost', 'unknown-applied'] as const)[Math.floor(random() * 3)]!);
    const store = new MemoryBlockStore({ random, fate });
    const trees = [0, 1].map((i) => openTree(store, { random: randomOf(seeded(seed * 10 + i)) }));
    const possible = new Map<Key, Set<string | undefined>>();
    for (let round = 0; round < 60; round++) {
      const batch = randomBatch(random, round % 40 < 24);
      const result = await trees[round % 2]!.apply(batch);
      for (const [key, change] of batch) {
        const value = change instanceof Uint8Array ? Buffer.from(change).toString('latin1') : undefined;
        const code = result.failed.get(key)?.code;
        if (code === undefined) possible.set(key, new Set([value]));
        else if (code === 'unknown-outcome') possible.set(key, new Set([...(possible.get(key) ?? [undefined]), value]));
        else assert.equal(code, 'unavailable');
      }
      if (random() < 0.5) await trees[round % 2]!.settled();
    }
    trouble = false;
    for (const tree of trees) await tree.settled();
    checkShape(store);
    const found = await listAll(openTree(store));
    for (const [key, values] of possible) assert.ok(values.has(found.get(key)), `${key} is ${found.get(key)}`);
    for (const key of found.keys()) assert.ok(possible.has(key));
  }
});
