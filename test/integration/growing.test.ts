import assert from 'node:assert/strict';
import { test } from 'node:test';

import { complete, formCluster, join } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';
import { Workload } from './workload.ts';

test('hosts that join while programs are at work disturb nobody, and hold what they should when another one dies', async () => {
  await using lab = await DockerLab.up({ hosts: 5, engines: false, network: true });
  const first = await formCluster(lab, [], 3);
  for (const daemon of first) await daemon.mount('data');
  await using workload = new Workload(first, 'data');
  await workload.runFor(1000);
  const joined = await Promise.all([join(lab, 3), join(lab, 4)]);
  const all = [...first, ...joined];
  for (const daemon of joined) {
    await daemon.mount('data');
    workload.add(daemon);
  }
  await complete(all);
  await workload.runFor(1000);
  assert.equal(workload.failures, 0, workload.lastFailure);
  // The one that serves the volume: what it alone of the first ones could tell is on hosts that came later.
  await first[0]!.kill();
  await workload.runFor(3000);
  await first[0]!.start();
  await complete(all);
  await first[0]!.mount('data');
  await workload.runFor(500);
  await workload.verify();
});
