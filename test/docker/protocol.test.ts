/**
 * What the engine really sends, and what becomes of a volume when the way between engine and plugin fails. These are facts about the engine
 * that the plugin is built on: should another version behave differently, it is seen here.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, suite, test } from 'node:test';

import { socketPlugin } from './chosen-form.ts';
import { DockerLab, labImage } from './lab.ts';
import { eventually } from './process.ts';
import { type RecordedCall, Recorder } from './recorder.ts';
import { Scene } from './scene.ts';

const form = socketPlugin;

let s: Scene;
let recorder: Recorder;
const stack = new AsyncDisposableStack();

function names(calls: readonly RecordedCall[]): readonly string[] {
  return calls.map(({ name }) => name.replace('VolumeDriver.', ''));
}

function ids(calls: readonly RecordedCall[]): readonly unknown[] {
  return calls.map(({ body }) => body['ID']);
}

/** A labelled volume: what the engine forgets of it shows in the labels. */
async function labelled(name: string): Promise<void> {
  await s.docker('volume', 'create', '-d', form.driver, '--label', 'keep=me', name);
}

async function labelsOf(name: string): Promise<Readonly<Record<string, string>> | null> {
  return (await s.inspect(name)).Labels;
}

/** How long the engine tries before it gives a plugin up. */
const retriesMs = 15_000;

