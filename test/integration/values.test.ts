import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { ClusterProcesses } from './cluster-processes.ts';

test('programs on three hosts count together while a host is killed and comes back, and a watch sees the end', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const clients = cluster.hosts.map((host) => connect(host.controlSocket));
  const [first, second, third] = clients.map(({ blocks }) => blocks);
  const { address } = await first!.create('0');
  const content = await third!.put('kept');
  const add = (block: { text(): string } | undefined): string => String(Number(block!.text()) + 1);
  const count = async (blocks: (typeof clients)[0]['blocks'], times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await blocks.modify(address, add);
  };
  const watched = (async () => {
    let last = 0;
    for await (const block of third!.watch(address)) {
      assert.ok(block!.version > last, `version ${block!.version} after ${last}`);
      last = block!.version;
      if (block!.text() === '90') return;
    }
  })();
  await Promise.all([count(first!, 20), count(second!, 20), count(third!, 20)]);
  await cluster.hosts[0]!.kill();
  await Promise.all([count(second!, 10), count(third!, 10)]);
  assert.equal((await second!.get(content))!.text(), 'kept');
  await cluster.hosts[0]!.restart();
  await cluster.complete();
  // The same client goes on where its daemon was killed and started again.
  await count(first!, 10);
  await watched;
  assert.equal((await second!.get(address))!.text(), '90');
  const report = await second!.inspect(address);
  assert.deepEqual([report.owner, report.replicas.length], ['program', 3]);
  for (const client of clients) client.close();
});
