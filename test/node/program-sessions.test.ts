import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';

import { Connection } from '../../src/api/connection.ts';
import { blockKinds } from '../../src/api/index.ts';
import { InfinitError } from '../../src/base/index.ts';
import { addressToBytes, mutableAddress } from '../../src/block/index.ts';
import { frameType, headerBytes, outgoing, writeHeader } from '../../src/exchange/index.ts';
import { ValueHosts } from './daemon-double.ts';

const run = promisify(execFile);

function upgrade(socketPath: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, headers: { connection: 'Upgrade', upgrade: 'infinit/1' } });
    call.on('upgrade', (_response, socket) => resolve(socket));
    call.on('error', reject);
    call.end();
  });
}

/** Resolves when the daemon has ended the connection. */
function ended(socket: Socket): Promise<void> {
  socket.resume();
  socket.on('error', () => {});
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

test('garbage ends its connection, and no other', async () => {
  await using cluster = await ValueHosts.start(1);
  const { socketPath, infinit } = cluster.hosts[0]!;
  const { address } = await infinit.blocks.create('safe');
  for (const bytes of [Buffer.alloc(64, 0xff), Buffer.from([2, 0, 0, 0, 1, 1]), Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
    const socket = await upgrade(socketPath);
    socket.write(bytes);
    await ended(socket);
  }
  assert.equal((await infinit.blocks.get(address))!.text(), 'safe');
});

test('a message that is cut short, or of a kind that nobody knows, is answered with an error and never taken for a bug', async () => {
  await using cluster = await ValueHosts.start(1);
  const connection = new Connection(cluster.hosts[0]!.socketPath);
  for (const kind of [...Object.values(blockKinds), 999]) {
    if (kind === blockKinds.put || kind === blockKinds.make) continue; // Any bytes are a value.
    for (const body of [new Uint8Array(0), Buffer.alloc(3, 0xff), Buffer.alloc(37, 0xff), addressToBytes(mutableAddress()).subarray(0, 31)]) {
      const error = await connection.request(kind, body, { deadlineMs: 1000 }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof InfinitError, `kind ${kind}`);
      assert.equal(error.code, kind === 999 ? 'unsupported' : 'bad-argument');
    }
  }
  connection.close();
});

test('a program that goes away in the middle of its calls leaves the daemon as it was', async () => {
  await using cluster = await ValueHosts.start(1);
  const { socketPath, infinit } = cluster.hosts[0]!;
  const socket = await upgrade(socketPath);
  for (let id = 1; id <= 200; id++) {
    const body = addressToBytes(mutableAddress());
    const head = Buffer.alloc(headerBytes);
    writeHeader(head, 0, outgoing(frameType.request, blockKinds.wait, id, 60_000, [body, Buffer.alloc(6)]));
    socket.write(Buffer.concat([head, body, Buffer.alloc(6)]));
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  assert.equal((await infinit.blocks.create('still here')).version, 1);
});

test('one connection watches as many blocks as it may, and calls go on beside', async () => {
  await using cluster = await ValueHosts.start(1);
  const connection = new Connection(cluster.hosts[0]!.socketPath);
  // Longer than any machine takes for what is done meanwhile.
  const deadlineMs = 120_000;
  const wait = (signal?: AbortSignal): Promise<Uint8Array> =>
    connection.request(blockKinds.wait, Buffer.concat([addressToBytes(mutableAddress()), Buffer.alloc(6)]), {
      deadlineMs,
      ...(signal === undefined ? {} : { signal }),
    });
  const get = async (): Promise<void> =>
    assert.equal((await connection.request(blockKinds.get, addressToBytes(mutableAddress()), { deadlineMs })).length, 6);
  const enough = new AbortController();
  const waits = Promise.allSettled(Array.from({ length: 512 }, () => wait(enough.signal)));
  await assert.rejects(wait(), { code: 'overloaded', message: /512/ });
  await get();
  enough.abort();
  assert.ok((await waits).every(({ status }) => status === 'rejected'));
  // By then those are gone, and by the next answer what is refused would be so.
  await get();
  const next = wait();
  await Promise.race([next, get()]);
  connection.close();
  await assert.rejects(next, { code: 'unknown-outcome' });
});

test('an idle client keeps no program alive', async () => {
  await using cluster = await ValueHosts.start(1);
  const program = `
    import { connect } from '${new URL('../../src/api/client.ts', import.meta.url).href}';
    const { blocks } = connect(process.argv[1]);
    const { address } = await blocks.create('x');
    console.log((await blocks.get(address)).text());
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program, cluster.hosts[0]!.socketPath], { timeout: 20_000 });
  assert.equal(stdout, 'x\n');
});

test('a block that a program makes has a copy on the host that it asked, over either way', async () => {
  await using cluster = await ValueHosts.start(6);
  const { name, socketPath, infinit } = cluster.hosts[2]!;
  const addresses: string[] = [];
  for (let count = 0; count < 6; count++) {
    addresses.push((await infinit.blocks.create('made')).address);
    const { stdout } = await run('curl', ['-s', '--unix-socket', socketPath, '--data', 'made', 'http://infinit/v1/blocks?kind=mutable']);
    addresses.push((JSON.parse(stdout) as { address: string }).address);
  }
  for (const address of addresses) {
    const { replicas } = await infinit.blocks.inspect(address);
    assert.ok(replicas.some(({ host }) => host === name));
  }
});

test('a daemon of an earlier version leaves it to programs to draw addresses', async () => {
  await using cluster = await ValueHosts.start(1);
  const { infinit } = cluster.hosts[0]!;
  const { blocks } = infinit;
  const original = Connection.prototype.request;
  const asked: number[] = [];
  Connection.prototype.request = function (kind, ...rest) {
    asked.push(kind);
    return kind === blockKinds.make ? Promise.reject(new InfinitError('unsupported', 'unknown kind')) : original.call(this, kind, ...rest);
  };
  try {
    const made = await blocks.create('made');
    assert.equal((await blocks.get(made.address))!.text(), 'made');
  } finally {
    Connection.prototype.request = original;
  }
  assert.deepEqual(asked, [blockKinds.make, blockKinds.create, blockKinds.get]);
});
