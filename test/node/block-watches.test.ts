import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ValueHosts } from './daemon-double.ts';

test('a watch shows the state at once, then each newer one, removal included, and versions never go back', async () => {
  await using cluster = await ValueHosts.start(3);
  const [here, there] = cluster.hosts;
  const { address } = await here!.infinit.blocks.create('1');
  const seen: (number | undefined)[] = [];
  for await (const block of there!.infinit.blocks.watch(address)) {
    seen.push(block?.version);
    if (block === undefined) break;
    if (block.version < 5) await here!.infinit.blocks.update(address, String(block.version + 1));
    else await here!.infinit.blocks.remove(address);
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5, undefined]);
});

test('a watch of a block that is not there yet shows when it is made', async () => {
  await using cluster = await ValueHosts.start(3);
  const [here, there] = cluster.hosts;
  const address = here!.infinit.blocks.named('config');
  const seen: (string | undefined)[] = [];
  for await (const block of there!.infinit.blocks.watch(address)) {
    seen.push(block?.text());
    if (block !== undefined) break;
    await here!.infinit.blocks.createNamed('config', 'made');
  }
  assert.deepEqual(seen, [undefined, 'made']);
});

test('while three hosts write without pause, a watch on a fourth never goes back and ends at the last version', async () => {
  await using cluster = await ValueHosts.start(4);
  const [one, two, three, watcher] = cluster.hosts;
  const { address } = await one!.infinit.blocks.create('0');
  const writing = Promise.all(
    [one, two, three].map(async (host) => {
      for (let i = 0; i < 25; i++) await host!.infinit.blocks.modify(address, (block) => String(Number(block!.text()) + 1));
    }),
  );
  let last = 0;
  for await (const block of watcher!.infinit.blocks.watch(address)) {
    assert.ok(block!.version > last);
    last = block!.version;
    if (block!.text() === '75') break;
  }
  await writing;
  assert.equal(last, 76);
});

test('a watch survives the restart of its daemon and the loss of every notice', async () => {
  await using cluster = await ValueHosts.start(3);
  const [here, , there] = cluster.hosts;
  const { address } = await here!.infinit.blocks.create('before');
  const seen: string[] = [];
  for await (const block of there!.infinit.blocks.watch(address)) {
    seen.push(block!.text());
    if (block!.text() === 'last') break;
    if (seen.length === 1) {
      await there!.restart();
      // The watcher's host hears nothing of this write, and reads it when it is back.
      cluster.network.partition(['host-2'], ['host-0', 'host-1']);
      await here!.infinit.blocks.update(address, 'meanwhile');
      await new Promise((resolve) => setTimeout(resolve, 50));
      cluster.network.heal();
    } else await here!.infinit.blocks.update(address, 'last');
  }
  assert.deepEqual(seen, ['before', 'meanwhile', 'last']);
});

test('a watch ends by its signal, at once', async () => {
  await using cluster = await ValueHosts.start(1);
  const { blocks } = cluster.hosts[0]!.infinit;
  const { address } = await blocks.create('x');
  const controller = new AbortController();
  const seen: unknown[] = [];
  for await (const block of blocks.watch(address, { signal: controller.signal })) {
    seen.push(block?.text());
    setTimeout(() => controller.abort(), 20);
  }
  assert.deepEqual(seen, ['x']);
});

test('a watch ends with its client, and does not begin with one that was closed', { timeout: 300_000 }, async () => {
  await using cluster = await ValueHosts.start(1);
  const { infinit } = cluster.hosts[0]!;
  const { address } = await infinit.blocks.create('x');
  const follow = async (): Promise<void> => {
    for await (const block of infinit.blocks.watch(address)) if (block!.text() === 'x') setImmediate(() => infinit.close());
  };
  await assert.rejects(follow(), { code: 'closed' });
  await assert.rejects(follow(), { code: 'closed' });
});

test('a hundred watches of one block cost the store one read a change', async () => {
  await using cluster = await ValueHosts.start(3);
  const { store, infinit } = cluster.hosts[0]!;
  const { address } = await infinit.blocks.create('a');
  let reads = 0;
  const fetch = store.fetch.bind(store);
  store.fetch = (...args) => {
    reads++;
    return fetch(...args);
  };
  const controller = new AbortController();
  const shown = Array.from({ length: 100 }, async () => {
    for await (const block of infinit.blocks.watch(address, { signal: controller.signal })) if (block!.text() === 'b') return;
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  const before = reads;
  await cluster.hosts[1]!.infinit.blocks.update(address, 'b');
  await Promise.all(shown);
  assert.ok(reads - before <= 4, `${reads - before} reads`);
});
