import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import path from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { codeOf, systemRandom } from '../../src/base/index.ts';
import { frameType, FramedStream, headerBytes, outgoing, writeHeader } from '../../src/exchange/index.ts';
import { encodeHello } from '../../src/overlay/hello.ts';
import { passportFromToken, readOwnPassport, readToken, signRevocation } from '../../src/overlay/identity/index.ts';
import { type Overlay, peerIdOf } from '../../src/overlay/index.ts';
import { StateFiles } from '../../src/overlay/state-files.ts';
import { protocols, type WireConnection, type WireNode } from '../../src/overlay/wire.ts';
import { eventually } from '../suites/transport-suite.ts';
import { addressesOf, Cluster, clockOff } from './fixture.ts';
import { openIntruder } from './intruder.ts';

const attempts = 100;
const hour = 3_600_000;

function frame(type: (typeof frameType)[keyof typeof frameType], kind: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes);
  writeHeader(header, 0, outgoing(type, kind, 1, 1000, [body]));
  return Buffer.concat([header, body]);
}

/** Opens a stream, sends bytes, and returns the frames that come back until the connection breaks. */
async function speak(connection: WireConnection, protocol: string, bytes: Uint8Array): Promise<{ readonly types: number[]; readonly text: string }> {
  const types: number[] = [];
  let text = '';
  try {
    const stream = await connection.openStream(protocol, AbortSignal.timeout(3000));
    const framed = new FramedStream(stream);
    framed.onFrame = ({ type, body }) => {
      types.push(type);
      text += Buffer.from(body).toString();
    };
    const broken = new Promise<void>((resolve) => (framed.onBroken = () => resolve()));
    stream.send([bytes]);
    await Promise.race([broken, sleep(3000)]);
  } catch {
    // The connection broke before the stream was open: as good a refusal as any.
  }
  return { types, text };
}

/** Hello and a request on a stream that only members may use. */
async function forceEntry(connection: WireConnection, kind: number): Promise<void> {
  const hello = encodeHello({ channel: 'control', session: '00'.repeat(8), process: { incarnation: 1, nonce: '11'.repeat(8) }, wallMs: Date.now() });
  const { types } = await speak(
    connection,
    protocols.control,
    Buffer.concat([frame(frameType.hello, 0, hello), frame(frameType.request, kind, Buffer.from('let me in'))]),
  );
  assert.deepEqual(types, [], 'nothing is answered to who is no member');
}

async function watched(cluster: Cluster): Promise<{ readonly host: Overlay; readonly served: () => number }> {
  const host = await cluster.first();
  let served = 0;
  host.transport.handle(100, (_peer, body) => {
    served++;
    return body;
  });
  return { host, served: () => served };
}

/** Fewer at once, of one address, than a host lets strangers wait. */
const batch = 10;

async function inBatches(attempt: (index: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < attempts; from += batch) await Promise.all(Array.from({ length: batch }, (_, offset) => attempt(from + offset)));
}

