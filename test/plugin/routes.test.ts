import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';

import { InfinitError } from '../../src/base/index.ts';
import { post, type Reply, servePlugin } from './calls.ts';

function body(reply: Reply): Record<string, unknown> {
  assert.notEqual(reply, 'hung up');
  return (reply as Exclude<Reply, 'hung up'>).body;
}

function refusal(reply: Reply): string {
  const { Err } = body(reply);
  assert.equal(typeof Err, 'string');
  assert.notEqual(Err, '');
  return Err as string;
}

test('a volume lives: activate, create, get, list, mount, path, unmount, remove', async () => {
  await using plugin = await servePlugin();
  assert.deepEqual(body(await plugin.call('Plugin.Activate')), { Implements: ['VolumeDriver'] });
  assert.deepEqual(body(await plugin.call('VolumeDriver.Capabilities', {})), { Capabilities: { Scope: 'global' } });
  assert.equal(body(await plugin.call('VolumeDriver.Create', { Name: 'v', Opts: { size: '1G' } }))['Err'], '');
  const { Volume } = body(await plugin.call('VolumeDriver.Get', { Name: 'v' })) as { Volume: Record<string, unknown> };
  assert.equal(Volume['Name'], 'v');
  assert.equal(Volume['CreatedAt'], '2026-01-02T03:04:05Z');
  assert.equal((Volume['Status'] as { options: Record<string, string> }).options['size'], '1G');
  assert.equal('Mountpoint' in Volume, false);
  assert.equal((body(await plugin.call('VolumeDriver.List', {}))['Volumes'] as unknown[]).length, 1);
  assert.equal(body(await plugin.call('VolumeDriver.Path', { Name: 'v' }))['Mountpoint'], '');
  assert.equal(body(await plugin.call('VolumeDriver.Mount', { Name: 'v', ID: 'one' }))['Mountpoint'], '/mounts/v');
  assert.equal(body(await plugin.call('VolumeDriver.Path', { Name: 'v' }))['Mountpoint'], '/mounts/v');
  assert.equal(body(await plugin.call('VolumeDriver.Unmount', { Name: 'v', ID: 'one' }))['Err'], '');
  assert.equal(body(await plugin.call('VolumeDriver.Remove', { Name: 'v' }))['Err'], '');
  assert.match(refusal(await plugin.call('VolumeDriver.Get', { Name: 'v' })), /there is no volume "v"/);
});

test('answers carry the media type of the plugin protocol and close the connection', async () => {
  await using plugin = await servePlugin();
  const reply = await plugin.call('Plugin.Activate');
  assert.match((reply as { type: string }).type, /^application\/vnd\.docker\.plugins\.v1\.2\+json/);
});

test('options may be null', async () => {
  await using plugin = await servePlugin();
  assert.equal(body(await plugin.call('VolumeDriver.Create', { Name: 'v', Opts: null }))['Err'], '');
});

test('creating again with the same options is fine, with others it is refused', async () => {
  await using plugin = await servePlugin();
  for (const size of ['1G', '1024M']) assert.equal(body(await plugin.call('VolumeDriver.Create', { Name: 'v', Opts: { size } }))['Err'], '');
  assert.match(refusal(await plugin.call('VolumeDriver.Create', { Name: 'v', Opts: { size: '2G' } })), /other options/);
});

test('a Get whose answer is not known hangs up instead of saying that there is no such volume', async () => {
  await using plugin = await servePlugin();
  plugin.volumes.trouble = new InfinitError('unavailable', 'the catalogue cannot be read');
  assert.equal(await plugin.call('VolumeDriver.Get', { Name: 'v' }), 'hung up');
  assert.match(refusal(await plugin.call('VolumeDriver.List', {})), /catalogue/);
});

test('a Get without a body hangs up, other calls without one say so', async () => {
  await using plugin = await servePlugin();
  assert.equal(await plugin.call('VolumeDriver.Get'), 'hung up');
  for (const call of ['Create', 'Remove', 'Mount', 'Unmount', 'Path']) {
    assert.match(refusal(await plugin.call(`VolumeDriver.${call}`)), /came without a body/);
  }
  assert.deepEqual(plugin.volumes.calls, []);
  for (const call of ['Plugin.Activate', 'VolumeDriver.List', 'VolumeDriver.Capabilities']) body(await plugin.call(call));
});

