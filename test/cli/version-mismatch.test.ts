import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';

import { version } from '../../src/api/index.ts';

async function saidTo(socket: string, ...words: readonly string[]): Promise<string> {
  const args = ['--disable-warning=ExperimentalWarning', 'src/cli/main.ts', '--control-socket', socket, ...words];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const [said] = await Promise.all([text(child.stderr), once(child, 'close')]);
  return said;
}

test('what fails since the daemon is of another version says so, and what to do; other failures do not', { timeout: 300_000 }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-mismatch-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const socket = path.join(directory, 'socket');
  let running = '0.0.1+abc';
  const daemon = createServer(({ method, url }, response) => {
    if (url === '/v1/status') return response.end(JSON.stringify({ version: running }));
    // An answer as no version gives it.
    if (url === '/v1/volumes') return response.end('[null]');
    const message = url === '/v1/volumes/data' ? 'there is no volume "data"' : `the control API has no ${method} ${url}`;
    return response.writeHead(404).end(JSON.stringify({ code: 'not-found', message }));
  });
  t.after(() => {
    daemon.closeAllConnections();
    daemon.close();
  });
  await new Promise<void>((resolve) => daemon.listen(socket, resolve));
  const told = `infinit: the daemon is version 0.0.1+abc, this program ${version}: run the daemon of this program: \``;
  const [scrub, list, inspect] = await Promise.all([
    saidTo(socket, 'scrub'),
    saidTo(socket, 'volume', 'ls'),
    saidTo(socket, 'volume', 'inspect', 'data'),
  ]);
  assert.ok(scrub.startsWith('infinit: not-found: the control API has no POST /v1/repair/scrub\n'), scrub);
  assert.ok(scrub.includes(told), scrub);
  assert.ok(list.startsWith('infinit: bug: ') && list.includes(told), list);
  assert.equal(inspect, 'infinit: not-found: there is no volume "data"\n');
  running = version;
  assert.equal(await saidTo(socket, 'scrub'), 'infinit: not-found: the control API has no POST /v1/repair/scrub\n');
});
