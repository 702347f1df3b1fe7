/** What the engine and the plugin on its legacy socket say to each other, one at rest and then one of them restarted. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';

import { socketPlugin } from './chosen-form.ts';
import { DockerLab } from './lab.ts';
import { eventually } from './process.ts';
import { ids, labelled, protocolCases, retriesMs, textsOf, type Watched } from './protocol-cases.ts';
import { type RecordedCall, Recorder } from './recorder.ts';
import { Scene } from './scene.ts';

const form = socketPlugin;

suite('between engine and plugin', () => {
  let s: Scene;
  let recorder: Recorder;
  const stack = new AsyncDisposableStack();
  const watched = (): Watched => ({ s, recorder });

  before(async () => {
    const lab = stack.use(await DockerLab.up({ hosts: 1 }));
    recorder = stack.use(await Recorder.start(lab.host));
    s = new Scene(lab.host, form, await form.start(lab.host, recorder.pluginSocket));
  });
  after(() => stack.disposeAsync());

  suite('on the way', { concurrency: 8 }, () => protocolCases(watched));

  test('the plugin is activated once, without a body, and asked once for its capabilities', async () => {
    await s.create('active');
    await s.removes('active');
    assert.deepEqual(textsOf(recorder, 'Plugin.Activate'), ['']);
    assert.equal(textsOf(recorder, 'VolumeDriver.Capabilities').length, 1);
  });

  // Not beside the others: the engine's list waits for a volume of which a Get is being repeated.
  test('a call that hangs holds up neither other volumes nor the lists', async () => {
    for (const name of ['hanging', 'moving']) await s.create(name);
    const release = Promise.withResolvers<void>();
    recorder.harm('hanging', 'Mount', { kind: 'wait', until: release.promise });
    const hanging = s.sh('hanging', 'echo done', '-v', 'hanging:/other:nocopy');
    await eventually('the mount hangs', () => (recorder.of('hanging', 'Mount').length > 0 ? true : undefined));
    const started = performance.now();
    await Promise.all([s.docker('ps'), s.names(), s.inspect('moving'), s.sh('moving', 'true')]);
    assert.ok(performance.now() - started < retriesMs);
    release.resolve();
    assert.equal(await hanging, 'done');
    for (const name of ['hanging', 'moving']) await s.removes(name);
  });

  /** The calls that the engine makes meanwhile. */
  async function callsDuring(what: () => Promise<unknown>): Promise<readonly RecordedCall[]> {
    const before = recorder.calls.length;
    await what();
    return recorder.calls.slice(before);
  }

  function idsOf(calls: readonly RecordedCall[], call: string, volume: string): readonly unknown[] {
    return ids(calls.filter(({ name, body }) => name === `VolumeDriver.${call}` && body['Name'] === volume));
  }

  test('when only the plugin restarts the engine neither activates it nor mounts anything again', async () => {
    await s.create('lasting');
    await s.linger('lasting', 'lasting');
    const calls = await callsDuring(async () => {
      await s.plugin.crash();
      await s.inspect('lasting');
      await s.plugin.stop();
      await s.plugin.start();
      await s.inspect('lasting');
    });
    // Its own announcement asks for a list.
    assert.deepEqual(
      calls.map(({ name }) => name).filter((name) => name !== 'VolumeDriver.List'),
      ['VolumeDriver.Get', 'VolumeDriver.Get'],
    );
    await s.docker('rm', '-f', 'lasting');
    await s.removes('lasting');
  });

  test('after a crash the engine mounts under the old ID for a container that it starts again, and unmounts once in the end; for another it sends nothing', async () => {
    for (const name of ['resumed', 'ended']) await s.create(name);
    await s.linger('resumed', 'resumed', '--restart=always');
    await s.linger('ended', 'ended');
    const first = idsOf(recorder.calls, 'Mount', 'resumed');
    assert.equal(first.length, 1);
    const calls = await callsDuring(async () => {
      await s.host.restartDocker('SIGKILL');
      await eventually('it runs again', async () =>
        (await s.docker('inspect', '-f', '{{.State.Running}}', 'resumed')) === 'true' ? true : undefined,
      );
      await s.docker('rm', '-f', 'resumed', 'ended');
    });
    assert.deepEqual([idsOf(calls, 'Mount', 'resumed'), idsOf(calls, 'Unmount', 'resumed')], [first, first]);
    assert.deepEqual([idsOf(calls, 'Mount', 'ended'), idsOf(calls, 'Unmount', 'ended')], [[], []]);
    for (const name of ['resumed', 'ended']) await s.removes(name);
  });

  test('a restarted engine asks for a volume without a name, once it had to forget one; with live-restore it mounts nothing again', async () => {
    await labelled(s, 'forgotten');
    recorder.harm('forgotten', 'Get', { kind: 'answer', body: { Err: 'no quorum just now' } });
    await s.refused(/no such volume/i, 'volume', 'inspect', 'forgotten');
    // Found again, it is written down without its name.
    await s.inspect('forgotten');
    await s.create('living');
    await s.linger('living', 'living');
    const calls = await callsDuring(() => s.host.restartDocker('SIGKILL', '--live-restore'));
    assert.ok(calls.some(({ name, text }) => name === 'VolumeDriver.Get' && text.trim() === '{"Name":""}'));
    assert.deepEqual(idsOf(calls, 'Mount', 'living'), []);
    await s.docker('rm', '-f', 'living');
    assert.deepEqual(idsOf(recorder.calls, 'Unmount', 'living'), idsOf(recorder.calls, 'Mount', 'living'));
    for (const name of ['living', 'forgotten']) await s.removes(name);
  });
});
