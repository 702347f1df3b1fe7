import assert from 'node:assert/strict';
import { test } from 'node:test';

import { codeOf, messageOf, systemRandom } from '../../src/base/index.ts';
import { frameType, FramedStream, headerBytes, type IncomingFrame, outgoing, writeHeader } from '../../src/exchange/index.ts';
import { encodeHello, majorVersion, minorVersion } from '../../src/overlay/hello.ts';
import { passportFromToken, readToken } from '../../src/overlay/identity/index.ts';
import { signText } from '../../src/overlay/identity/signed.ts';
import { type Channel, KeyPair, peerIdOf } from '../../src/overlay/index.ts';
import { heartbeatKind } from '../../src/overlay/membership/failure-detector.ts';
import { newsKind, syncKind } from '../../src/overlay/membership/anti-entropy.ts';
import { protocols, type WireConnection } from '../../src/overlay/wire.ts';
import { eventually } from '../suites/transport-suite.ts';
import { addressesOf, Cluster } from './fixture.ts';
import { openIntruder } from './intruder.ts';

/** Bytes that a later version adds to each header and hello. */
const added = 16;
const kind = 100;

/** A frame as a later minor version may send it: fields that nobody knows, a type that nobody knows. */
function laterFrame(type: number, frameKind: number, id: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(headerBytes + added, 0xa5);
  writeHeader(header, 0, outgoing(frameType.request, frameKind, id, 5000, [body]));
  header.writeUInt32LE(header.length - 4 + body.length, 0);
  header[4] = type;
  header[5] = header.length;
  return Buffer.concat([header, body]);
}

/** One channel of a session, spoken by hand. */
class Later {
  readonly framed: FramedStream;
  readonly frames: IncomingFrame[] = [];
  isBroken = false;

  static async open(connection: WireConnection, channel: Channel, session: string, nonce: string): Promise<Later> {
    const later = new Later(new FramedStream(await connection.openStream(protocols[channel], AbortSignal.timeout(5000))));
    const hello = Buffer.concat([encodeHello({ channel, session, process: { incarnation: 1, nonce }, wallMs: Date.now() }), Buffer.alloc(added, 7)]);
    hello[5] = minorVersion + 1;
    later.say(frameType.hello, 0, 0, hello);
    return later;
  }

  private constructor(framed: FramedStream) {
    this.framed = framed;
    framed.onBroken = () => (this.isBroken = true);
    framed.onFrame = (frame) => {
      this.frames.push({ ...frame, body: Uint8Array.from(frame.body) });
      if (frame.type === frameType.request) this.say(frameType.reply, 0, frame.id, frame.kind === syncKind ? noNews : Buffer.from('from the future'));
    };
  }

  say(type: number, frameKind: number, id: number, body: Uint8Array): void {
    this.framed.stream.send([laterFrame(type, frameKind, id, body)]);
  }

  async answer(id: number): Promise<string> {
    const find = (): IncomingFrame | undefined =>
      this.frames.find((frame) => frame.id === id && (frame.type === frameType.reply || frame.type === frameType.error));
    await eventually(() => find() !== undefined, `request ${id} is answered`);
    return `${find()!.type === frameType.error ? 'error ' : ''}${Buffer.from(find()!.body).toString()}`;
  }
}

const noNews = Buffer.from(JSON.stringify({ entries: [], revocations: [], wanted: [], wantedRevocations: [], mood: 'fine' }));

