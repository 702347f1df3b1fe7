/** Nodes that all their hosts took along: whoever needs one is told so, and a tree that is mended has all that the others have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Address } from '../../src/block/index.ts';
import type { BLinkTree, Key } from '../../src/tree/index.ts';
import type { TreeNode } from '../../src/tree/node.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';
import { seeded } from '../suites/seeded.ts';
import { bytes, checkShape, listAll, openTree, randomOf, rootAddress } from './support.ts';

interface Grown {
  readonly store: MemoryBlockStore;
  readonly random: () => number;
  readonly model: Map<Key, string>;
  readonly nodes: Map<Address, TreeNode>;
  /** Anew, with nothing in its cache. */
  readonly opened: () => BLinkTree;
}

/** A tree of three levels or more. */
async function grown(seed: number): Promise<Grown> {
  const random = seeded(seed);
  const store = new MemoryBlockStore();
  const opened = (): BLinkTree => openTree(store, { random: randomOf(random), leased: seed % 2 === 0 });
  const tree = opened();
  const model = new Map<Key, string>();
  for (let i = 0; i < 400; i++) model.set(`key ${Math.floor(random() * 1e6)}`.padEnd(20, '.'), `value ${i}`);
  await tree.apply(new Map([...model].map(([key, value]) => [key, bytes(value)])));
  await tree.settled();
  const nodes = checkShape(store);
  assert.ok(nodes.get(rootAddress)!.level >= 2);
  return { store, random, model, nodes, opened };
}

function lose(store: MemoryBlockStore, address: Address, isGivenUp: boolean): void {
  if (isGivenUp) store.giveUp(address);
  else store.lose(address);
}

function sorted(model: ReadonlyMap<Key, string>): [Key, string][] {
  return [...model].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

test('a leaf that is lost is told as that, to who reads and to who writes, and the others go on', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const { store, random, model, nodes, opened } = await grown(seed);
    const leaves = [...nodes].filter(([, { level }]) => level === 0);
    const [address, leaf] = leaves[Math.floor(random() * leaves.length)]!;
    lose(store, address, false);
    const tree = opened();
    await assert.rejects(async () => tree.get(leaf.keys[0]!), { code: 'lost' });
    await assert.rejects(listAll(tree), { code: 'lost' });
    const { failed } = await tree.apply(new Map([...model.keys()].map((key) => [key, bytes('anew')])));
    assert.deepEqual([...failed.keys()].toSorted(), [...leaf.keys].toSorted());
    for (const error of failed.values()) assert.equal(error.code, 'lost');
  }
});

test('a tree that lost one node is mended: it has all but what that alone led to, and takes new entries', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { store, random, model, nodes, opened } = await grown(seed);
    const [address, node] = [...nodes].filter(([one]) => one !== rootAddress)[Math.floor(random() * (nodes.size - 1))]!;
    lose(store, address, seed % 3 === 0);
    // Whoever looked meanwhile took away the pointers to it.
    if (seed % 4 === 0) await listAll(opened()).catch(() => {});
    const tree = opened();
    // To the first leaf below a first node no right link leads, nor to those that follow it.
    const isOnlyWay = node.level === 0 || node.low === '';
    assert.equal(await tree.mend(), isOnlyWay ? 1 : 0);
    const gone = [...model.keys()].filter((key) => isOnlyWay && key >= node.low && (node.high === undefined || key < node.high));
    for (const key of gone) model.delete(key);
    assert.deepEqual([...(await listAll(tree))], sorted(model));
    await tree.apply(new Map(gone.map((key) => [key, bytes('anew')])));
    for (const key of gone) model.set(key, 'anew');
    await tree.settled();
    assert.deepEqual([...(await listAll(opened()))], sorted(model));
    const shape = checkShape(store);
    if (seed % 3 !== 0 && (!isOnlyWay || node.level === 0))
      assert.deepEqual(new Set(shape.keys()), store.mutableAddresses(), 'no other block is left');
    assert.equal(await opened().mend(), 0);
  }
});

test('a tree that lost many nodes is mended, also where that is broken off anywhere', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const { store, random, model, nodes, opened } = await grown(seed);
    const share = [0.1, 0.5, 0.9][seed % 3]!;
    for (const address of nodes.keys()) if (address !== rootAddress && random() < share) lose(store, address, random() < 0.3);
    for (let cut = Math.floor(random() * 8); cut < 60; cut += 1 + Math.floor(random() * 20)) {
      store.crashAfter(cut);
      await opened()
        .mend()
        .catch(() => {});
      store.restart();
    }
    const tree = opened();
    await tree.mend();
    const left = await listAll(tree);
    for (const [key, value] of left) assert.equal(value, model.get(key));
    for (const [address, node] of nodes) {
      // Where the nodes above it are there it was found.
      const isReached = [...nodes].every(([above, { level, low, high }]) => {
        const covers = level > 0 && low <= node.low && (high === undefined || node.low < high);
        return !covers || above === rootAddress || (store.peek(above) !== undefined && !isLost(store, above));
      });
      if (node.level === 0 && isReached && !isLost(store, address)) for (const key of node.keys) assert.ok(left.has(key), `seed ${seed}: ${key}`);
    }
    checkShape(store);
    await tree.apply(new Map([...model].map(([key, value]) => [key, bytes(value)])));
    assert.deepEqual([...(await listAll(opened()))], sorted(model));
    await tree.settled();
    checkShape(store);
  }
});

function isLost(store: MemoryBlockStore, address: Address): boolean {
  const version = store.peek(address)?.version;
  return version === undefined || version >= 2 ** 32;
}