test('a Get of an impossible name says that there is no such volume', async () => {
  await using plugin = await servePlugin();
  for (const Name of ['', '../etc', 'x'.repeat(300), 'a\0b', undefined, 7, null]) refusal(await plugin.call('VolumeDriver.Get', { Name }));
  const deep = `{"Name":${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
  assert.match(refusal(await plugin.call('VolumeDriver.Get', deep)), /there is no volume "an object"/);
});

test('an unreadable creation time is left out, since the engine would forget the volume', async () => {
  await using plugin = await servePlugin();
  await plugin.call('VolumeDriver.Create', { Name: 'v' });
  for (const time of ['', 'yesterday', '2026-13-45T99:99:99Z']) {
    plugin.volumes.createdAt = time;
    const { Volume } = body(await plugin.call('VolumeDriver.Get', { Name: 'v' })) as { Volume: object };
    assert.equal('CreatedAt' in Volume, false, time);
  }
});

test('no bad input goes without a clear answer, and the plugin lives on', async () => {
  await using plugin = await servePlugin();
  for (const text of ['{', 'null', '[]', '"v"', '7', '\0', '{"Name":', '\xff\xfe']) {
    assert.match(refusal(await plugin.call('VolumeDriver.Create', text)), /not a JSON object/, text);
    assert.match(refusal(await plugin.call('VolumeDriver.Get', text)), /not a JSON object/, text);
  }
  assert.match(refusal(await plugin.call('VolumeDriver.Create', { Name: '../../etc' })), /letters, digits/);
  assert.equal(refusal(await plugin.call('VolumeDriver.Create', {})), 'a volume needs a name');
  assert.match(refusal(await plugin.call('VolumeDriver.Create', { Name: 7 })), /must be a string/);
  assert.match(refusal(await plugin.call('VolumeDriver.Create', { Name: 'v', Opts: { sise: '1G' } })), /did you mean "size"/);
  assert.match(refusal(await plugin.call('VolumeDriver.Create', { Name: 'v', Opts: ['size'] })), /an object of strings/);
  assert.match(refusal(await plugin.call('VolumeDriver.Mount', { Name: 'v' })), /mount ID/);
  assert.match(refusal(await plugin.call('VolumeDriver.Mount', { Name: 'v', ID: 'i'.repeat(300) })), /mount ID/);
  assert.match(refusal(await plugin.call('VolumeDriver.Mount', { Name: 'v', ID: 'i' })), /there is no volume "v"/);
  assert.match(refusal(await plugin.call('VolumeDriver.Remove', { Name: 'v' })), /there is no volume "v"/);
  assert.match(refusal(await plugin.call('VolumeDriver.Explode', { Name: 'v' })), /no call POST \/VolumeDriver.Explode/);
  assert.match(refusal(await plugin.call('%ff%00', { Name: 'v' })), /./);
  assert.match(refusal(await plugin.call('VolumeDriver.Create', `{"Name":"${'x'.repeat(2_000_000)}"}`)), /more than 1048576 bytes/);
  assert.deepEqual(body(await plugin.call('Plugin.Activate')), { Implements: ['VolumeDriver'] });
});

test('what is not HTTP, and a caller that leaves in the middle, do no harm', async () => {
  await using plugin = await servePlugin();
  for (const text of ['garbage\r\n\r\n', '\0\0\0', 'POST /VolumeDriver.Create HTTP/1.1\r\nHost:\r\nContent-Length: 100\r\n\r\n{"Na']) {
    await new Promise<void>((resolve) => {
      const socket = connect(plugin.socketPath, () => socket.end(text));
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.resume();
    });
  }
  assert.deepEqual(body(await plugin.call('Plugin.Activate')), { Implements: ['VolumeDriver'] });
});

test('a connection is for one call: what follows it there is not done, since nobody would hear of it', async () => {
  await using plugin = await servePlugin();
  await plugin.call('VolumeDriver.Create', { Name: 'v' });
  const mount = (ID: string): string => {
    const text = JSON.stringify({ Name: 'v', ID });
    return `POST /VolumeDriver.Mount HTTP/1.1\r\nHost:\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  };
  const answered = await new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(plugin.socketPath, () => socket.write(mount('one') + mount('two')));
    socket.setEncoding('utf8').on('data', (part: string) => (text += part));
    socket.on('close', () => resolve(text));
  });
  assert.match(answered, /"Mountpoint":"\/mounts\/v"/);
  assert.deepEqual([...plugin.volumes.volumes.get('v')!.holders], ['docker:one']);
});

test('a broken service is answered for, and the plugin lives on', async () => {
  await using plugin = await servePlugin();
  plugin.volumes.trouble = new TypeError('undefined is not a function');
  assert.match(refusal(await plugin.call('VolumeDriver.Remove', { Name: 'v' })), /undefined is not a function/);
  assert.equal(await plugin.call('VolumeDriver.Get', { Name: 'v' }), 'hung up');
});

test('a slow mount holds up neither other volumes nor questions about its own', async () => {
  await using plugin = await servePlugin();
  for (const Name of ['slow', 'quick']) await plugin.call('VolumeDriver.Create', { Name });
  const release = Promise.withResolvers<void>();
  plugin.volumes.mountDelay = () => release.promise;
  const slow = plugin.call('VolumeDriver.Mount', { Name: 'slow', ID: 'one' });
  plugin.volumes.mountDelay = async () => {};
  await new Promise((resolve) => setTimeout(resolve, 50));
  body(await post(plugin.socketPath, 'VolumeDriver.Get', '{"Name":"slow"}'));
  body(await plugin.call('VolumeDriver.Mount', { Name: 'quick', ID: 'two' }));
  release.resolve();
  assert.equal(body(await slow)['Mountpoint'], '/mounts/slow');
});

test('where hosts are missing, a refusal names them instead of blocks; other refusals stay as they are', async () => {
  let missing: string | undefined = '2 of 3 hosts do not answer (h1, h2); see `infinit status`';
  await using plugin = await servePlugin({ whoIsMissing: () => missing });
  plugin.volumes.trouble = new InfinitError('unavailable', 'too few replicas of block 1332 answered');
  assert.equal(refusal(await plugin.call('VolumeDriver.List', {})), missing);
  plugin.volumes.trouble = new InfinitError('unknown-outcome', 'whether block 1332 was written is not known');
  assert.equal(refusal(await plugin.call('VolumeDriver.List', {})), `whether it was done is not known, since ${missing}`);
  plugin.volumes.trouble = new InfinitError('denied', 'no right to write');
  assert.equal(refusal(await plugin.call('VolumeDriver.List', {})), 'no right to write');
  missing = undefined;
  plugin.volumes.trouble = new InfinitError('unavailable', 'too few replicas of block 1332 answered');
  assert.match(refusal(await plugin.call('VolumeDriver.List', {})), /block 1332/);
});
