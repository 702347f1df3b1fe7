import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

test('whoever creates an encrypted volume is told of its key, and of no other volume anything', async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-create-'));
  const socketPath = path.join(directory, 'socket');
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { name, options } = JSON.parse(body) as { name: string; options: Record<string, string> };
      response.end(JSON.stringify({ name, id: 'a1', options: { encryption: options['encryption'] === 'true' ? 'aes-256-gcm' : 'none' } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  const create = async (...args: readonly string[]): Promise<readonly string[]> => {
    const child = spawn(path.resolve(import.meta.dirname, '../../src/cli/infinit.sh'), ['--control-socket', socketPath, 'volume', 'create', ...args]);
    return Promise.all([text(child.stdout), text(child.stderr)]);
  };
  assert.deepEqual(await create('open'), ['open\n', '']);
  const [name, words] = await create('sealed', '-o', 'encryption=true');
  assert.equal(name, 'sealed\n');
  assert.match(words!, /^The key of sealed, keys\/a1\.key in the state directory of the host where it was created, never travels: copy it/);
});
