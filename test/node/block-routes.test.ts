import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { test } from 'node:test';

import { ValueHosts } from './daemon-double.ts';

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly body: Buffer;
}

/** One plain HTTP call, as curl makes it. */
function call(socketPath: string, method: string, path: string, headers: Record<string, string> = {}, body?: Uint8Array | string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, headers }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode!, etag: response.headers.etag, body: Buffer.concat(parts) }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function json(answer: Answer): Record<string, unknown> {
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}

test('any bytes go in and come out as they are, whatever type the caller says they have', async () => {
  await using cluster = await ValueHosts.start(3);
  const [here, there] = cluster.hosts.map(({ socketPath }) => socketPath);
  for (const value of [Buffer.alloc(0), randomBytes(3_000_000), Buffer.from('{"not": parsed')]) {
    const put = await call(here!, 'POST', '/v1/blocks', { 'content-type': 'application/json' }, value);
    assert.equal(put.status, 201);
    const got = await call(there!, 'GET', `/v1/blocks/${String(json(put)['address'])}`);
    assert.deepEqual([got.status, got.etag], [200, '"1"']);
    assert.ok(value.equals(got.body));
  }
  const large = await call(here!, 'POST', '/v1/blocks', {}, Buffer.alloc(4 * 1024 * 1024 + 1));
  assert.deepEqual([large.status, json(large)['code']], [413, 'too-large']);
});

test('conditions are HTTP’s own, and a conflict answers with the block as it is', async () => {
  await using cluster = await ValueHosts.start(3);
  const { socketPath } = cluster.hosts[0]!;
  const put = (headers: Record<string, string>, body: string): Promise<Answer> => call(socketPath, 'PUT', '/v1/blocks/@config', headers, body);
  assert.deepEqual([(await put({}, 'x')).status, json(await put({}, 'x'))['code']], [404, 'not-found']);
  const made = await put({ 'if-none-match': '*' }, 'one');
  assert.deepEqual([made.status, made.etag, json(made)['version']], [200, '"1"', 1]);
  const again = await put({ 'if-none-match': '*' }, 'two');
  assert.deepEqual([again.status, again.etag, again.body.toString()], [412, '"1"', 'one']);
  assert.equal((await put({ 'if-match': '"1"' }, 'two')).etag, '"2"');
  const late = await put({ 'if-match': '"1"' }, 'three');
  assert.deepEqual([late.status, late.etag, late.body.toString()], [412, '"2"', 'two']);
  assert.equal((await call(socketPath, 'DELETE', '/v1/blocks/@config', { 'if-match': '"1"' })).status, 412);
  assert.equal((await call(socketPath, 'DELETE', '/v1/blocks/@config')).status, 200);
  assert.equal((await call(socketPath, 'GET', '/v1/blocks/@config')).status, 404);
});

test('a long poll answers as soon as the version differs, and 304 when its time is up', async () => {
  await using cluster = await ValueHosts.start(3);
  const { socketPath, infinit } = cluster.hosts[0]!;
  const { address } = await infinit.blocks.create('a');
  assert.equal((await call(socketPath, 'GET', `/v1/blocks/${address}?after=1&deadlineMs=50`)).status, 304);
  const waiting = call(socketPath, 'GET', `/v1/blocks/${address}?after=1`);
  await cluster.hosts[1]!.infinit.blocks.update(address, 'b');
  const answer = await waiting;
  assert.deepEqual([answer.status, answer.etag, answer.body.toString()], [200, '"2"', 'b']);
});

test('what makes no sense is refused with a code, and names what is wrong', async () => {
  await using cluster = await ValueHosts.start(1);
  const { socketPath } = cluster.hosts[0]!;
  for (const [method, path, headers] of [
    ['GET', '/v1/blocks/zzz', {}],
    ['GET', '/v1/blocks/@', {}],
    ['GET', `/v1/blocks/@${'n'.repeat(600)}`, {}],
    ['GET', '/v1/blocks/@a?deadlineMs=0', {}],
    ['GET', '/v1/blocks/@a?after=-1', {}],
    ['PUT', '/v1/blocks/@a', { 'if-match': '"soon"' }],
    ['POST', '/v1/blocks?kind=odd', {}],
  ] as const) {
    const answer = await call(socketPath, method, path, headers);
    assert.deepEqual([answer.status, json(answer)['code']], [400, 'bad-argument'], `${method} ${path}`);
  }
});
