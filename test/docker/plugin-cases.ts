import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { directoryForm } from './plugin-forms.ts';
import { eventually } from './process.ts';
import { type Scene, writeAndSync } from './scene.ts';

/** The hosts that {@link pluginCases} and {@link processCases} take, where they run at the same time. */
export const pluginCaseCount = 3;
export const processCaseCount = 4;

/** What must hold when the plugin is lost and returns. Where it is a process of its own each harms one of its own: an engine waits 15 s for a dead one. */
export function pluginCases(sceneOf: (index: number) => Scene): void {
  test('while the plugin is dead no local volume is made in its stead, and afterwards labels and options are still there', async () => {
    const s = sceneOf(0);
    await s.docker('volume', 'create', '-d', s.form.driver, '-o', 'size=5G', '--label', 'keep=me', 'hidden');
    await s.plugin.kill();
    const [creation, listing] = await Promise.all([
      s.host.docker(['create', '-v', 'hidden:/data', 'bb', 'true']),
      s.host.docker(['volume', 'ls', '-q', '--filter', 'driver=local']),
      s.host.docker(['ps', '-a'], { timeoutMs: 5000 }).then(({ code }) => assert.equal(code, 0, 'docker ps does not wait for a dead plugin')),
    ]);
    assert.notEqual(creation.code, 0, creation.stdout);
    assert.doesNotMatch(listing.stdout, /hidden/);
    await s.plugin.start();
    const volume = await s.inspect('hidden');
    assert.deepEqual([volume.Driver, volume.Labels, volume.Options], [s.form.reportedDriver, { keep: 'me' }, { size: '5G' }]);
    await s.removes('hidden');
  });

  test('after all of the plugin was killed no dead mount stays behind, and a restarted container has its synced files', async () => {
    const s = sceneOf(1);
    await s.create('dead');
    await s.linger('dead', 'dead');
    await s.docker('exec', 'dead', 'sh', '-c', writeAndSync);
    await s.plugin.kill();
    await s.plugin.start();
    assert.equal(await s.sh('dead', 'cat /data/f'), 'kept');
    await s.docker('restart', 'dead');
    assert.equal(await s.docker('exec', 'dead', 'cat', '/data/f'), 'kept');
    await s.docker('rm', '-f', 'dead');
    await s.removes('dead');
  });

  test('a container that stops while the plugin is dead does not keep the volume for ever', async () => {
    const s = sceneOf(2);
    await s.create('orphaned');
    await s.linger('orphaned', 'orphaned');
    await s.plugin.kill();
    const removal = s.host.docker(['rm', '-f', 'orphaned']);
    await eventually('the container has ended', async () => ((await s.host.docker(['ps', '-q'])).stdout === '' ? true : undefined), 40_000);
    await removal;
    await s.plugin.start();
    await s.host.docker(['rm', '-f', 'orphaned']);
    await s.removes('orphaned');
  });
}

/**
 * The same of a plugin that somebody else than the engine starts: it can be dead while the engine believes in it. A managed plugin is in the
 * engine's hands, comes back with it, and is refused at once while it is disabled; managed-cases.ts says so.
 */
export function processCases(sceneOf: (index: number) => Scene): void {
  test('after a crash of the plugin everything goes on without the engine being restarted', async () => {
    const s = sceneOf(0);
    await s.create('survives');
    await s.linger('survives', 'survives');
    await s.docker('exec', 'survives', 'sh', '-c', writeAndSync);
    await s.plugin.crash();
    await eventually('the running container has its files back', async () => {
      const { stdout } = await s.host.docker(['exec', 'survives', 'cat', '/data/f']);
      return stdout === 'kept\n' ? true : undefined;
    });
    assert.equal(await s.sh('survives', 'cat /data/f'), 'kept', 'a new container too');
    assert.equal((await s.inspect('survives')).Status.holders.length, 1, 'and it is still known who holds it');
    await s.docker('rm', '-f', 'survives');
    await s.removes('survives');
    await s.create('survives');
    await s.removes('survives');
  });

  test('an engine that starts before the plugin finds it later, and has forgotten nothing', async () => {
    const s = sceneOf(1);
    await s.docker('volume', 'create', '-d', s.form.driver, '--label', 'keep=me', 'early');
    await s.plugin.stop();
    // It looks for the driver of the volume that it knows, 15 s long, before it answers anyone.
    const restart = s.host.restartDocker();
    await sleep(4000);
    await s.plugin.start();
    await restart;
    assert.deepEqual((await s.inspect('early')).Labels, { keep: 'me' });
    assert.equal(await s.sh('early', 'echo here > /data/f; cat /data/f'), 'here');
    await s.removes('early');
  });

  test('a container that is started while the plugin comes up waits for it', async () => {
    const s = sceneOf(2);
    await s.plugin.stop();
    await s.host.restartDocker();
    const run = s.sh('awaited', 'echo here > /data/f; cat /data/f', '--volume-driver', s.form.driver);
    await sleep(1500);
    await s.plugin.start();
    assert.equal(await run, 'here');
    assert.equal((await s.inspect('awaited')).Driver, s.form.reportedDriver);
    await s.removes('awaited');
  });

  test('a container that is removed while the plugin is stopped in good order does not keep its volume, though nobody removes that', async (t) => {
    const s = sceneOf(3);
    if (s.form === directoryForm) return t.skip('plain directories are not given back');
    await s.create('stopped');
    await s.linger('stopped', 'stopped');
    await s.plugin.stop();
    await s.host.docker(['rm', '-f', 'stopped']);
    await eventually('the container is gone', async () => ((await s.host.docker(['ps', '-aq'])).stdout === '' ? true : undefined), 40_000);
    await s.plugin.start();
    // Without a removal that the engine asks for: other hosts could not remove it, and this one not leave its cluster.
    await eventually(
      'the mount is given back',
      async () => {
        const { holders, hosts } = (await s.inspect('stopped')).Status;
        return holders.length === 0 && hosts.length === 0 ? true : undefined;
      },
      60_000,
    );
    await s.removes('stopped');
  });
}
