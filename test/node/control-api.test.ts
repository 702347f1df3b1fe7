import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { ControlClient } from '../../src/api/index.ts';
import { silentLogger } from '../../src/base/index.ts';
import { type ControlTarget, startControlApi } from '../../src/node/control/control-api.ts';

interface Answer {
  readonly status: number;
  readonly code: unknown;
  readonly message: string | undefined;
  readonly allow: string | undefined;
}

function call(socketPath: string, method: string, route: string, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path: route }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.on('end', () => {
        const { code, message } = JSON.parse(text) as { code?: unknown; message?: string };
        resolve({ status: response.statusCode!, code, message, allow: response.headers.allow });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Whatever is asked of a daemon, it is done and there is nothing to say. */
const done = async (): Promise<object> => ({});
const part = new Proxy({}, { get: () => done });
const target = { volumes: part, trash: part, cluster: part, blocks: part, repair: part, watches: part, check: done } as unknown as ControlTarget;

test('a body that is no JSON object, a method that a path does not know and a "maybe" are told what they are', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'infinit-control-'));
  try {
    const socketPath = path.join(directory, 'control.sock');
    await using _ = await startControlApi(socketPath, target, silentLogger);
    const said = async (method: string, route: string, body?: string): Promise<readonly [number, string, string | undefined]> => {
      const { status, message, allow } = await call(socketPath, method, route, body);
      return [status, message ?? '', allow];
    };
    const [status, message] = await said('POST', '/v1/volumes', '{name: "x"}');
    assert.deepEqual([status, message.startsWith('the body is no JSON: ')], [400, true], message);
    for (const wrong of ['[]', '"x"', '7', 'null'])
      assert.deepEqual(await said('POST', '/v1/volumes', wrong), [400, 'the body is no JSON object', undefined]);
    assert.deepEqual(await said('PUT', '/v1/volumes'), [405, '/v1/volumes takes no PUT, but GET, HEAD, POST', 'GET, HEAD, POST']);
    assert.deepEqual(await said('POST', '/v1/volumes/data'), [
      405,
      '/v1/volumes/data takes no POST, but DELETE, GET, HEAD, PATCH',
      'DELETE, GET, HEAD, PATCH',
    ]);
    assert.deepEqual(await said('PATCH', `/v1/blocks/@x`), [
      405,
      '/v1/blocks/@x takes no PATCH, but DELETE, GET, HEAD, PUT',
      'DELETE, GET, HEAD, PUT',
    ]);
    assert.deepEqual(await said('GET', '/v1/nothing'), [404, 'the control API has no GET /v1/nothing', undefined]);
    assert.deepEqual(await said('DELETE', '/v1/volumes/data?force=yes'), [400, 'force: "yes" is neither true nor false', undefined]);
    assert.deepEqual(await said('POST', '/v1/volumes/data/check', '{"repair":"no"}'), [400, '"repair" must be true or false', undefined]);
    assert.equal((await said('DELETE', '/v1/volumes/data?force=true'))[0], 200);
    assert.equal((await said('DELETE', '/v1/trash/'))[0], 404, 'not the whole trash');
    assert.equal((await said('DELETE', '/v1/trash'))[0], 200);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

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
    ] as const) {
      const answer = await call(socketPath, method, route);
      assert.deepEqual([answer.status, answer.code], [status, status === 400 ? 'bad-argument' : undefined], `${method} ${route}`);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