test('a host of the next minor version is a member like any other', async () => {
  await using cluster = await Cluster.onLoopback();
  const host = await cluster.first();
  host.transport.handle(kind, (_peer, body) => body);
  const token = readToken((await host.createToken({ uses: 1 })).text);
  await using stack = new AsyncDisposableStack();
  const guest = await openIntruder();
  stack.defer(() => guest.close());
  const peer = peerIdOf(guest.key.publicKey);
  const passport = passportFromToken(token, peer, Date.now()).text;
  const dial = (): Promise<WireConnection> => guest.dial(addressesOf(host)[0]!, undefined, AbortSignal.timeout(5000));
  const control = await dial();
  const admission = new FramedStream(await control.openStream(protocols.admission, AbortSignal.timeout(5000)));
  const admitted = admission.next(frameType.reply, AbortSignal.timeout(5000));
  admission.stream.send([laterFrame(frameType.request, 0, 1, Buffer.from(passport))]);
  await admitted;

  const [session, nonce] = [systemRandom.bytes(8), systemRandom.bytes(8)].map((bytes) => Buffer.from(bytes).toString('hex')) as [string, string];
  const [first, second] = await Promise.all([Later.open(control, 'control', session, nonce), Later.open(await dial(), 'bulk', session, nonce)]);
  await eventually(() => host.transport.isConnected(peer), 'they are connected');
  await eventually(() => first.frames[0]?.type === frameType.hello, 'it says hello');
  assert.equal(first.frames[0]!.body[4], majorVersion);

  // What it says, this host understands, and what it asks in words of its own is refused without harm.
  first.say(9, kind, 0, Buffer.from('a type of frame that nobody knows'));
  first.say(frameType.notify, 63, 0, Buffer.from('a kind that nobody knows'));
  first.say(frameType.request, 63, 5, Buffer.from('the same as a request'));
  first.say(frameType.request, kind, 6, Buffer.from('an old question'));
  second.say(frameType.request, kind, 7, Buffer.from('on the other channel'));
  assert.match(await first.answer(5), /^error unsupported\0/);
  assert.equal(await first.answer(6), 'an old question');
  assert.equal(await second.answer(7), 'on the other channel');
  assert.equal(Buffer.from(await host.transport.request(peer, kind, Buffer.from('and you?'))).toString(), 'from the future');

  // A record with a state and fields of its own, in news that have some too.
  const fields = {
    peer,
    name: 'later',
    zone: 'z',
    capacity: 5,
    addresses: [],
    state: 'hibernating',
    incarnation: 1,
    nonce,
    sequence: 1,
    colour: 'green',
  };
  const entry = { record: signText('member', fields, guest.key), passport, weight: 3 };
  first.say(frameType.notify, newsKind, 0, Buffer.from(JSON.stringify({ entries: [entry], revocations: [], weather: 'mild' })));
  await eventually(() => host.member(peer)?.name === 'later', 'its record is known');
  assert.equal(host.member(peer)!.state, 'up');

  // Heartbeats that say more keep it alive for longer than silence would last.
  for (let beat = 0; beat < 8; beat++) {
    first.say(frameType.notify, heartbeatKind, 0, Buffer.from('0123456789abcdef and more'));
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  assert.equal(host.transport.isConnected(peer), true);
  assert.deepEqual([first.isBroken, second.isBroken], [false, false]);
});

test('a host that asks a member of another major version to let it in is told so at once, and of which versions', async () => {
  await using cluster = await Cluster.onLoopback();
  const host = await cluster.first();
  const { text } = await host.createToken({ uses: 2 });
  const key = new KeyPair(systemRandom.bytes(32));
  const passport = Buffer.from(passportFromToken(readToken(text), peerIdOf(key.publicKey), Date.now()).text);
  await using stack = new AsyncDisposableStack();
  // It admits whoever asks, as members do, and says hello as no host of this version does.
  const member = await openIntruder(key, {
    listen: '127.0.0.1:0',
    onStream: (protocol, stream) => {
      const framed = new FramedStream(stream);
      framed.onFrame = (frame) => {
        if (protocol === protocols.admission) return framed.send(outgoing(frameType.reply, 0, 1, 0, [passport]));
        const hello = Buffer.from(frame.body);
        hello[4] = majorVersion + 1;
        framed.send(outgoing(frameType.hello, 0, 0, 0, [hello]));
      };
    },
  });
  stack.defer(() => member.close());
  const newcomer = await cluster.open('b');
  await newcomer.join(member.addresses(), text);
  const expected = `the peer speaks wire version ${majorVersion + 1}.${minorVersion}, this host ${majorVersion}.${minorVersion}: upgrade the older one`;
  await assert.rejects(
    newcomer.whenJoined(AbortSignal.timeout(10_000)),
    (error) => codeOf(error) === 'wrong-version' && messageOf(error).includes(expected),
  );
  assert.ok(newcomer.whyNotJoined().includes(expected));
  // A member of this version lets it in all the same.
  await newcomer.join(addressesOf(host), text);
  await eventually(() => newcomer.state === 'up', 'it is let in');
});
