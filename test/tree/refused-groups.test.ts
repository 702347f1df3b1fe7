import assert from 'node:assert/strict';
import { test } from 'node:test';

import { InfinitError, silentLogger } from '../../src/base/index.ts';
import { type DiskOperation, MemoryDisk } from '../../src/disk/index.ts';
import { Store } from '../../src/store/index.ts';
import { seeded } from '../suites/seeded.ts';
import { bytes, listAll, openTree, randomOf } from './support.ts';

/** A disk that refuses some groups, as one does that has no room. */
class RefusingDisk extends MemoryDisk {
  refuses: (operations: readonly DiskOperation[]) => boolean = () => false;

  override async write(operations: readonly DiskOperation[]): Promise<void> {
    if (this.refuses(operations)) throw new InfinitError('disk-full', 'no room');
    return super.write(operations);
  }
}

test('where the disk of a host that is alone refuses a split, nothing that links to the new leaves is there without them', async () => {
  const disk = new RefusingDisk();
  const store = await Store.open({ self: 'a', incarnation: 1, disk, logger: silentLogger });
  const tree = openTree(store, { random: randomOf(seeded(1)) });
  const possible = new Map<string, readonly (string | undefined)[]>();
  let unknown = 0;
  for (let index = 0; index < 200; index++) {
    const key = `key ${String((index * 7919) % 1000).padStart(4, '0')}`;
    // All of a split is one group there.
    let left = index % 3 === 0 ? 1 : 0;
    disk.refuses = (operations) => operations.length > 1 && left-- > 0;
    const { failed } = await tree.apply(new Map([[key, bytes(`value ${index}`)]]));
    const error = failed.get(key);
    if (error !== undefined) {
      assert.equal(error.code, 'unknown-outcome');
      unknown++;
    }
    possible.set(key, error === undefined ? [`value ${index}`] : [undefined, `value ${index}`]);
    disk.refuses = () => false;
    await tree.settled();
  }
  assert.ok(unknown > 0);
  const found = await listAll(openTree(store));
  for (const [key, values] of possible) assert.ok(values.includes(found.get(key)), `${key} is ${found.get(key)}`);
});
