/** A swarm names the first members: a host needs nothing but a token. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { socketPlugin } from './chosen-form.ts';
import { complete, HostDaemon } from './cluster-hosts.ts';
import { ControlClient } from '../../src/api/index.ts';
import { DockerLab } from './lab.ts';
import { managedForm } from './managed-form.ts';
import { directoryForm } from './plugin-forms.ts';
import { eventually } from './process.ts';
import { Scene } from './scene.ts';
import { Secrets } from './secrets.ts';

/** As docs/docker.md says: with the engine's socket it can ask for the swarm's hosts. */
const managedWorker = managedForm({
  name: 'managed plugin of a swarm',
  settings: (host) => [
    `docker.source=${host.dockerSocket}`,
    'INFINIT_DOCKER_SOCKET=/run/docker.sock',
    'INFINIT_TOKEN=/var/lib/infinit/token',
    `INFINIT_NAME=${host.name}`,
  ],
});

test(
  "a worker of the swarm with a token and no address joins its manager's cluster, as a managed plugin too",
  { skip: socketPlugin === directoryForm },
  async () => {
    await using lab = await DockerLab.up({ hosts: 3 });
    await lab.swarm();
    const [manager, worker] = lab.hosts.slice(0, 2).map((host, index) => new HostDaemon(host, lab.addressOf(index))) as [HostDaemon, HostDaemon];
    const token = path.join(lab.directory, 'token');
    await manager.start();
    await manager.infinit('cluster', 'init');
    await manager.infinit('cluster', 'token', 'create', '--uses', '2', token);
    await worker.start({ INFINIT_TOKEN: token });
    await complete([manager, worker]);
    await manager.client.createVolume('data');
    const managed = lab.hosts[2]!;
    const state = path.join(managed.directory, 'state');
    mkdirSync(state);
    copyFileSync(token, path.join(state, 'token'));
    const plugin = await managedWorker.start(managed);
    for (const client of [worker.client, new ControlClient(path.join(state, 'control.sock'))]) {
      await eventually('the worker sees the volume', () =>
        client.listVolumes().then(
          (volumes) => (volumes.some(({ name }) => name === 'data') ? true : undefined),
          () => undefined,
        ),
      );
    }

    // What an operator shows to others, or keeps for long, gives no key away: inspections, lists, and the logs, which tell everything here.
    const s = new Scene(managed, managedWorker, plugin);
    await s.create('sealed', 'encryption=true');
    await s.sh('sealed', 'echo hello > /data/f');
    await s.linger('sealed', 'sealed');
    const secrets = new Secrets(
      lab.hosts.map((host) => path.join(host.directory, 'state')),
      [token],
    );
    assert.ok(secrets.files.length >= 6, `three hosts, a cluster, a volume and a token have secrets: ${secrets.files.join(' ')}`);
    for (const words of [
      ['plugin', 'inspect', 'infinit'],
      ['volume', 'inspect', 'sealed', 'data'],
      ['inspect', 'sealed'],
      ['info', '--format', '{{json .}}'],
    ]) {
      const said = await s.docker(...words);
      assert.match(said, /sealed|infinit/);
      assert.deepEqual(secrets.in(said), [], words.join(' '));
    }
    for (const words of [
      ['status', '--format', 'json'],
      ['cluster', 'token', 'ls', '--format', 'json'],
      ['node', 'inspect', manager.host.name],
      ['volume', 'inspect', 'sealed'],
    ])
      assert.deepEqual(secrets.in(await manager.infinit(...words)), [], words.join(' '));
    const logs = [manager.log, worker.log, managed.log('dockerd')];
    for (const log of logs) {
      assert.match(log, / debug /);
      assert.deepEqual(secrets.in(log), []);
    }
    await s.docker('rm', '-f', 'sealed');
  },
);
