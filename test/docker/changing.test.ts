/** From the daemon to the managed plugin on one host: the engine has to find in the one what it met through the other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { managedPlugin, socketPlugin } from './chosen-form.ts';
import { DockerLab } from './lab.ts';
import { ManagedPlugin } from './managed-form.ts';
import { directoryForm } from './plugin-forms.ts';
import { Scene } from './scene.ts';

test(
  'volumes that the engine met through the daemon are those of the managed plugin, once it was restarted',
  { skip: socketPlugin === directoryForm },
  async () => {
    await using lab = await DockerLab.up({ hosts: 1, network: false });
    const { host } = lab;
    const daemon = await socketPlugin.start(host);
    const before = new Scene(host, socketPlugin, daemon);
    await before.create('known');
    await before.sh('known', 'echo kept > /data/f');
    await daemon.stop();

    const plugin = new ManagedPlugin(host, '', { name: managedPlugin.name });
    await plugin.createByScript();
    await host.restartDocker();
    await plugin.answers();
    const s = new Scene(host, managedPlugin, plugin);
    assert.equal(await s.sh('known', 'cat /data/f'), 'kept');
    assert.equal((await s.inspect('known')).Driver, 'infinit:latest');
    await s.removes('known');
  },
);
