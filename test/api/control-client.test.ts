import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ControlClient, controlSocketOf, defaultControlSocket } from '../../src/api/index.ts';

/** Something that listens on a socket, and is no daemon or a sick one. */
async function listening(serve: RequestListener, deadlineMs?: number): Promise<AsyncDisposable & { readonly client: ControlClient }> {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-client-'));
  const socketPath = path.join(directory, 'socket');
  const server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    client: new ControlClient(socketPath, deadlineMs),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    },
  };
}

test('where nobody names a daemon it is the one of this host, be it a process or in the managed plugin', () => {
  const managed = '/var/lib/infinit/control.sock';
  const among = (...there: string[]): string => controlSocketOf({}, (file) => there.includes(file));
  assert.equal(among(), defaultControlSocket);
  assert.equal(among(managed), managed);
  assert.equal(among(managed, defaultControlSocket), defaultControlSocket);
  assert.equal(
    controlSocketOf({ INFINIT_CONTROL_SOCKET: '/elsewhere' }, () => true),
    '/elsewhere',
  );
});

test('a socket of something else, such as that of the volume plugin, is no bug', async () => {
  await using plugin = await listening((_request, response) => response.writeHead(404).end('{"Err":"no such call"}'));
  await assert.rejects(plugin.client.listVolumes(), { code: 'unavailable', message: /does not speak Infinit's control API$/ });
});

test('a call whose answer was cut off may have been done, and is not said to have failed', async () => {
  await using gone = await listening((request) => request.socket.destroy());
  await assert.rejects(gone.client.removeVolume('a'), {
    code: 'unknown-outcome',
    message: /^the daemon went away before it answered: it may have done it/,
  });
  await assert.rejects(gone.client.listVolumes(), { code: 'unavailable', message: /^the daemon went away before it answered;/ });
  await using half = await listening((request, response) => {
    response.writeHead(200, { 'content-length': 10 });
    response.write('{"a"', () => request.socket.destroy());
  });
  await assert.rejects(half.client.createVolume('a'), { code: 'unknown-outcome' });
});

test('a call goes over no connection that was idle: the daemon may have closed it, and what is sent there nobody can tell the end of', async () => {
  const connections = new Set<unknown>();
  await using daemon = await listening((request, response) => {
    connections.add(request.socket);
    response.end('[]');
  });
  for (let time = 0; time < 3; time++) {
    await daemon.client.listVolumes();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(connections.size, 3);
});

test('so may one whose answer cannot be read', async () => {
  await using garbled = await listening((_request, response) => response.end('{"a'));
  await assert.rejects(garbled.client.createVolume('a'), { code: 'unknown-outcome', message: /may have done it$/ });
  await assert.rejects(garbled.client.listVolumes(), { code: 'unavailable' });
  await using noise = await listening((request) => request.socket.end('noise\r\n\r\n'));
  await assert.rejects(noise.client.createVolume('a'), { code: 'unknown-outcome', message: /may have done it$/ });
  await assert.rejects(noise.client.listVolumes(), { code: 'unavailable' });
});

test('so may one that took too long', async () => {
  await using slow = await listening(() => {}, 50);
  await assert.rejects(slow.client.removeVolume('a'), { code: 'unknown-outcome', message: /took more than 0\.05 s, and may be at it still/ });
  await assert.rejects(slow.client.listVolumes(), { code: 'deadline-exceeded' });
});

test('a call about an empty name is about nothing, and never about all', async () => {
  const asked: string[] = [];
  await using daemon = await listening(({ method, url }, response) => {
    asked.push(`${method} ${url}`);
    response.end('[]');
  });
  const { client } = daemon;
  const calls = [
    () => client.emptyTrash(''),
    () => client.inspectVolume(''),
    () => client.removeVolume('', true),
    () => client.mountVolume('', 'me'),
    () => client.removeNode('', true),
    () => client.revokeToken('', { hosts: true }),
    () => client.drainNode(''),
    () => client.inspectBlock(''),
  ];
  for (const call of calls) await assert.rejects(call(), { code: 'bad-argument', message: /is empty$/ });
  assert.deepEqual(asked, []);
  await client.emptyTrash();
  assert.deepEqual(asked, ['DELETE /v1/trash']);
});

test('a path that is too long for a socket is told so', async () => {
  await assert.rejects(new ControlClient(`/${'x'.repeat(120)}`).listVolumes(), { code: 'bad-argument', message: /more than 107 bytes/ });
});

test('what walks over a whole volume, or over all blocks of a host, is waited for longer than other calls', async () => {
  await using slow = await listening((_request, response) => void setTimeout(() => response.end('{"name":"large"}'), 500), 50);
  const other = assert.rejects(slow.client.volumeUsage('large'), { code: 'deadline-exceeded' });
  assert.equal((await slow.client.checkVolume('large')).name, 'large');
  await slow.client.salvage({ force: false, lost: [], giveUp: false, by: 'me' });
  await other;
});