suite('between engine and plugin', () => {
  before(async () => {
    const lab = stack.use(await DockerLab.up({ hosts: 1 }));
    recorder = stack.use(await Recorder.start(lab.host));
    s = new Scene(lab.host, form, await form.start(lab.host, recorder.pluginSocket));
  });
  after(() => stack.disposeAsync());

  suite('on the way', { concurrency: 8 }, () => {
    test('calls have no content type and an empty host, options may be null, and the plugin is activated once', async () => {
      await s.create('plain');
      await s.names();
      const [creation] = recorder.of('plain', 'Create');
      assert.deepEqual([creation!.headers['content-type'], creation!.headers.host], [undefined, '']);
      assert.equal(creation!.headers.accept, 'application/vnd.docker.plugins.v1.2+json');
      assert.ok(creation!.body['Opts'] === null || JSON.stringify(creation!.body['Opts']) === '{}');
      const list = recorder.calls.find(({ name }) => name === 'VolumeDriver.List')!;
      assert.equal(list.text.trim(), '{}');
      const activations = recorder.calls.filter(({ name }) => name === 'Plugin.Activate');
      assert.deepEqual(
        activations.map(({ text }) => text),
        [''],
      );
      await s.removes('plain');
    });

    test('a container asks before each mount and unmount, and names both by one ID', async () => {
      await s.create('asked');
      const before = recorder.of('asked').length;
      await s.sh('asked', 'true', '-v', 'asked:/again:nocopy');
      const calls = recorder.of('asked').slice(before);
      for (const [index, { name }] of calls.entries()) {
        if (name === 'VolumeDriver.Mount' || name === 'VolumeDriver.Unmount') assert.equal(names(calls)[index - 1], 'Get', names(calls).join(' '));
      }
      const mounted = ids(recorder.of('asked', 'Mount'));
      assert.deepEqual(new Set(mounted), new Set(ids(recorder.of('asked', 'Unmount'))));
      assert.equal(mounted.length, recorder.of('asked', 'Unmount').length);
      assert.ok(mounted.length > 0 && mounted.every((id) => typeof id === 'string' && id !== ''));
      await s.removes('asked');
    });

    test('the copy from the image has a mount ID of its own, and volume-nocopy saves it', async () => {
      for (const name of ['seeding', 'unseeding']) await s.create(name);
      await s.docker('run', '--rm', '--network=none', '-v', 'seeding:/seeded', labImage, 'true');
      await s.docker('run', '--rm', '--network=none', '-v', 'unseeding:/seeded:nocopy', labImage, 'true');
      assert.equal(new Set(ids(recorder.of('seeding', 'Mount'))).size, 2);
      assert.equal(recorder.of('unseeding', 'Mount').length, 1);
      for (const name of ['seeding', 'unseeding']) await s.removes(name);
    });

    test('docker cp mounts and unmounts once more with the ID of the running container, so no counter and no set of IDs tells who is left', async () => {
      await s.create('copying');
      await s.linger('copying', 'copying');
      const own = ids(recorder.of('copying', 'Mount')).at(-1);
      const file = path.join(s.host.directory, 'copying');
      writeFileSync(file, 'x');
      await s.docker('cp', file, 'copying:/data/f');
      assert.equal(ids(recorder.of('copying', 'Mount')).at(-1), own);
      assert.deepEqual(ids(recorder.of('copying', 'Unmount')).at(-1), own);
      assert.equal(await s.docker('exec', 'copying', 'cat', '/data/f'), 'x');
      await s.docker('rm', '-f', 'copying');
      await s.removes('copying');
    });

    test('a list of volumes asks for no paths', async () => {
      await s.create('listed');
      await s.names();
      assert.deepEqual(
        recorder.calls.filter(({ name }) => name === 'VolumeDriver.Path'),
        [],
      );
      await s.removes('listed');
    });

    test('a mount that fails gets no unmount, and the volume is as good as before', async () => {
      await s.create('failing');
      const before = recorder.of('failing', 'Unmount').length;
      await s.docker('create', '--name', 'failing', '--network=none', '-v', 'failing:/data', labImage, 'true');
      const unmounts = recorder.of('failing', 'Unmount').length;
      recorder.harm('failing', 'Mount', { kind: 'answer', body: { Err: 'no quorum just now' } });
      await s.refused(/no quorum just now/, 'start', 'failing');
      assert.equal(recorder.of('failing', 'Unmount').length, unmounts, `${before} before`);
      await s.docker('start', '-a', 'failing');
      await s.docker('rm', 'failing');
      await s.removes('failing');
    });

    test('an error to a Get makes the engine forget what it knew: this is why an unknown answer hangs up', async () => {
      await labelled('forgotten');
      recorder.harm('forgotten', 'Get', { kind: 'answer', body: { Err: 'no quorum just now' } });
      await s.refused(/no such volume/i, 'volume', 'inspect', 'forgotten');
      assert.equal(await labelsOf('forgotten'), null);
      await s.removes('forgotten');
    });

    test('an empty creation time makes the engine forget it too: this is why an unreadable one is left out', async () => {
      await labelled('untimely');
      recorder.harm('untimely', 'Get', { kind: 'answer', body: { Volume: { Name: 'untimely', CreatedAt: '' } } });
      await s.host.docker(['volume', 'inspect', 'untimely']);
      assert.equal(await labelsOf('untimely'), null);
      await s.removes('untimely');
    });

    test('a Get whose answer is lost is repeated without its body, and the volume keeps its labels', async () => {
      await labelled('unheard');
      recorder.harm('unheard', 'Get', { kind: 'lose the answer' });
      const started = performance.now();
      const { code } = await s.host.docker(['volume', 'inspect', 'unheard']);
      assert.notEqual(code, 0);
      assert.ok(performance.now() - started < retriesMs + 10_000, 'the engine gives up');
      assert.ok(recorder.calls.some(({ name, text }) => name === 'VolumeDriver.Get' && text === ''));
      assert.deepEqual(await labelsOf('unheard'), { keep: 'me' });
      await s.removes('unheard');
    });

    test('a creation whose answer is lost can be repeated', async () => {
      recorder.harm('uncreated', 'Create', { kind: 'lose the answer' });
      await s.refused(/came without a body/, 'volume', 'create', '-d', form.driver, 'uncreated');
      await s.create('uncreated');
      await s.removes('uncreated');
    });

    test('a mount whose answer is lost fails, and holds the volume neither against a container nor against its removal', async () => {
      await s.create('unmounted');
      await s.docker('create', '--name', 'unmounted', '--network=none', '-v', 'unmounted:/data', labImage, 'true');
      recorder.harm('unmounted', 'Mount', { kind: 'lose the answer' });
      await s.refused(/came without a body/, 'start', 'unmounted');
      await s.sh('unmounted', 'echo x > /data/f');
      await s.docker('rm', 'unmounted');
      await s.removes('unmounted');
    });

    test('an unmount whose answer is lost holds nothing either', async () => {
      await s.create('unheld');
      await s.linger('unheld', 'unheld');
      recorder.harm('unheld', 'Unmount', { kind: 'lose the answer' });
      await s.host.docker(['rm', '-f', 'unheld']);
      await s.host.docker(['rm', '-f', 'unheld']);
      await s.removes('unheld');
    });

    test('a removal whose answer is lost has removed the volume', async () => {
      await s.create('removed');
      recorder.harm('removed', 'Remove', { kind: 'lose the answer' });
      await s.host.docker(['volume', 'rm', 'removed']);
      await s.refused(/no such volume/i, 'volume', 'inspect', 'removed');
      await s.create('removed');
      await s.removes('removed');
    });
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
});