describe('the gate', () => {
  test(`${attempts} attempts of strangers: none is heard`, async () => {
    await using cluster = await Cluster.onLoopback();
    const { host, served } = await watched(cluster);
    const [address] = addressesOf(host);
    const other = await cluster.first('other');
    const stolen = cluster.hosts[0]!;
    const intruders = await Promise.all(Array.from({ length: 4 }, () => openIntruder()));
    const credentials = [
      Buffer.alloc(0),
      Buffer.from('let me in, I am a friend'),
      systemRandom.bytes(5000),
      // A passport of another cluster, and that of the very host that is asked.
      Buffer.from(await passportTextOf(cluster, other)),
      Buffer.from(await passportTextOf(cluster, stolen)),
    ];
    const attempt = async (index: number): Promise<void> => {
      const intruder = intruders[index % intruders.length]!;
      const connection = await intruder.dial(address!, undefined, AbortSignal.timeout(5000));
      if (index % 3 === 0) await forceEntry(connection, 100);
      else {
        const { types, text } = await speak(connection, protocols.admission, frame(frameType.request, 0, credentials[index % credentials.length]!));
        assert.ok(
          types.every((type) => type === frameType.error),
          'a refusal is all that comes back',
        );
        assert.ok(types.length === 0 || /denied|bad-argument/.test(text), text);
      }
      connection.abort('done');
    };
    await inBatches(attempt);
    assert.equal(served(), 0);
    assert.deepEqual(host.transport.connected(), []);
    assert.equal(host.members().length, 1);
    for (const intruder of intruders) await intruder.close();
  });

  test(`${attempts} attempts with an expired passport: none is heard, and the reason is told`, async () => {
    await using cluster = await Cluster.onLoopback();
    const { host, served } = await watched(cluster);
    const [address] = addressesOf(host);
    const token = readToken((await host.createToken({ uses: 1000, passportMs: hour })).text);
    const late = readToken((await host.createToken({ uses: 1000, expiresInMs: 1 })).text);
    const intruder = await openIntruder();
    const peer = peerIdOf(intruder.key.publicKey);
    const dial = (from: WireNode): Promise<WireConnection> => from.dial(address!, undefined, AbortSignal.timeout(5000));
    const expired = Buffer.from(passportFromToken(token, peer, Date.now() - 2 * hour).text);
    const tooLate = Buffer.from(passportFromToken(late, peer, Date.now()).text);
    await inBatches(async (index) => {
      const connection = await dial(intruder);
      const { types, text } = await speak(connection, protocols.admission, frame(frameType.request, 0, index % 2 === 0 ? expired : tooLate));
      assert.deepEqual(types, [frameType.error]);
      assert.match(text, /^denied\0the (passport|token) of host \w+ expired on/);
      if (index % 10 === 0) await forceEntry(await dial(intruder), 100);
    });
    assert.equal(served(), 0);
    assert.deepEqual(host.transport.connected(), []);
    await intruder.close();
  });

  test(`${attempts} attempts of a revoked host: its connections are closed before it can say anything`, async () => {
    await using cluster = await Cluster.onLoopback();
    const { host, served } = await watched(cluster);
    const [address] = addressesOf(host);
    const token = readToken((await host.createToken({ uses: 1000 })).text);
    const guest = await openIntruder();
    const peer = peerIdOf(guest.key.publicKey);
    const passport = Buffer.from(passportFromToken(token, peer, Date.now()).text);
    const welcome = await guest.dial(address!, undefined, AbortSignal.timeout(5000));
    const stream = await welcome.openStream(protocols.admission, AbortSignal.timeout(5000));
    const framed = new FramedStream(stream);
    const answer = framed.next(frameType.reply, AbortSignal.timeout(5000));
    framed.send(outgoing(frameType.request, 0, 1, 0, [passport]));
    await answer;
    await host.revokeHost(peer);
    const dial = (from: WireNode): Promise<WireConnection> => from.dial(address!, undefined, AbortSignal.timeout(5000));
    await inBatches(async (index) => {
      const connection = await dial(guest).catch(() => undefined);
      if (connection === undefined) return;
      if (index % 2 === 0) await forceEntry(connection, 100);
      else assert.deepEqual((await speak(connection, protocols.admission, frame(frameType.request, 0, passport))).types, []);
    });
    assert.equal(served(), 0);
    assert.deepEqual(host.transport.connected(), []);
    await guest.close();
  });

  test('a stranger expels nobody with the key of a host that was expelled', async () => {
    await using cluster = await Cluster.onLoopback();
    const a = await cluster.first('a');
    const b = await cluster.join('b', a);
    const x = await cluster.join('x', a);
    await a.grant(x.self);
    const files = await StateFiles.open(path.join(cluster.directory, 'x'));
    const passport = readOwnPassport((await files.read('passport'))!.trim());
    const key = (await files.readKey('host.key'))!;
    await a.revokeHost(x.self);
    await eventually(() => x.halted !== undefined && b.expelled().has(x.self), 'x is expelled');
    await cluster.stop(x);
    const stranger = await openIntruder();
    for (const victim of [a, b]) {
      const revocation = signRevocation(`host:${b.self}`, Date.now(), { key, cluster: passport.cluster, passport }).text;
      const connection = await stranger.dial(addressesOf(victim)[0]!, victim.self, AbortSignal.timeout(5000));
      const { types } = await speak(connection, protocols.admission, frame(frameType.reply, 0, Buffer.from(revocation)));
      assert.deepEqual(types, [frameType.error]);
    }
    assert.equal(b.halted, undefined);
    for (const host of [a, b]) assert.deepEqual([...host.expelled()], [x.self]);
    await stranger.close();
  });

  test('garbage and endless bytes on the port harm nobody', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    const port = Number(addressesOf(host)[0]!.split(':')[1]);
    const sockets = Array.from({ length: 8 }, (_, index) => {
      const socket = createConnection({ host: '127.0.0.1', port });
      socket.on('error', () => {});
      const pour = (): void => {
        while (!socket.destroyed && socket.write(index % 2 === 0 ? systemRandom.bytes(16_384) : Buffer.alloc(16_384, 'GET / ', 'latin1')));
      };
      socket.on('connect', pour).on('drain', pour);
      return socket;
    });
    const joined = await cluster.join('b', host);
    assert.ok(joined.transport.isConnected(host.self));
    await eventually(() => sockets.every(({ destroyed }) => destroyed), 'the sockets are closed by the host').finally(() => {
      for (const socket of sockets) socket.destroy();
    });
  });

  test('a member that sends garbage or endless frames loses its connection, the others go on', async () => {
    await using cluster = await Cluster.onLoopback();
    const { host, served } = await watched(cluster);
    const friend = await cluster.join('b', host);
    const token = readToken((await host.createToken({ uses: 1 })).text);
    const insider = await openIntruder();
    const passport = Buffer.from(passportFromToken(token, peerIdOf(insider.key.publicKey), Date.now()).text);
    const [address] = addressesOf(host);
    for (const garbage of [
      systemRandom.bytes(100_000),
      Buffer.alloc(64, 0xff),
      frame(frameType.request, 100, Buffer.from('no hello')),
      frame(frameType.hello, 0, Buffer.from('INFT\x07\x03 from the future')),
    ]) {
      const connection = await insider.dial(address!, undefined, AbortSignal.timeout(5000));
      const framed = new FramedStream(await connection.openStream(protocols.admission, AbortSignal.timeout(5000)));
      const answer = framed.next(frameType.reply, AbortSignal.timeout(5000));
      framed.send(outgoing(frameType.request, 0, 1, 0, [passport]));
      await answer;
      const { types, text } = await speak(connection, protocols.control, garbage);
      assert.ok(types.every((type) => type === frameType.error));
      if (Buffer.from(garbage).includes('future')) assert.match(text, /^wrong-version\0the peer speaks wire version 7\.3/);
    }
    assert.equal(served(), 0);
    assert.ok(host.troubles().some(({ kind }) => kind === 'wrong-version'));
    assert.equal(Buffer.from(await friend.transport.request(host.self, 100, Buffer.from('still here'))).toString(), 'still here');
    await insider.close();
  });

  test('a host whose passport expires while it is connected is dropped', async () => {
    await using cluster = await Cluster.onLoopback();
    let offset = 0;
    const host = await cluster.first('a', { clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() + offset } });
    const tokenFile = await cluster.tokenFile(host, { passportMs: hour, uses: 9 });
    const guest = await cluster.open('b', { tokenFile, join: addressesOf(host) });
    await guest.whenJoined(AbortSignal.timeout(10_000));
    await eventually(() => host.transport.isConnected(guest.self), 'they are connected');
    offset = 2 * hour;
    await eventually(() => !host.transport.isConnected(guest.self), 'it is dropped');
    await eventually(() => guest.troubles().some(({ message }) => /expired/.test(message)), 'it learns why');
  });

  test('a token that expired, was used up, revoked or never was one is refused with the reason', async () => {
    await using cluster = await Cluster.onLoopback();
    const host = await cluster.first();
    const join = addressesOf(host);
    const refused = async (name: string, tokenFile: string, reason: RegExp, options: object = {}): Promise<void> => {
      await assert.rejects(
        async () => {
          const overlay = await cluster.open(name, { tokenFile, join, ...options });
          await overlay.whenJoined(AbortSignal.timeout(10_000));
        },
        (error: Error) => reason.test(`${codeOf(error)}: ${error.message}`),
      );
    };
    const once = await cluster.tokenFile(host, { uses: 1 });
    await (await cluster.open('b', { tokenFile: once, join })).whenJoined(AbortSignal.timeout(10_000));
    await refused('c', once, /^denied: .*good for one host, which has joined already/);
    const revoked = await cluster.tokenFile(host, { uses: 5 });
    await host.revokeToken(/token-(\w+)$/.exec(revoked)![1]!);
    await assert.rejects(host.revokeToken('mistyped'), { code: 'bad-argument', message: /"mistyped" is no token's ID/ });
    await refused('d', revoked, /^denied: .*token .* was revoked/);
    const old = await cluster.tokenFile(host, { expiresInMs: 1 });
    await refused('e', old, /^denied: the token expired on/);
    await refused('f', old, /^denied: .*the token of host .* expired on/, { clock: clockOff(-hour) });
    await refused('g', '/dev/null', /^bad-argument: \/dev\/null is a device, and has to be a file/);
    const empty = `${cluster.directory}/empty`;
    await writeFile(empty, '');
    await refused('g', empty, /^bad-argument: .*empty is no token/);
    await refused('h', `${cluster.directory}/nothing`, /^bad-argument: .*nothing: there is none: make one/);
    const other = await cluster.first('other');
    await refused('i', await cluster.tokenFile(other), /^denied: .*another cluster/);
  });
});

async function passportTextOf(cluster: Cluster, host: Overlay): Promise<string> {
  return (await readFile(`${cluster.directory}/${host.members()[0]!.name}/passport`, 'utf8')).trim();
}
