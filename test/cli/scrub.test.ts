import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { createProgram } from '../../src/cli/program.ts';

test('a scrub whose daemon is started anew is not waited for any longer', { timeout: 300_000 }, async (t) => {
  const directory = mkdtempSync(path.join(tmpdir(), 'infinit-scrub-'));
  const socketPath = path.join(directory, 'socket');
  let asked = false;
  const server = createServer((request, response) => {
    if (request.method === 'POST') asked = true;
    const scrub = { running: !asked, blocks: 0, bytes: 0, damaged: 0, repaired: 0, runs: 0 };
    response.end(
      JSON.stringify(asked && request.method === 'POST' ? {} : { uptimeSeconds: asked ? 1 : 1000, disk: { liveBytes: 4096 }, repair: { scrub } }),
    );
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  });
  await assert.rejects(createProgram().parseAsync(['--control-socket', socketPath, 'scrub'], { from: 'user' }), {
    code: 'unavailable',
    message: /started anew/,
  });
});

test('a rate that is no number is refused by the name of the option', async () => {
  for (const wrong of ['0', '-1', 'fast', 'Infinity'])
    await assert.rejects(createProgram().parseAsync(['--control-socket', '/nowhere', 'scrub', '--rate', wrong], { from: 'user' }), {
      code: 'bad-argument',
      message: `--rate: "${wrong}" is no number of MiB above 0`,
    });
});
