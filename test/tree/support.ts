import assert from 'node:assert/strict';

import { type Address, mutableAddress } from '../../src/block/index.ts';
import type { Random } from '../../src/base/index.ts';
import { BLinkTree, type Key, type NodeSealer, type Page, type TreeOptions } from '../../src/tree/index.ts';
import { childAt, decodeNode, type TreeNode } from '../../src/tree/node.ts';
import type { BlockStore } from '../../src/store/index.ts';
import type { MemoryBlockStore } from '../suites/memory-block-store.ts';

/** Nodes as they are: what sealing adds is tested with the sealer. */
export const bare: NodeSealer = { seal: (_address, body) => body.slice(), open: (_address, payload) => payload };

export function randomOf(unit: () => number): Random {
  return { unit, bytes: (length) => Uint8Array.from({ length }, () => Math.floor(unit() * 256)) };
}

export const rootAddress: Address = mutableAddress(new Uint8Array(31).fill(7));

/** A tree of tiny nodes, so that few entries make many levels. */
export function openTree(store: BlockStore, options: Partial<TreeOptions> = {}): BLinkTree {
  return new BLinkTree(rootAddress, { store, sealer: bare, nodeBytes: 512, ...options });
}

export function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

/** All entries, by scans of `limit`. */
export async function listAll(tree: BLinkTree, limit = 7): Promise<Map<Key, string>> {
  const all = new Map<Key, string>();
  let after: Key | undefined;
  for (;;) {
    const page: Page = await tree.scan(after, limit);
    for (const { key, value } of page.entries) {
      assert.ok(after === undefined || key > after, 'a scan goes up');
      all.set(key, Buffer.from(value).toString('latin1'));
      after = key;
    }
    if (page.done) return all;
    assert.ok(page.entries.length > 0, 'a page that is not the last has entries');
  }
}

/** Walks the blocks of a store without the tree's code and holds what must be true of it at every moment. @returns nodes that the root leads to. */
export function checkShape(store: MemoryBlockStore): Map<Address, TreeNode> {
  const reached = new Map<Address, TreeNode>();
  const read = (address: Address): TreeNode | undefined => {
    const stored = store.peek(address);
    return stored === undefined ? undefined : decodeNode(address, stored.payload);
  };
  const root = read(rootAddress);
  if (root === undefined) return reached;
  assert.equal(root.low, '');
  assert.equal(root.high, undefined);
  let first: Address | undefined = rootAddress;
  for (let level = root.level; level >= 0; level--) {
    let next: Address | undefined;
    let at: Address | undefined = first;
    let low: Key | undefined = '';
    while (at !== undefined) {
      const node = read(at);
      assert.ok(node !== undefined, `level ${level} is linked without gaps`);
      assert.equal(node.level, level);
      assert.equal(node.low, low, 'a node goes on where its left neighbour ends');
      assert.equal(node.high === undefined, node.right === undefined);
      for (const [i, key] of node.keys.entries()) {
        assert.ok(key >= node.low && (node.high === undefined || key < node.high), 'keys lie in their node');
        assert.ok(i === 0 || node.keys[i - 1]! < key, 'keys ascend');
      }
      if (level > 0) {
        assert.equal(node.keys[0], node.low, 'an inner node covers its range without a gap');
        next ??= childAt(node, 0);
      }
      reached.set(at, node);
      low = node.high;
      at = node.right;
    }
    first = next;
  }
  return reached;
}
