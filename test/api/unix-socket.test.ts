import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { listenOnSocket } from '../../src/api/index.ts';
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
