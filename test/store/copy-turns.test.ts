import assert from 'node:assert/strict';
import { test } from 'node:test';

import { immutableAddress } from '../../src/block/index.ts';
import { CopyTurns } from '../../src/store/copy-turns.ts';
import { TestCluster } from '../repair/test-cluster.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Writes that end when the test says so, the oldest first. */
function writesOf(turns: CopyTurns, count: number): { readonly ends: (() => void)[]; readonly all: Promise<unknown> } {
  const ends: (() => void)[] = [];
  const all = Promise.allSettled(Array.from({ length: count }, () => turns.run(() => new Promise<void>((resolve) => ends.push(resolve)))));
  return { ends, all };
}

test('copies are written as they come while no client is at work, and one by one while some are', async () => {
  let isBusy = false;
  const turns = new CopyTurns(() => isBusy);
  const idle = writesOf(turns, 5);
  assert.equal(idle.ends.length, 5);
  for (const end of idle.ends) end();
  await idle.all;

  isBusy = true;
  const busy = writesOf(turns, 5);
  for (let written = 1; written <= 3; written++) {
    assert.equal(busy.ends.length, written);
    busy.ends[written - 1]!();
    await turn();
  }
  isBusy = false;
  busy.ends[3]!();
  await turn();
  assert.equal(busy.ends.length, 5);
  busy.ends[4]!();
  await busy.all;
});

test('a write that fails makes room for the next, and beyond a bound copies are refused', async () => {
  const turns = new CopyTurns(() => true);
  const first = Promise.withResolvers<void>();
  const failing = turns.run(() => first.promise);
  const { ends, all } = writesOf(turns, 64);
  await assert.rejects(
    turns.run(() => Promise.resolve()),
    { code: 'overloaded' },
  );
  first.reject(new Error('the disk fails'));
  await assert.rejects(failing, /the disk fails/);
  for (let written = 0; written < 64; written++) {
    await turn();
    ends[written]!();
  }
  await all;
});

test('a host whose clients are at work has one copy of others on the way to its disk', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c'], 3, { checkIntervalMs: 1e9 });
  const { disk, store } = cluster.host('c');
  const write = disk.write.bind(disk);
  let [writing, most] = [0, 0];
  disk.write = async (operations) => {
    const isCopy = operations.some(({ type }) => type === 'put');
    if (isCopy) most = Math.max(most, ++writing);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await write(operations);
    if (isCopy) writing--;
  };
  const give = async (): Promise<number> => {
    most = 0;
    await Promise.all(
      ['a', 'b'].flatMap((name) =>
        Array.from({ length: 4 }, async () => {
          const sealed = Buffer.from(`copy ${Math.random()}`);
          await cluster.host(name).store.housekeeping.give(immutableAddress(sealed), sealed, 'c');
        }),
      ),
    );
    return most;
  };
  assert.ok((await give()) > 1);
  Object.defineProperty(store.housekeeping, 'hasClients', { get: () => true });
  assert.equal(await give(), 1);
});

test('a copy that was removed while it waited for its turn is not written', async () => {
  await using cluster = await TestCluster.of(['a', 'b', 'c'], 3, { checkIntervalMs: 1e9 });
  const { disk, store } = cluster.host('c');
  Object.defineProperty(store.housekeeping, 'hasClients', { get: () => true });
  const [first, second] = ['first', 'second'].map((text) => ({ address: immutableAddress(Buffer.from(text)), sealed: Buffer.from(text) }));
  const write = disk.write.bind(disk);
  const begun = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  disk.write = async (operations) => {
    if (operations.some((operation) => operation.type === 'put' && operation.address === first!.address)) {
      begun.resolve();
      await goOn.promise;
    }
    await write(operations);
  };
  const { housekeeping } = cluster.host('a').store;
  const one = housekeeping.give(first!.address, first!.sealed, 'c');
  await begun.promise;
  const other = housekeeping.give(second!.address, second!.sealed, 'c');
  await new Promise((resolve) => setTimeout(resolve, 50));
  await cluster.host('b').store.commit([{ drop: [second!.address] }]);
  await new Promise((resolve) => setTimeout(resolve, 50));
  goOn.resolve();
  assert.ok((await one)! > 0);
  assert.equal(await other, undefined);
  assert.deepEqual(await cluster.holders(second!.address), []);
});
