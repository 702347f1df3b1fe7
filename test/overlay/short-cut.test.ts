import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';

import { yamux } from '@chainsafe/libp2p-yamux';
import type { Connection, Logger, Stream, StreamMuxer } from '@libp2p/interface';

import { ShortCut } from '../../src/overlay/libp2p/short-cut.ts';
import { TlsStream, type Underlying } from '../../src/overlay/libp2p/tls-stream.ts';
import { eventually } from '../suites/transport-suite.ts';

const log = Object.assign(() => {}, { enabled: false, trace: () => {}, error: () => {}, newScope: (): Logger => log }) as unknown as Logger;

/** One end of a connection: what a TLS socket would be, the muxer on it, and the stream that both ends have on it. */
interface End {
  readonly socket: TlsStream;
  readonly muxer: StreamMuxer;
  stream: Stream;
  shortCut: ShortCut;
  /** Bytes that came, and how many of them by the muxer. */
  received: Buffer[];
  throughMuxer: number;
}

/** One end of a connection in memory. What is written together goes together, as in one TLS record, and arrives in pieces of whatever `sizes` says. */
class Wire extends Duplex {
  other!: Wire;
  readonly #sizes: () => number;

  constructor(sizes: () => number) {
    super({ writableHighWaterMark: 16 * 1024 });
    this.#sizes = sizes;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#carry(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#carry(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  #carry(bytes: Buffer, done: () => void): void {
    setImmediate(() => {
      for (let at = 0; at < bytes.length;) {
        const size = Math.min(this.#sizes(), bytes.length - at);
        this.other.push(bytes.subarray(at, at + size));
        at += size;
      }
      done();
    });
  }
}

function open(duplex: Duplex, direction: 'inbound' | 'outbound'): { socket: TlsStream; muxer: StreamMuxer } {
  const underlying = { log, direction, addEventListener: () => {}, onTransportClosed: () => {}, abort: () => {} } as unknown as Underlying;
  const socket = new TlsStream(underlying, duplex as unknown as TLSSocket);
  return { socket, muxer: yamux({ enableKeepAlive: false })().createStreamMuxer(socket) };
}

function join(end: { socket: TlsStream; muxer: StreamMuxer }, stream: Stream): End {
  const shortCut = ShortCut.of({ muxer: end.muxer } as unknown as Connection, stream)!;
  const joined: End = { ...end, stream, shortCut, received: [], throughMuxer: 0 };
  shortCut.listen((chunk) => joined.received.push(Buffer.from(chunk)));
  stream.addEventListener('message', ({ data }) => {
    const bytes = Buffer.from(data.subarray());
    joined.received.push(bytes);
    joined.throughMuxer += bytes.length;
  });
  return joined;
}

async function connect(sizes: () => number = () => Infinity): Promise<readonly [End, End]> {
  const [left, right] = [new Wire(sizes), new Wire(sizes)];
  left.other = right;
  right.other = left;
  const [a, b] = [open(left, 'outbound'), open(right, 'inbound')];
  const arrived = new Promise<Stream>((resolve) => b.muxer.addEventListener('stream', ({ detail }) => resolve(detail), { once: true }));
  const dialled = await a.muxer.createStream();
  dialled.send(Buffer.from('first'));
  const ends = [join(a, dialled), join(b, await arrived)] as const;
  // Both have heard of the stream, so that its frames are plain ones.
  ends[1].stream.send(Buffer.from('first'));
  for (const end of ends) {
    await eventually(() => text(end) === 'first', 'the first bytes come');
    end.received = [];
    end.throughMuxer = 0;
  }
  return ends;
}

const text = ({ received }: End): string => Buffer.concat(received).toString('latin1');

function say(end: End, chunks: readonly Uint8Array[]): void {
  if (end.shortCut.send(chunks) === undefined) for (const chunk of chunks) end.stream.send(chunk);
}

test('small messages pass the muxer by, both ways', async () => {
  const [a, b] = await connect();
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    for (let index = 0; index < 100; index++) {
      assert.equal(from.shortCut.send([Buffer.from(`${index} `), Buffer.from('and a body ')]), true);
      if (index % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => text(to).includes('99 and a body '), 'all have come');
    assert.equal(text(to), Array.from({ length: 100 }, (_, index) => `${index} and a body `).join(''));
    assert.equal(to.throughMuxer, 0);
  }
});

test('large and small messages arrive in their order, cut up in whatever way, beyond windows and pauses', async () => {
  let seed = 7;
  const random = (below: number): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) % below;
  const [a, b] = await connect(() => (random(3) === 0 ? 1 + random(40) : 1 + random(40_000)));
  const sent: Buffer[] = [];
  for (let index = 0; index < 400; index++) {
    const body = Buffer.alloc(random(8) === 0 ? random(200_000) : random(3000), index);
    sent.push(Buffer.of(index & 0xff), body);
    say(a, [Buffer.of(index & 0xff), body]);
    if (index % 50 === 20) b.stream.pause();
    if (index % 50 === 30) b.stream.resume();
    if (random(4) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const all = Buffer.concat(sent);
  await eventually(() => b.received.reduce((sum, { length }) => sum + length, 0) === all.length, 'everything has come');
  assert.ok(Buffer.concat(b.received).equals(all));
  assert.ok(b.throughMuxer > 0 && b.throughMuxer < all.length, `${b.throughMuxer} of ${all.length} bytes came by the muxer`);
});

test('a large message passes the muxer by, piece by piece, and so does what follows it', async () => {
  const [a, b] = await connect(() => 16_384);
  const body = Buffer.from(Uint8Array.from({ length: 150_000 }, (_, index) => (index * 7 + (index >> 8)) & 0xff));
  assert.notEqual(a.shortCut.send([Buffer.from('head'), body]), undefined);
  await eventually(() => b.received.reduce((sum, { length }) => sum + length, 0) === body.length + 4, 'it has come');
  assert.ok(Buffer.concat(b.received).subarray(4).equals(body));
  assert.ok(b.received.length > 5);
  assert.equal(a.shortCut.send([Buffer.from('next')]), true);
  await eventually(() => b.received.at(-1)?.toString() === 'next', 'the next one has come');
  assert.equal(b.throughMuxer, 0);
});

test('a connection that its reader ends within a message is told nothing more', async () => {
  const [a, b] = await connect(() => 16_384);
  let pieces = 0;
  b.shortCut.listen(() => {
    if (++pieces < 3) return;
    b.stream.abort(new Error('a test'));
    b.socket.abort(new Error('a test'));
  });
  a.shortCut.send([Buffer.alloc(2 * 16_384 + 1000)]);
  await eventually(() => pieces === 3, 'the message has come');
  assert.equal(b.shortCut.send([Buffer.of(1)]), undefined);
});

test('a full connection says so, and tells when it has room again', async () => {
  const [a, b] = await connect();
  let drained = 0;
  a.stream.addEventListener('drain', () => drained++);
  const body = Buffer.alloc(60_000, 1);
  const first = a.shortCut.send([body]);
  assert.equal(first, false);
  // Until then everything queues in the stream, in order.
  assert.equal(a.shortCut.send([Buffer.of(2)]), undefined);
  a.stream.send(Buffer.of(2));
  await eventually(() => drained > 0 && b.received.reduce((sum, { length }) => sum + length, 0) === body.length + 1, 'it drained');
  assert.equal(Buffer.concat(b.received).at(-1), 2);
  assert.equal(a.shortCut.send([Buffer.of(3)]), true);
});

test('a stream that was reset is not written to', async () => {
  const [a, b] = await connect();
  b.stream.abort(new Error('enough'));
  await eventually(() => a.stream.status !== 'open', 'the other end hears of it');
  assert.equal(a.shortCut.send([Buffer.of(1)]), undefined);
});
