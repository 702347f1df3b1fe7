/** The plugin as the engine manages it: the same everyday contract, and what is special to this form. */
import { after, before, suite } from 'node:test';

import { managedPlugin } from './chosen-form.ts';
import { engineCases } from './engine-cases.ts';
import { everydayCases } from './everyday-cases.ts';
import { DockerLab } from './lab.ts';
import { managedCases } from './managed-cases.ts';
import { Scene } from './scene.ts';

const form = managedPlugin;

suite(`the ${form.name}`, () => {
  const stack = new AsyncDisposableStack();
  let scene: Scene;
  before(async () => {
    const lab = stack.use(await DockerLab.up({ hosts: 1 }));
    scene = new Scene(lab.host, form, await form.start(lab.host));
  });
  after(() => stack.disposeAsync());

  suite('on a calm host', { concurrency: 3 }, () => everydayCases(() => scene));
  suite('when the engine stops', () => engineCases(() => scene));
  suite('in the hands of the engine', () => managedCases(() => scene));
});
