import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { suite, test } from 'node:test';

import { labImage } from './lab.ts';
import type { RecordedCall, Recorder } from './recorder.ts';
import type { Scene } from './scene.ts';

/** A host with a recorder between its engine and its plugin. */
export interface Watched {
  readonly s: Scene;
  readonly recorder: Recorder;
}

/** How long the engine tries before it gives a plugin up. */
export const retriesMs = 15_000;

function names(calls: readonly RecordedCall[]): readonly string[] {
  return calls.map(({ name }) => name.replace('VolumeDriver.', ''));
}

export function ids(calls: readonly RecordedCall[]): readonly unknown[] {
  return calls.map(({ body }) => body['ID']);
}

/** The bodies of all calls of that name. */
export function textsOf(recorder: Recorder, call: string): readonly string[] {
  return recorder.calls.filter(({ name }) => name === call).map(({ text }) => text.trim());
}

/** A labelled volume: what the engine forgets of it shows in the labels. */
export async function labelled(s: Scene, name: string): Promise<void> {
  await s.docker('volume', 'create', '-d', s.form.driver, '--label', 'keep=me', name);
}

async function labelsOf(s: Scene, name: string): Promise<Readonly<Record<string, string>> | null> {
  return (await s.inspect(name)).Labels;
}

/**
 * What the engine really sends, and what becomes of a volume when the way between engine and plugin fails. These are facts about the engine
 * that the plugin is built on: should another version behave differently, it is seen here. Every case has volumes of its own.
 */
export function protocolCases(watched: () => Watched): void {
  usualCalls(watched);
  wrongAnswers(watched);
  lostAnswers(watched);
}

function usualCalls(watched: () => Watched): void {
  test('calls have no content type and an empty host, options may be null, and what needs no body has an empty object', async () => {
    const { s, recorder } = watched();
    await s.create('plain');
    await s.names();
    const [creation] = recorder.of('plain', 'Create');
    assert.deepEqual([creation!.headers['content-type'], creation!.headers.host], [undefined, '']);
    assert.equal(creation!.headers.accept, 'application/vnd.docker.plugins.v1.2+json');
    assert.ok(creation!.body['Opts'] === null || JSON.stringify(creation!.body['Opts']) === '{}');
    for (const call of ['List', 'Capabilities']) assert.deepEqual(new Set(textsOf(recorder, `VolumeDriver.${call}`)), new Set(['{}']), call);
    await s.removes('plain');
  });

  test('a container asks before each mount and unmount, and names both by one ID', async () => {
    const { s, recorder } = watched();
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
    const { s, recorder } = watched();
    for (const name of ['seeding', 'unseeding']) await s.create(name);
    await s.docker('run', '--rm', '--network=none', '-v', 'seeding:/seeded', labImage, 'true');
    await s.docker('run', '--rm', '--network=none', '-v', 'unseeding:/seeded:nocopy', labImage, 'true');
    assert.equal(new Set(ids(recorder.of('seeding', 'Mount'))).size, 2);
    assert.equal(recorder.of('unseeding', 'Mount').length, 1);
    for (const name of ['seeding', 'unseeding']) await s.removes(name);
  });

  test('docker cp mounts and unmounts once more with the ID of the running container, so no counter and no set of IDs tells who is left', async () => {
    const { s, recorder } = watched();
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
    const { s, recorder } = watched();
    await s.create('listed');
    await s.names();
    assert.deepEqual(recorder.of('listed', 'Path'), []);
    await s.removes('listed');
  });
}

function wrongAnswers(watched: () => Watched): void {
  test('a mount that fails gets no unmount, and the volume is as good as before', async () => {
    const { s, recorder } = watched();
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
    const { s, recorder } = watched();
    await labelled(s, 'forgotten');
    recorder.harm('forgotten', 'Get', { kind: 'answer', body: { Err: 'no quorum just now' } });
    await s.refused(/no such volume/i, 'volume', 'inspect', 'forgotten');
    assert.equal(await labelsOf(s, 'forgotten'), null);
    await s.removes('forgotten');
  });

  test('an empty creation time makes the engine forget it too: this is why an unreadable one is left out', async () => {
    const { s, recorder } = watched();
    await labelled(s, 'untimely');
    recorder.harm('untimely', 'Get', { kind: 'answer', body: { Volume: { Name: 'untimely', CreatedAt: '' } } });
    await s.host.docker(['volume', 'inspect', 'untimely']);
    assert.equal(await labelsOf(s, 'untimely'), null);
    await s.removes('untimely');
  });

  test('an empty answer to a Get does the same, and is said to mean that there is no such volume', async () => {
    const { s, recorder } = watched();
    await labelled(s, 'unsaid');
    recorder.harm('unsaid', 'Get', { kind: 'answer', body: {} });
    await s.refused(/no such volume/i, 'volume', 'inspect', 'unsaid');
    assert.equal(await labelsOf(s, 'unsaid'), null);
    await s.removes('unsaid');
  });

  test('where a Get gets an error, a mount without a driver silently makes a local volume of that name', async () => {
    const { s, recorder } = watched();
    await labelled(s, 'usurped');
    // It asks twice: for the volume that it knows, and then every driver.
    for (let i = 0; i < 2; i++) recorder.harm('usurped', 'Get', { kind: 'answer', body: { Err: 'no quorum just now' } });
    await s.docker('create', '--name', 'usurper', '--network=none', '-v', 'usurped:/data', labImage, 'true');
    recorder.heal('usurped');
    assert.equal((await s.inspect('usurped')).Driver, 'local');
    await s.docker('rm', 'usurper');
    await s.docker('volume', 'rm', 'usurped');
    await s.create('usurped');
    await s.removes('usurped');
  });

  test('where a Get gets an error no unmount is sent, and the volume can be removed all the same', async () => {
    const { s, recorder } = watched();
    await s.create('unleft');
    await s.linger('unleft', 'unleft');
    recorder.harm('unleft', 'Get', { kind: 'answer', body: { Err: 'no quorum just now' } });
    await s.docker('stop', 'unleft');
    await s.docker('rm', 'unleft');
    assert.deepEqual(recorder.of('unleft', 'Unmount'), []);
    await s.removes('unleft');
  });
}

