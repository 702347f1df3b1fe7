/** Hosts of one network segment: a token is all that a newcomer needs. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { complete, HostDaemon } from '../docker/cluster-hosts.ts';
import { DockerLab } from '../docker/lab.ts';

test('a host with a token and no address finds the others by mDNS, and shares their volumes', async () => {
  await using lab = await DockerLab.up({ hosts: 2, engines: false, network: true });
  // The hosts of a lab have no default route.
  for (const host of lab.hosts) await host.must('ip', ['route', 'add', '224.0.0.0/4', 'dev', 'eth0']);
  const [first, second] = lab.hosts.map((host, index) => new HostDaemon(host, lab.addressOf(index), { INFINIT_DISCOVER: 'mdns' })) as [
    HostDaemon,
    HostDaemon,
  ];
  const token = path.join(lab.directory, 'token');
  await first.start();
  await first.infinit('cluster', 'init');
  await first.infinit('cluster', 'token', 'create', token);
  await second.start({ INFINIT_TOKEN: token });
  await complete([first, second]);
  await first.mount('shared');
  await first.sh('shared', 'echo found > f; sync f');
  await second.mount('shared');
  assert.equal(await second.sh('shared', 'cat f'), 'found');
});
