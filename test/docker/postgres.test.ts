/** PostgreSQL in a container of a real engine, its data on a volume, through everything that happens to a host. */
import { after, before, suite, test } from 'node:test';

import { managedPlugin, socketPlugin } from './chosen-form.ts';
import { ContainerDatabase } from './container-database.ts';
import { DockerLab } from './lab.ts';
import { importPostgres } from './postgres-image.ts';
import { Scene } from './scene.ts';

suite('PostgreSQL in a container', { concurrency: 2 }, () => {
  let lab: DockerLab | undefined;
  const forms = [socketPlugin, managedPlugin];
  const scenes: Scene[] = [];

  before(async () => {
    const up = await DockerLab.up({ hosts: forms.length, network: false });
    lab = up;
    await Promise.all(
      up.hosts.map(async (host, index) => {
        await importPostgres(host);
        scenes[index] = new Scene(host, forms[index]!, await forms[index]!.start(host));
      }),
    );
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  for (const [index, form] of forms.entries())
    suite(`on a volume of the plugin as ${form.name}`, { concurrency: 1 }, () => {
      let database: ContainerDatabase;

      test('it makes its database on a volume of its user', async () => {
        database = new ContainerDatabase(scenes[index]!, 'database');
        await database.create();
        await database.hold();
      });

      test('the plugin is killed while it commits: it goes on, or is started again, and nothing committed is lost', async () => {
        await database.under(() => scenes[index]!.plugin.crash());
        await database.hold();
      });

      for (const signal of ['SIGTERM', 'SIGKILL'] as const)
        test(`${signal} ends the engine while it commits, and another one starts: nothing committed is lost`, async () => {
          await database.under(() => scenes[index]!.host.restartDocker(signal));
          await database.hold();
        });

      test('the host is rebooted without warning while it commits: nothing committed is lost', async () => {
        const { host, plugin } = scenes[index]!;
        await database.under(async () => {
          await host.reboot();
          // The engine starts those that it manages.
          if (form.announced) await plugin.start();
          await host.startDocker();
          if (!form.announced) await plugin.start();
        });
        await database.hold();
      });

      test('another container of the image goes on with the volume, and in the end nothing holds it', async () => {
        await database.removeContainer();
        await database.start();
        await database.hold();
        await database.destroy();
      });
    });
});
