import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { isServed, listenOnSocket } from '../../src/api/index.ts';
import { createLogger } from '../../src/base/index.ts';

test('a connection that cannot be taken is logged, and the next one is taken', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-socket-'));
  t.after(() => rm(directory, { recursive: true }));
  const socketPath = path.join(directory, 'x.sock');
  const lines: string[] = [];
  const server = createServer();
  await listenOnSocket(
    server,
    socketPath,
    '--x',
    createLogger('error', (_level, line) => lines.push(line)),
  );
  t.after(() => server.close());
  server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
  server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }));
  assert.equal(lines.filter((line) => line.includes('cannot take a connection')).length, 2);
  const taken = once(server, 'connection');
  const socket = connect(socketPath);
  await taken;
  socket.destroy();
});

test('a socket that somebody removes, with its directory, is there again, and gone for good once its server ends', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-socket-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const socketPath = path.join(directory, 'run', 'x.sock');
  const lines: string[] = [];
  const server = createServer((_request, response) => response.end('served'));
  const logger = createLogger('info', (_level, line) => lines.push(line));
  await listenOnSocket(server, socketPath, '--x', logger);
  const answer = async (): Promise<string> => {
    const [response] = (await once(request({ socketPath, headers: { connection: 'close' } }).end(), 'response')) as [IncomingMessage];
    return text(response);
  };
  for (const gone of [socketPath, path.dirname(socketPath), socketPath]) {
    await rm(gone, { recursive: true });
    await assert.rejects(answer(), { code: 'ENOENT' });
    t.mock.timers.tick(5000);
    assert.equal(await answer(), 'served');
    assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  }
  // What somebody else put there is left alone, and what cannot be mended is said once.
  await rm(path.dirname(socketPath), { recursive: true });
  await writeFile(path.dirname(socketPath), '');
  t.mock.timers.tick(15_000);
  await rm(path.dirname(socketPath));
  t.mock.timers.tick(5000);
  assert.equal(await answer(), 'served');
  assert.deepEqual(
    lines.map((line) => / (warn|error) .*again/.exec(line)?.[1]),
    ['warn', 'warn', 'warn', 'error', 'warn'],
  );
  await new Promise((resolve) => server.close(resolve));
  t.mock.timers.tick(5000);
  assert.equal(existsSync(socketPath), false);
});

test('a process that takes no more connections lives, and one that was killed leaves a socket that nobody serves', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-socket-'));
  t.after(() => rm(directory, { recursive: true }));
  const socketPath = path.join(directory, 'x.sock');
  assert.equal(await isServed(socketPath), false);
  const program = `require('node:net').createServer().listen({ path: ${JSON.stringify(socketPath)}, backlog: 1 }, () => console.log('listening'))`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  assert.equal(await isServed(socketPath), true);
  child.kill('SIGSTOP');
  const waiting: Socket[] = [];
  t.after(() => waiting.forEach((socket) => socket.destroy()));
  // Until the kernel keeps no more of them for it.
  for (let refused = false; !refused;) {
    const socket = connect(socketPath);
    waiting.push(socket);
    refused = await Promise.race([once(socket, 'connect').then(() => false), once(socket, 'error').then(() => true)]).catch(() => true);
  }
  assert.equal(await isServed(socketPath), true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(await isServed(socketPath), false);
});

test('a path that leads through a file is refused with what is wrong with it', async (t) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-socket-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = path.join(directory, 'file');
  await writeFile(file, '');
  await assert.rejects(listenOnSocket(createServer(), path.join(file, 'x.sock'), '--x', createLogger('error')), {
    code: 'bad-argument',
    message: `${file} is no directory`,
  });
});
