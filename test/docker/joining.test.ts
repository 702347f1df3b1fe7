/** A host that is not let in yet: a name without a driver must not become a volume of Docker's own. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';

import { socketPlugin } from './chosen-form.ts';
import { clusterForm, HostDaemon } from './cluster-hosts.ts';
import { DockerLab } from './lab.ts';
import { directoryForm } from './plugin-forms.ts';
import { Scene } from './scene.ts';

test(
  'Docker makes no local volume on a host that is not let in yet, and has the cluster’s once it is',
  { skip: socketPlugin === directoryForm },
  async () => {
    await using lab = await DockerLab.up({ hosts: 2 });
    const [first, late] = lab.hosts.map((host, index) => new HostDaemon(host, lab.addressOf(index))) as [HostDaemon, HostDaemon];
    const token = path.join(lab.directory, 'token');
    await first.start();
    await first.infinit('cluster', 'init');
    await first.infinit('cluster', 'token', 'create', token);
    await late.start({ INFINIT_TOKEN: token, INFINIT_JOIN: `${lab.addressOf(7)}:7470`, INFINIT_DISCOVER: 'none' });
    await first.client.createVolume('data');
    const scene = new Scene(late.host, clusterForm, late);
    const drivers = async (): Promise<string> => await scene.docker('volume', 'ls', '--format', '{{.Driver}} {{.Name}}');

    await scene.refused(/volume "data" cannot be used.*no member of its cluster/, 'run', '--rm', '--network=none', '-v', 'data:/data', 'bb', 'true');
    await scene.refused(/volume "lost" cannot be used/, 'run', '--rm', '--network=none', '-v', 'lost:/data', 'bb', 'true');
    assert.deepEqual((await drivers()).split('\n').sort(), ['infinit data', 'infinit lost']);

    // The question that waits is answered by what the cluster has.
    const waiting = scene.sh('more', 'echo kept > /data/f');
    await first.client.createVolume('more');
    await late.infinit('cluster', 'join', token, first.address);
    await waiting;
    await scene.sh('data', 'echo kept > /data/f');
    assert.equal(await new Scene(first.host, clusterForm, first).sh('more', 'cat /data/f'), 'kept');
    // Docker believes in a volume that was never made: it says so, until it is forgotten.
    await scene.refused(/no volume "lost" in the cluster.*docker volume rm lost/, 'run', '--rm', '--network=none', '-v', 'lost:/data', 'bb', 'true');
    await scene.docker('volume', 'rm', 'lost');
    assert.deepEqual((await drivers()).split('\n').sort(), ['infinit data', 'infinit more']);
  },
);
