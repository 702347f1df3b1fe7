/** The Dockerfile, which a registry's users build: no registry is reachable here, so its own steps are carried out on this machine's files. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, globSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { managedPlugin, socketPlugin } from './chosen-form.ts';
import { buildByDockerfile, stagesOf } from './dockerfile.ts';
import { DockerLab } from './lab.ts';
import { ManagedPlugin } from './managed-form.ts';
import { directoryForm } from './plugin-forms.ts';
import { Scene } from './scene.ts';

const projectRoot = path.resolve(import.meta.dirname, '../..');

test('its steps are read as Docker reads them', () => {
  const text = '# FROM nowhere\nFROM node:24-bookworm AS build\nRUN one && \\\n  two\n\nFROM node:24-bookworm-slim\nCOPY --from=build /a /b\n';
  assert.deepEqual(stagesOf(text), [
    { name: 'build', base: 'node:24-bookworm', steps: [['RUN', 'one &&    two']] },
    { name: undefined, base: 'node:24-bookworm-slim', steps: [['COPY', '--from=build /a /b']] },
  ]);
});

test('what is built by its steps is the plugin of config.json, and serves volumes', { skip: socketPlugin === directoryForm }, async () => {
  await using lab = await DockerLab.up({ hosts: 1, network: false });
  const { host } = lab;
  const directory = path.join(host.directory, 'managed');
  mkdirSync(directory);
  await buildByDockerfile(projectRoot, process.execPath, path.join(host.directory, 'stages'), path.join(directory, 'rootfs'));
  cpSync(path.join(projectRoot, 'config.json'), path.join(directory, 'config.json'));
  const modules = path.join(directory, 'rootfs/opt/infinit/node_modules');
  assert.ok(existsSync(path.join(modules, 'express')));
  assert.ok(!existsSync(path.join(modules, 'typescript')), 'what is for developing is not in it');
  assert.equal(globSync(path.join(directory, 'rootfs/opt/infinit/build/*.node')).length, 1, 'the add-on is compiled');
  const plugin = new ManagedPlugin(host, directory, { name: 'managed plugin by its Dockerfile' });
  await plugin.create();
  const s = new Scene(host, managedPlugin, plugin);
  await s.create('built');
  await s.sh('built', 'echo hello > /data/f');
  assert.equal(await s.sh('built', 'cat /data/f'), 'hello');
  await s.removes('built');
});