function lostAnswers(watched: () => Watched): void {
  // One after the other: a Get without a body does not say whose it is.
  suite('a Get is repeated', { concurrency: 1 }, () => {
    test('a Get whose answer is lost is repeated four times without its body, later each time, and the volume keeps its labels', async () => {
      const { s, recorder } = watched();
      await labelled(s, 'unheard');
      recorder.harm('unheard', 'Get', { kind: 'lose the answer' });
      assert.notEqual((await s.host.docker(['volume', 'inspect', 'unheard'])).code, 0);
      const times = [
        recorder.of('unheard', 'Get').at(-1)!,
        ...recorder.calls.filter(({ name, text }) => name === 'VolumeDriver.Get' && text === ''),
      ].map(({ atMs }) => atMs);
      const pauses = times.slice(1).map((time, index) => time - times[index]!);
      assert.equal(pauses.length, 4);
      assert.deepEqual(
        pauses,
        pauses.toSorted((a, b) => a - b),
        '1, 2, 4 and 8 s',
      );
      assert.ok(times.at(-1)! - times[0]! >= retriesMs - 100, pauses.join(', '));
      assert.deepEqual(await labelsOf(s, 'unheard'), { keep: 'me' });
      await s.removes('unheard');
    });

    test('an error to a Get without a body makes the engine forget, too: this is why it hangs up', async () => {
      const { s, recorder } = watched();
      await labelled(s, 'nameless');
      recorder.harm('nameless', 'Get', { kind: 'lose the answer' });
      recorder.harm('', 'Get', { kind: 'answer', body: { Err: 'for which volume?' } });
      await s.refused(/no such volume/i, 'volume', 'inspect', 'nameless');
      assert.equal(await labelsOf(s, 'nameless'), null);
      await s.removes('nameless');
    });
  });

  test('a creation whose answer is lost can be repeated', async () => {
    const { s, recorder } = watched();
    recorder.harm('uncreated', 'Create', { kind: 'lose the answer' });
    await s.refused(/came without a body/, 'volume', 'create', '-d', s.form.driver, 'uncreated');
    await s.create('uncreated');
    await s.removes('uncreated');
  });

  test('a mount whose answer is lost fails, and holds the volume neither against a container nor against its removal', async () => {
    const { s, recorder } = watched();
    await s.create('unmounted');
    await s.docker('create', '--name', 'unmounted', '--network=none', '-v', 'unmounted:/data', labImage, 'true');
    recorder.harm('unmounted', 'Mount', { kind: 'lose the answer' });
    await s.refused(/came without a body/, 'start', 'unmounted');
    await s.sh('unmounted', 'echo x > /data/f');
    await s.docker('rm', 'unmounted');
    await s.removes('unmounted');
  });

  test('an unmount whose answer is lost holds nothing either', async () => {
    const { s, recorder } = watched();
    await s.create('unheld');
    await s.linger('unheld', 'unheld');
    recorder.harm('unheld', 'Unmount', { kind: 'lose the answer' });
    await s.host.docker(['rm', '-f', 'unheld']);
    await s.host.docker(['rm', '-f', 'unheld']);
    await s.removes('unheld');
  });

  test('a removal whose answer is lost has removed the volume', async () => {
    const { s, recorder } = watched();
    await s.create('removed');
    recorder.harm('removed', 'Remove', { kind: 'lose the answer' });
    await s.host.docker(['volume', 'rm', 'removed']);
    await s.refused(/no such volume/i, 'volume', 'inspect', 'removed');
    await s.create('removed');
    await s.removes('removed');
  });
}
