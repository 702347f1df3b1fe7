import { after, before, suite } from 'node:test';

import { engineCases } from './engine-cases.ts';
import { everydayCases } from './everyday-cases.ts';
import { DockerLab } from './lab.ts';
import { pluginCaseCount, pluginCases, processCaseCount, processCases } from './plugin-cases.ts';
import type { PluginForm } from './plugin-forms.ts';
import { Scene } from './scene.ts';

/** The whole contract for one form of the plugin, on hosts of one lab: a calm one, one whose engine suffers, and those whose plugins do. */
export function contractTests(form: PluginForm): void {
  suite(`the plugin as ${form.name}`, { concurrency: 3 }, () => {
    let lab: DockerLab | undefined;
    const scenes: Scene[] = [];

    before(async () => {
      lab = await DockerLab.up({ hosts: 2 + pluginCaseCount + processCaseCount, network: false });
      await Promise.all(
        lab.hosts.map(async (host, index) => {
          scenes[index] = new Scene(host, form, await form.start(host));
        }),
      );
    });
    after(async () => {
      await lab?.[Symbol.asyncDispose]();
    });

    suite('on a calm host', { concurrency: 3 }, () => everydayCases(() => scenes[0]!));
    suite('when the engine stops', { concurrency: 1 }, () => engineCases(() => scenes[1]!));
    suite('when the plugin stops', { concurrency: pluginCaseCount + processCaseCount }, () => {
      pluginCases((index) => scenes[2 + index]!);
      processCases((index) => scenes[2 + pluginCaseCount + index]!);
    });
  });
}
