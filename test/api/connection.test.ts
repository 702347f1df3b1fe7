import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test, type TestContext } from 'node:test';

import { connect } from '../../src/api/index.ts';

/** Something that listens where a daemon should. */
async function listening(t: TestContext, server: Server): Promise<string> {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-connection-'));
  const socketPath = path.join(directory, 'socket');
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  return socketPath;
}

test('a daemon that takes connections and answers none holds a call up for its own time at most', async (t) => {
  const server = createServer();
  server.on('upgrade', () => {});
  await using infinit = connect(await listening(t, server));
  const { blocks } = infinit;
  const began = performance.now();
  const put = assert.rejects(blocks.put('x', { deadlineMs: 50 }), { code: 'unavailable' });
  const { status, code } = (await blocks.createNamed('x', 'x', { deadlineMs: 50 })) as { status: string; code?: string };
  assert.deepEqual([status, code], ['failed', 'unavailable'], 'nothing was sent');
  await put;
  const caller = new AbortController();
  const cancelled = assert.rejects(blocks.get(blocks.named('x'), { signal: caller.signal }), { code: 'cancelled' });
  caller.abort();
  await cancelled;
  assert.ok(performance.now() - began < 3000);
});

test('a read that a daemon takes and never answers fails in its own time, and is no unknown outcome', async (t) => {
  const server = createServer();
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: infinit/1\r\n\r\n');
    socket.on('error', () => {}).resume();
  });
  await using infinit = connect(await listening(t, server));
  const { blocks } = infinit;
  await assert.rejects(blocks.get(blocks.named('x'), { deadlineMs: 200 }), { code: 'deadline-exceeded' });
});

test('a read whose daemon goes away each time is asked twice, and then unavailable', async (t) => {
  const server = createServer();
  let asked = 0;
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: infinit/1\r\n\r\n');
    socket
      .on('error', () => {})
      .once('data', () => {
        asked++;
        socket.destroy();
      });
  });
  await using infinit = connect(await listening(t, server));
  await assert.rejects(infinit.blocks.get(infinit.blocks.named('x')), { code: 'unavailable' });
  assert.equal(asked, 2);
});

test('a daemon that serves no more programs is not taken for one of another version', async (t) => {
  const server = createServer();
  server.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'));
  await using infinit = connect(await listening(t, server));
  await assert.rejects(infinit.blocks.put('x'), { code: 'overloaded' });
});

test('a client that is closed while it connects lets go of the connection at once', async (t) => {
  const server = createServer();
  const gone = Promise.withResolvers<void>();
  const came = Promise.withResolvers<void>();
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {}).on('end', () => gone.resolve());
    socket.resume();
    came.resolve();
  });
  const infinit = connect(await listening(t, server));
  const put = assert.rejects(infinit.blocks.put('x'), { code: 'closed' });
  await came.promise;
  const began = performance.now();
  infinit.close();
  await Promise.all([put, gone.promise]);
  assert.ok(performance.now() - began < 3000);
});
