/** The plugin as the engine manages it: the same contract but for the cases that need a plugin of one's own hands, and what is special to this form. */
import { after, before, suite } from 'node:test';

import { managedPlugin } from './chosen-form.ts';
import { engineCases } from './engine-cases.ts';
import { everydayCases } from './everyday-cases.ts';
import { DockerLab } from './lab.ts';
import { managedCalls, managedCases } from './managed-cases.ts';
import type { ManagedPlugin } from './managed-form.ts';
import { pluginCases } from './plugin-cases.ts';
import { protocolCases } from './protocol-cases.ts';
import type { Recorder } from './recorder.ts';
import { Scene } from './scene.ts';

const form = managedPlugin;

suite(`the ${form.name}`, () => {
  const stack = new AsyncDisposableStack();
  let scene: Scene;
  let plugin: ManagedPlugin;
  before(async () => {
    const lab = stack.use(await DockerLab.up({ hosts: 1 }));
    plugin = (await form.start(lab.host)) as ManagedPlugin;
    scene = new Scene(lab.host, form, plugin);
  });
  after(() => stack.disposeAsync());

  suite('on a calm host', { concurrency: 4 }, () => {
    let recorder: Recorder;
    before(async () => {
      recorder = await plugin.record();
    });
    after(() => plugin.unrecord());

    protocolCases(() => ({ s: scene, recorder }));
    everydayCases(() => scene);
    managedCalls(() => ({ s: scene, recorder }));
  });
  suite('when the engine stops', () => engineCases(() => scene));
  suite('when the plugin stops', () => pluginCases(() => scene));
  suite('in the hands of the engine', () => managedCases(() => scene));
});
