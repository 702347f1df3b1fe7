/** A swarm names the first members: a host needs nothing but a token. */
import path from 'node:path';
import { test } from 'node:test';

import { socketPlugin } from './chosen-form.ts';
import { complete, HostDaemon } from './cluster-hosts.ts';
import { DockerLab } from './lab.ts';
import { directoryForm } from './plugin-forms.ts';
import { eventually } from './process.ts';

test("a worker of the swarm with a token and no address joins its manager's cluster", { skip: socketPlugin === directoryForm }, async () => {
  await using lab = await DockerLab.up({ hosts: 2 });
  await lab.swarm();
  const [manager, worker] = lab.hosts.map((host, index) => new HostDaemon(host, lab.addressOf(index))) as [HostDaemon, HostDaemon];
  const token = path.join(lab.directory, 'token');
  await manager.start();
  await manager.infinit('cluster', 'init');
  await manager.infinit('cluster', 'token', 'create', token);
  await worker.start({ INFINIT_TOKEN: token });
  await complete([manager, worker]);
  await manager.client.createVolume('data');
  await eventually('the worker sees the volume', async () =>
    (await worker.client.listVolumes()).some(({ name }) => name === 'data') ? true : undefined,
  );
});
