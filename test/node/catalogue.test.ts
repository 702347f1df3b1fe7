import assert from 'node:assert/strict';
import { test } from 'node:test';

import { silentLogger } from '../../src/base/index.ts';
import { MemoryDisk } from '../../src/disk/index.ts';
import { Catalogue } from '../../src/node/catalogue.ts';
import type { CatalogueEntry } from '../../src/node/catalogue-entry.ts';
import { type BlockStore, Store } from '../../src/store/index.ts';

const entry = (name: string, id: string): CatalogueEntry => ({ name, id, createdAt: new Date(0).toISOString(), options: {} });

test('after a host has joined others nothing of its life alone hides what they have, whatever versions it had come to', async () => {
  await using ownDisk = new MemoryDisk();
  await using otherDisk = new MemoryDisk();
  await using own = await Store.open({ self: 'late', incarnation: 1, disk: ownDisk, logger: silentLogger });
  await using others = await Store.open({ self: 'first', incarnation: 1, disk: otherDisk, logger: silentLogger });
  await (await Catalogue.open(others, otherDisk, 'infinit')).add(entry('data', 'd'.repeat(32)));

  let now: Store = own;
  const store: BlockStore = {
    get: (address, options) => now.get(address, options),
    fetch: (address, options) => now.fetch(address, options),
    commit: (stages, options) => now.commit(stages, options),
  };
  const catalogue = await Catalogue.open(store, ownDisk, 'infinit');
  for (let index = 0; index < 12; index++) {
    const added = await catalogue.add(entry(`own${index}`, index.toString(16).repeat(32)));
    await catalogue.remove(added);
    await catalogue.forget(added.id);
  }
  now = others;
  await catalogue.startOver();
  await catalogue.refresh();
  assert.deepEqual(
    (await catalogue.list()).map(({ name }) => name),
    ['data'],
  );
  assert.deepEqual(await catalogue.trash(), []);
});
