import assert from 'node:assert/strict';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { DaemonProcess } from './daemon-process.ts';
import { sh } from './programs.ts';

const project = path.resolve(import.meta.dirname, '../..');

test('this very project installs its modules on a volume and runs from there', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-work-'));
  await chmod(directory, 0o711);
  await using daemon = await DaemonProcess.start(directory);
  const place = await daemon.mount('data');
  // As .ci/run does, all of it, from the lock file and from npm's cache; not `npm ci`, which takes a mirror that lacks other platforms' builds for an incomplete lock file.
  const install = 'npm install --no-save --no-progress --prefer-offline --loglevel=error';
  await sh(`cp -r ${project}/package.json ${project}/package-lock.json ${project}/.npmrc ${project}/src ${project}/plugin .; ${install}`, {
    cwd: place,
    timeoutMs: 180_000,
  });
  const { version } = JSON.parse(await sh('cat package.json', { cwd: place })) as { version: string };
  // Node.js itself is one of the modules.
  const words = `node_modules/.bin/node --disable-warning=ExperimentalWarning src/cli/main.ts`;
  assert.equal((await sh(`${words} --version`, { cwd: place })).trim(), version);
  // A second daemon's modules, all of them, come from the volume.
  assert.match(await sh(`${words} --control-socket ${daemon.controlSocket} volume ls --format json`, { cwd: place }), /"Name":"data"/);
  await daemon.stop();
  await daemon.restart();
  const again = await daemon.mount('data');
  assert.equal(
    (
      await sh(`for d in express commander libp2p; do cmp node_modules/$d/package.json ${project}/node_modules/$d/package.json; done; echo same`, {
        cwd: again,
      })
    ).trim(),
    'same',
  );
  assert.deepEqual((await daemon.client.checkVolume('data')).problems, []);
});
