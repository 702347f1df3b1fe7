import assert from 'node:assert/strict';
import { test } from 'node:test';

import { eventually } from './process.ts';
import { type Scene, writeAndSync } from './scene.ts';

/** What must hold when the engine stops, crashes and returns. One after another: they share the engine that they harm. */
export function engineCases(scene: () => Scene): void {
  test('a fresh engine knows the plugin before anyone used it, and a restarted one again', async () => {
    const s = scene();
    await engineKnows(s);
    await s.host.restartDocker();
    await engineKnows(s);
  });

  test('volumes, labels, data and restarting containers outlive a restart of the engine', async () => {
    const s = scene();
    await s.docker('volume', 'create', '-d', s.form.driver, '-o', 'size=5G', '--label', 'keep=me', 'outlives');
    await s.linger('outlives', 'outlives', '--restart=always');
    await s.docker('exec', 'outlives', 'sh', '-c', 'echo kept > /data/f');
    await s.host.restartDocker();
    const volume = await s.inspect('outlives');
    assert.deepEqual([volume.Labels, volume.Options, volume.Status.options['size']], [{ keep: 'me' }, { size: '5G' }, '5G']);
    await running(s, 'outlives');
    assert.equal(await s.docker('exec', 'outlives', 'cat', '/data/f'), 'kept');
    await s.docker('rm', '-f', 'outlives');
    await s.removes('outlives');
  });

  test('a crash of the engine leaves nothing held', async () => {
    const s = scene();
    await s.create('crashed');
    await s.linger('crashed', 'crashed');
    await s.linger('crashed-again', 'crashed', '--restart=always');
    await s.docker('exec', 'crashed', 'sh', '-c', 'echo kept > /data/f');
    for (let i = 0; i < 2; i++) await s.host.restartDocker('SIGKILL');
    await running(s, 'crashed-again');
    assert.equal(await s.docker('exec', 'crashed-again', 'cat', '/data/f'), 'kept');
    await s.docker('rm', '-f', 'crashed', 'crashed-again');
    await s.removes('crashed');
  });

  test('after a reboot of the host a restarting container has its data, and nothing is held that only the dead ones held', async () => {
    const s = scene();
    for (const name of ['rebooted', 'left']) await s.create(name);
    await s.linger('rebooted', 'rebooted', '--restart=always');
    await s.linger('left', 'left');
    await s.docker('exec', 'rebooted', 'sh', '-c', writeAndSync);
    await s.host.reboot();
    // The engine starts those that it manages.
    if (s.form.announced) await s.plugin.start();
    await s.host.startDocker();
    if (!s.form.announced) await s.plugin.start();
    await running(s, 'rebooted');
    assert.equal(await s.docker('exec', 'rebooted', 'cat', '/data/f'), 'kept');
    // A managed plugin has a /proc of its own, with the machine's boot.
    if (s.form.announced) assert.deepEqual((await s.inspect('left')).Status.holders, []);
    await s.docker('rm', '-f', 'rebooted', 'left');
    for (const name of ['rebooted', 'left']) await s.removes(name);
  });

  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    test(`with live-restore a container goes on through ${signal} of the engine`, async () => {
      const s = scene();
      const name = `live-${signal.toLowerCase()}`;
      await s.host.restartDocker('SIGTERM', '--live-restore');
      await s.create(name);
      await s.linger(name, name);
      await s.docker(
        'exec',
        name,
        'sh',
        '-c',
        'echo $$ > /data/f; (while :; do date +%s%N > /data/next; mv /data/next /data/now; sleep 0.1; done) > /dev/null 2>&1 &',
      );
      await s.host.stopDocker(signal);
      await s.host.startDocker('--live-restore');
      assert.equal(await s.docker('inspect', '-f', '{{.State.Running}} {{.RestartCount}}', name), 'true 0');
      const now = await s.docker('exec', name, 'cat', '/data/now');
      await eventually('the container still writes', async () => ((await s.docker('exec', name, 'cat', '/data/now')) === now ? undefined : true));
      assert.notEqual(await s.sh(name, 'cat /data/now'), '', 'a new container sees the same volume');
      await s.docker('rm', '-f', name);
      await s.removes(name);
    });
  }
}

/** The engine reports the driver to Swarm's scheduler. */
async function engineKnows(s: Scene): Promise<void> {
  if (!s.form.announced) return;
  await eventually('the engine knows the plugin', async () => {
    const plugins = JSON.parse(await s.docker('info', '--format', '{{json .Plugins.Volume}}')) as string[];
    return plugins.includes(s.form.driver) ? true : undefined;
  });
}

/** The engine restarts a container a little after its own start. */
async function running(s: Scene, container: string): Promise<void> {
  await eventually(`${container} runs`, async () =>
    (await s.docker('inspect', '-f', '{{.State.Running}}', container)) === 'true' ? true : undefined,
  );
}
