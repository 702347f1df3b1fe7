import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import type { HostStatus } from '../../src/api/index.ts';
import { sayingWhatFor } from '../../src/cli/waiting.ts';

test('a removal that does not end says what it waits for, and why', { timeout: 300_000 }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-waiting-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const socket = path.join(directory, 'socket');
  let removal: ServerResponse | undefined;
  const daemon = createServer(({ method }, response) => {
    if (method === 'DELETE') removal = response;
    else response.end(JSON.stringify({ health: { state: 'UNAVAILABLE', reasons: ['no majority answers'] } }));
  });
  t.after(() => {
    daemon.closeAllConnections();
    daemon.close();
  });
  await new Promise<void>((resolve) => daemon.listen(socket, resolve));
  const args = ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', '--control-socket', socket, 'volume', 'rm', 'data'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill());
  const ended = once(child, 'close');
  const out = text(child.stdout);
  const [said] = (await once(child.stderr, 'data')) as [Buffer];
  assert.match(said.toString(), /^data is not removed yet: .*; the host is UNAVAILABLE: no majority answers\n$/);
  removal!.end('{}');
  assert.deepEqual([await out, await ended], ['data\n', [0, null]]);
});

test('whoever empties the trash and waits for that is told that it goes on, and who can do it', { timeout: 300_000 }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-waiting-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const socket = path.join(directory, 'socket');
  let trash = [{ name: 'secret', id: 'ab', trashedAt: '', state: 'deleting', options: { encryption: 'aes-256-gcm' } }];
  const daemon = createServer(({ url }, response) =>
    response.end(JSON.stringify(url!.startsWith('/v1/trash') ? trash : { health: { state: 'HEALTHY', reasons: [] } })),
  );
  t.after(() => {
    daemon.closeAllConnections();
    daemon.close();
  });
  await new Promise<void>((resolve) => daemon.listen(socket, resolve));
  const args = ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', '--control-socket', socket, 'volume', 'trash', 'empty', '--yes'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill());
  const ended = once(child, 'close');
  const out = text(child.stdout);
  const [said] = (await once(child.stderr, 'data')) as [Buffer];
  assert.match(said.toString(), /^the data of secret is not all deleted yet, .* a host that has its key deletes it\n$/);
  trash = [];
  assert.deepEqual([await out, await ended], ['secret\n', [0, null]]);
});

test('work that ended says nothing any more, and fails as it fails', async (t) => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<HostStatus>();
  const work = Promise.withResolvers<string>();
  const write = t.mock.method(process.stderr, 'write', () => true);
  const saying = sayingWhatFor(work.promise, 'waiting', () => (asked.resolve(), answer.promise), 0);
  await asked.promise;
  work.reject(new Error('no room'));
  await assert.rejects(saying, /no room/);
  answer.reject(new Error('it does not answer'));
  await new Promise(setImmediate);
  assert.equal(write.mock.callCount(), 0);
});
