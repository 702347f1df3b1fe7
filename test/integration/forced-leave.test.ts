import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ClusterProcesses } from './cluster-processes.ts';
import type { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

test('hosts that leave without draining are not waited for: the others make their copies anew, and the last that a majority needs may not', async () => {
  await using cluster = await ClusterProcesses.start(4);
  const [h0, h1, h2, h3] = cluster.hosts as [DaemonProcess, DaemonProcess, DaemonProcess, DaemonProcess];
  const place = await h0.mount('data');
  await sh(
    `cd ${place}; for i in $(seq 40); do echo $i > $i; done; head -c 3000000 /dev/urandom > big; sha256sum * > ../sums; mv ../sums sums; sync`,
  );
  const refused = await h3.infinit('cluster', 'leave');
  assert.deepEqual([refused.code, /stores blocks: drain it first/.test(refused.err)], [4, true]);

  const unasked = await h3.infinit('cluster', 'leave', '--force');
  assert.deepEqual([unasked.code, /stays in its cluster: without a terminal say --yes/.test(unasked.err)], [1, true], unasked.err);
  const twice = await Promise.all([h3.infinit('cluster', 'leave', '--force', '--yes'), h3.infinit('cluster', 'leave', '-fy')]);
  // The second may come when the first has ended.
  assert.ok(
    twice.some(({ code, out }) => code === 0 && out === 'left\n') && twice.every(({ code, err }) => code === 0 || /has left the cluster/.test(err)),
  );
  await cluster.settled([h0, h1, h2]);
  assert.equal((await h3.client.status()).outside, 'this host has left the cluster');
  assert.equal((await h0.client.listNodes()).length, 3);
  // Three hosts, three copies: each has everything, so that any of them may go.
  await sh(`cd ${place}; sha256sum -c --quiet sums; echo more > more; sync more`);
  assert.equal(await h2.says('cluster', 'leave', '--force', '--yes'), 'left');
  await cluster.settled([h0, h1]);
  const last = await h1.infinit('cluster', 'leave', '--force', '--yes');
  assert.deepEqual([last.code, /some blocks have no majority without it/.test(last.err)], [4, true], last.err);
  await h0.client.unmountVolume('data', 'test');
  const there = await h1.mount('data');
  await sh(`cd ${there}; sha256sum -c --quiet sums; grep -q more more`);
});
