/** A cluster whose hosts were started with different numbers of copies: its first host's counts. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';

import { connect } from '../../src/api/client.ts';
import { eventually } from '../docker/process.ts';
import { ClusterProcesses } from './cluster-processes.ts';
import { sh } from './programs.ts';

test('on every host volumes, df and inspect speak of as many copies as the first host was told', async () => {
  await using cluster = await ClusterProcesses.start(1, tmpdir(), ['--replicas', '1']);
  const other = await cluster.add(['--replicas', '3']);
  await cluster.complete();
  const [first] = cluster.hosts;
  await other.client.createVolume('data', { replicas: '1' });
  await assert.rejects(other.client.createVolume('more', { replicas: '3' }), /replicas=3: all volumes have the copies .*, 1 here/);
  await using infinit = connect(other.controlSocket);
  const address = await infinit.blocks.put('x');
  assert.equal((await infinit.blocks.inspect(address)).wanted, 1);
  const places = [await first!.mount('data'), await other.mount('data')];
  // Both are on one disk: with two copies wanted it would be half as much.
  await eventually('df says the same', async () => {
    const [one, two] = await Promise.all(places.map(async (place) => Number((await sh(`df --output=avail -m ${place} | tail -1`)).trim())));
    return two! > one! * 0.9 ? true : undefined;
  });
});
