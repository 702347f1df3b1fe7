import assert from 'node:assert/strict';
import { test } from 'node:test';

import { mutableAddress } from '../../src/block/index.ts';
import { Directory } from '../../src/filesystem/names/directory.ts';
import { Miss } from '../../src/filesystem/miss.ts';
import { NameHash } from '../../src/filesystem/names/name-hash.ts';
import { typeRegular } from '../../src/filesystem/inodes/mode.ts';
import { BLinkTree, NodeCache } from '../../src/tree/index.ts';
import { MemoryBlockStore } from '../suites/memory-block-store.ts';

const plain = { seal: (_address: unknown, body: Uint8Array) => body, open: (_address: unknown, payload: Uint8Array) => payload };

test('in a new directory, larger than what memory holds of its tree, names that are free are known to be without a look at the tree', async () => {
  const tree = new BLinkTree(mutableAddress(new Uint8Array(31)), {
    store: new MemoryBlockStore(),
    sealer: plain,
    cache: new NodeCache(16),
    leased: true,
  });
  const directory = new Directory(7, tree, new NameHash('c0ffee'), true);
  for (let start = 0; start < 20_000; start += 1000) {
    const changes = Array.from({ length: 1000 }, (_, index) =>
      directory.change(`file-${start + index}`, { inode: start + index + 10, type: typeRegular }),
    );
    directory.overlay.stage(changes);
    directory.touchTree();
    assert.equal((await tree.apply(directory.treeChanges(changes))).failed.size, 0);
    directory.overlay.applied(changes);
  }
  const looked = async (name: string): Promise<{ inode: number | undefined; waited: boolean }> => {
    for (let waited = false; ; waited = true) {
      try {
        return { inode: directory.lookup(name)?.inode, waited };
      } catch (error) {
        if (!(error instanceof Miss)) throw error;
        await error.loaded;
      }
    }
  };
  let waits = 0;
  for (let index = 0; index < 1000; index++) {
    const { inode, waited } = await looked(`free-${index}`);
    assert.equal(inode, undefined);
    if (waited) waits++;
    assert.equal((await looked(`file-${index * 20}`)).inode, index * 20 + 10);
  }
  assert.ok(waits < 100, `${waits} of 1,000 looks waited for the tree`);
});
