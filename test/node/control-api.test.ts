import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ControlClient } from '../../src/api/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { type ControlTarget, startControlApi } from '../../src/node/control-api.ts';

function call(socketPath: string, method: string, route: string): Promise<{ readonly status: number; readonly code: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path: route }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.on('end', () => resolve({ status: response.statusCode!, code: (JSON.parse(text) as { code?: unknown }).code }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** Whatever is asked of a daemon, it is done and there is nothing to say. */
const done = async (): Promise<object> => ({});
const part = new Proxy({}, { get: () => done });
const target = { volumes: part, trash: part, cluster: part, blocks: part, repair: part, watches: part, check: done } as unknown as ControlTarget;

test('a join without a port means the default one', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-control-'));
  try {
    const socketPath = path.join(directory, 'control.sock');
    const joined: string[][] = [];
    const join = async (addresses: string[]): Promise<void> => void joined.push(addresses);
    await using _ = await startControlApi(socketPath, { ...target, cluster: { join } } as unknown as ControlTarget, silentLogger);
    await new ControlClient(socketPath).joinCluster(['a', '::1', 'b:80'], 'token');
    assert.deepEqual(joined, [['a:7470', '[::1]:7470', 'b:80']]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('a call without a body is served, or told what the body needs', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-control-'));
  try {
    const socketPath = path.join(directory, 'control.sock');
    await using _ = await startControlApi(socketPath, target, silentLogger);
    for (const [method, route, status] of [
      ['POST', '/v1/cluster/join', 400],
      ['POST', '/v1/cluster/leave', 200],
      ['POST', '/v1/cluster/tokens', 201],
      ['POST', '/v1/volumes', 400],
      ['PATCH', '/v1/volumes/data', 200],
      ['POST', '/v1/volumes/data/mount', 400],
      ['POST', '/v1/volumes/data/unmount', 400],
      ['POST', '/v1/volumes/data/check', 200],
      ['POST', '/v1/trash/data/restore', 200],
      ['POST', '/v1/repair/scrub', 202],
      ['POST', '/v1/repair/salvage', 200],
    ] as const)
      assert.deepEqual(await call(socketPath, method, route), { status, code: status === 400 ? 'bad-argument' : undefined }, `${method} ${route}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
