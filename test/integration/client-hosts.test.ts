import assert from 'node:assert/strict';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { connect } from '../../src/api/index.ts';
import { eventually } from '../docker/process.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

test('a host with --capacity 0 stores nothing, and mounts, reads and writes what the others store', async () => {
  await using cluster = await ClusterProcesses.start(1);
  const [store] = cluster.hosts as [DaemonProcess];
  await sh(`echo there > ${await store.mount('data')}/f`);
  const client = await cluster.add(['--capacity', '0']);
  const place = await client.client.mountVolume('data', 'test');
  assert.equal(await sh(`cat ${place}/f`), 'there\n');
  await sh(`head -c 3000000 /dev/urandom > ${place}/big; sync ${place}/big; mkdir ${place}/d; echo here > ${place}/d/g`);
  await using programs = connect(client.controlSocket);
  await programs.blocks.modify(programs.blocks.named('n'), () => 'value');
  const seen = path.join(store.mountDir, 'data');
  assert.equal(await sh(`cat ${seen}/d/g; cmp ${seen}/big ${place}/big`), 'here\n');
  // As the one that has the volume's lease, and after a restart, too.
  await store.client.unmountVolume('data', 'test');
  await sh(`echo alone > ${place}/h`);
  await client.stop();
  await client.restart();
  assert.equal(await sh(`cat ${await client.client.mountVolume('data', 'test')}/h`), 'alone\n');
  const { hosts } = await client.client.clusterStatus();
  assert.deepEqual(
    hosts.map(({ disk }) => disk.blocks > 0),
    [false, true],
  );
  assert.equal(hosts[0]!.hosts.find(({ self }) => self)!.capacity, 0);
  assert.equal(hosts[0]!.roster.hosts, 1);
});

test('a host whose token gave no right to write stores and reads, and refuses to write', async () => {
  await using cluster = await ClusterProcesses.start(1);
  const [first] = cluster.hosts as [DaemonProcess];
  await sh(`echo there > ${await first.mount('data')}/f`);
  await using writers = connect(first.controlSocket);
  const value = await writers.blocks.put('value');
  const host = await cluster.add([], ['store']);
  await cluster.settled(cluster.hosts);
  const refused = { code: 'denied', message: /no right to write \(its token gave: store\)/ } as const;
  for (const wish of [
    () => host.client.mountVolume('data', 'test'),
    () => host.client.createVolume('more'),
    () => host.client.updateVolume('data', { size: '1G' }),
    () => host.client.removeVolume('data'),
    () => host.client.emptyTrash(),
    () => host.client.checkVolume('data', true),
  ])
    await assert.rejects(wish, refused);
  await using programs = connect(host.controlSocket);
  await assert.rejects(programs.blocks.put('value'), refused);
  await assert.rejects(
    programs.blocks.modify(programs.blocks.named('n'), () => 'value'),
    refused,
  );
  assert.equal((await programs.blocks.get(value))?.text(), 'value');
  // It has its share, and the other host does not count for two.
  await eventually('it stores something', async () => (await host.client.status()).disk.blocks > 0);
  await sh(`echo more > ${path.join(first.mountDir, 'data')}/g`);
});

test('a host that is to store nothing serves nothing while it is alone, founds no cluster, and says why', async () => {
  await using host = await DaemonProcess.start(await mkdtemp(path.join(tmpdir(), 'infinit-client-')), ['--capacity', '0']);
  const { health } = await host.client.clusterStatus();
  assert.equal(health.state, 'UNAVAILABLE');
  assert.match(health.reasons[0]!, /stores nothing \(--capacity 0\) and belongs to no cluster/);
  await assert.rejects(host.client.createVolume('data'), { code: 'unavailable', message: /--capacity 0/ });
  await using programs = connect(host.controlSocket);
  await assert.rejects(programs.blocks.put('value'), { code: 'unavailable', message: /--capacity 0/ });
  await assert.rejects(host.client.initCluster(), { code: 'bad-argument', message: /--capacity 0/ });
});
