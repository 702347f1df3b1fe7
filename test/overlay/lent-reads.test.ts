import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import tls, { type TLSSocket } from 'node:tls';

import { generateKeyPair } from '@libp2p/crypto/keys';
import { generateCertificate } from '@libp2p/tls/utils';

import { readLent } from '../../src/overlay/libp2p/lent-reads.ts';
import { eventually } from '../suites/transport-suite.ts';

/** Two ends of a TLS connection over a socket of the kernel, put on it as the transport does. */
async function connected(): Promise<readonly [TLSSocket, TLSSocket]> {
  const certificate = await generateCertificate(await generateKeyPair('Ed25519'));
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const dialled = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [raw] = await accepted;
  server.close();
  const near = new tls.TLSSocket(raw, { ...certificate, isServer: true });
  const far = tls.connect({ socket: dialled, rejectUnauthorized: false });
  await Promise.all([once(near, 'secure'), once(far, 'secureConnect')]);
  return [near, far];
}

test('this Node reads a TLS socket into one buffer: every byte in order, paused and resumed, and its end is told', async () => {
  const [near, far] = await connected();
  const memory = new Set<ArrayBufferLike>();
  const came: Buffer[] = [];
  let bytes = 0;
  assert.ok(
    readLent(near, (chunk) => {
      memory.add(chunk.buffer);
      came.push(Buffer.from(chunk));
      bytes += chunk.length;
    }),
  );
  const sent = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 31 + (index >> 9)) & 0xff));
  far.write(sent.subarray(0, 5));
  await eventually(() => bytes === 5, 'a few bytes come');
  near.pause();
  far.write(sent.subarray(5));
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(bytes < 1_000_000, `${bytes} bytes came while nothing was to be read`);
  near.resume();
  await eventually(() => bytes === sent.length, 'the rest comes');
  assert.ok(Buffer.concat(came).equals(sent));
  assert.equal(memory.size, 1);
  const closed = once(near, 'close');
  far.end();
  await closed;
});

test('a socket that is not as expected is left as it is', async () => {
  const [near, far] = await connected();
  const other = Object.create(near, { _handle: { value: {} } }) as TLSSocket;
  assert.equal(
    readLent(other, () => assert.fail('nothing is told')),
    false,
  );
  const data = once(near, 'data') as Promise<[Buffer]>;
  far.write('as ever');
  assert.equal((await data)[0].toString(), 'as ever');
  far.destroy();
  near.destroy();
});
