import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { ClusterProcesses } from './cluster-processes.ts';

/** A lease on a block that is read often is over by then. */
const leaseOverMs = 4000;

/** Until it works: what another host last said may have to reach this one, or its leases have to end. */
async function eventually<T>(attempt: () => Promise<T>, withinMs = 30_000): Promise<T> {
  for (const deadline = performance.now() + withinMs; ;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(250);
    }
  }
}

test('two hosts that create one name at once with different options: one has it, the other is told what is in effect', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const sizes = ['1G', '2G'];
  for (let round = 0; round < 5; round++) {
    const name = `contested-${round}`;
    const results = await Promise.allSettled(cluster.hosts.map((host, index) => host.client.createVolume(name, { size: sizes[index]! })));
    const won = results.findIndex(({ status }) => status === 'fulfilled');
    const lost = results[1 - won]!;
    assert.ok(lost.status === 'rejected', 'both have it');
    assert.deepEqual((lost.reason as { code: string }).code, 'already-exists');
    assert.match((lost.reason as Error).message, new RegExp(`size is ${sizes[won]}, not ${sizes[1 - won]}`));
    for (const host of cluster.hosts) assert.equal((await host.client.inspectVolume(name)).options['size'], sizes[won]);
  }
});

test('a removal takes what the name means now, though another host has just removed it and made it anew', async () => {
  await using cluster = await ClusterProcesses.start(2);
  const [first, second] = cluster.hosts;
  for (let round = 1; round <= 4; round++) {
    await first!.client.createVolume('data');
    await second!.client.removeVolume('data');
    await second!.client.createVolume('data', { size: '2G' });
    await first!.client.removeVolume('data');
    await assert.rejects(second!.client.updateVolume('data', { size: '3G' }), { code: 'not-found' });
    assert.equal((await second!.client.listTrash()).length, round * 2);
  }
});

test('a host that has lost the others still tells what it knows of volumes, and never says that an unknown one does not exist', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const [first, second, third] = cluster.hosts;
  await first!.client.createVolume('known', { size: '3G' });
  await second!.kill();
  await third!.kill();
  // The engine takes every error of these for "does not exist", and forgets the volume's labels and options.
  for (let round = 0; round < 3; round++) {
    assert.equal((await first!.client.inspectVolume('known')).options['size'], '3G');
    assert.deepEqual(
      (await first!.client.listVolumes()).map(({ name }) => name),
      ['known'],
    );
  }
  // For the rest of a lease's term it knows by itself, and truly, that there is none.
  await sleep(leaseOverMs);
  await assert.rejects(first!.client.inspectVolume('unknown'), { code: 'unavailable' });
  await assert.rejects(
    first!.client.createVolume('unknown'),
    (error: { code: string }) => error.code === 'unavailable' || error.code === 'unknown-outcome',
  );
});

test('a host that was away gives a new container the volume that has the name by now, and keeps the removed one for those who use it', async () => {
  await using cluster = await ClusterProcesses.start(3);
  const [away, other] = cluster.hosts;
  const before = await away!.mount('data');
  await writeFile(path.join(before, 'old'), 'old');
  const place = path.join(away!.directory, 'place');
  await away!.says('volume', 'mount', 'data', place);
  process.kill(away!.daemonPid, 'SIGSTOP');
  await eventually(() => other!.client.removeVolume('data'));
  const { id } = await other!.client.createVolume('data');
  process.kill(away!.daemonPid, 'SIGCONT');

  const refusal = await eventually(async () => {
    const error: unknown = await away!.client.mountVolume('data', 'next').catch((reason: unknown) => reason);
    assert.match(String(error), /"data" was removed and made anew on another host/);
    return String(error);
  });
  assert.match(refusal, /in use by the mount at .*place: stop that first; `infinit volume trash restore [0-9a-f]{32} --as NAME`/);
  assert.equal(await readFile(path.join(place, 'old'), 'utf8'), 'old');
  assert.equal(await away!.says('volume', 'unmount', place), place);
  const now = await away!.client.mountVolume('data', 'next');
  assert.deepEqual(await readdir(now), []);
  await writeFile(path.join(now, 'new'), 'new');
  const elsewhere = await other!.client.mountVolume('data', 'test');
  assert.equal(await readFile(path.join(elsewhere, 'new'), 'utf8'), 'new');
  assert.deepEqual((await away!.client.inspectVolume('data')).holders, ['next']);
  assert.equal((await away!.client.inspectVolume('data')).id, id);
});
