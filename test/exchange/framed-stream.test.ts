import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import { Exchange, frameType, FramedStream, headerBytes, outgoing, Switchboard, type WireStream, writeHeader } from '../../src/exchange/index.ts';

/** A stream whose other end is the test. */
class HandFed implements WireStream {
  arrive: (chunk: Uint8Array) => void = () => {};
  close: () => void = () => {};
  send(): boolean {
    return true;
  }
  onData(listener: (chunk: Uint8Array) => void): void {
    this.arrive = listener;
  }
  onDrain(): void {}
  onClose(listener: () => void): void {
    this.close = listener;
  }
  abort(): void {}
}

function frame(type: (typeof frameType)[keyof typeof frameType]): Buffer {
  const header = Buffer.alloc(headerBytes);
  writeHeader(header, 0, outgoing(type, 0, 1, 0, []));
  return header;
}

test('however a wait for a frame ends, nothing of it stays on the signal', async () => {
  const { signal } = new AbortController();
  const stream = new HandFed();
  const framed = new FramedStream(stream);
  const answered = framed.next(frameType.reply, signal);
  stream.arrive(frame(frameType.reply));
  await answered;
  const wrong = framed.next(frameType.reply, signal);
  stream.arrive(frame(frameType.hello));
  await assert.rejects(wrong, { code: 'bad-argument' });
  const broken = framed.next(frameType.reply, signal);
  stream.close();
  await assert.rejects(broken, { code: 'unavailable' });
  await assert.rejects(framed.next(frameType.reply, signal), { code: 'unavailable' });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a wait for a frame with a signal that has fired ends at once', async () => {
  await assert.rejects(new FramedStream(new HandFed()).next(frameType.reply, AbortSignal.abort()), { code: 'unavailable' });
});

test('however a request ends, nothing of it stays on the signal', async () => {
  const { signal } = new AbortController();
  const line = { send: () => {}, queuedBytes: 0 };
  const exchange = new Exchange('b', new Switchboard(), { control: line, bulk: line }, () => {});
  const answered = exchange.request(7, [], { signal });
  exchange.receive('control', { type: frameType.reply, kind: 7, id: 1, deadlineMs: 0, body: new Uint8Array(0) });
  await answered;
  await assert.rejects(exchange.request(7, [], { signal, deadlineMs: 1 }), { code: 'unavailable' });
  const broken = exchange.request(7, [], { signal });
  exchange.close('over');
  await assert.rejects(broken, { code: 'unavailable' });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('notifications that a busy connection does not take are refused on either channel, before it is taken for broken', () => {
  for (const channel of ['control', 'bulk'] as const) {
    const line = { queuedBytes: 0, send: (sent: { readonly bytes: number }) => void (line.queuedBytes += sent.bytes) };
    let broken = false;
    const exchange = new Exchange('b', new Switchboard(), { control: line, bulk: line }, () => (broken = true));
    const body = new Uint8Array(4 * 1024 * 1024);
    let taken = 0;
    while (taken < 100 && exchange.notify(7, body, channel)) taken++;
    assert.ok(taken > 1 && taken < 20 && !broken, `${taken} on ${channel}`);
  }
});
