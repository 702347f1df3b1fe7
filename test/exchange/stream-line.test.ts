import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { frameType, headerBytes, outgoing, StreamLine, type WireStream } from '../../src/exchange/index.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** A stream that is full after every batch until the test drains it. */
class FullStream implements WireStream {
  batches = 0;
  bytes = 0;
  onDrained = (): void => {};

  send(chunks: readonly Uint8Array[]): boolean {
    this.batches++;
    for (const chunk of chunks) this.bytes += chunk.length;
    return false;
  }
  onDrain(listener: () => void): void {
    this.onDrained = listener;
  }
  onData(): void {}
  onClose(): void {}
  abort(): void {}
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('what was sent is let go though others wait all the time, and every frame leaves once', async () => {
  const stream = new FullStream();
  const line = new StreamLine(stream, () => {});
  const bodyBytes = 128 * 1024;
  const bodies: WeakRef<Uint8Array>[] = [];
  const send = (): void => {
    const body = new Uint8Array(bodyBytes);
    bodies.push(new WeakRef(body));
    line.send(outgoing(frameType.notify, 1, 0, 0, [body]));
  };
  for (let count = 0; count < 16; count++) send();
  for (let round = 0; round < 1000; round++) {
    await turn();
    stream.onDrained();
    for (let count = 0; count < 4; count++) send();
    if (round === 100) {
      await turn();
      collect();
      const kept = bodies.filter((body) => body.deref() !== undefined).length;
      assert.ok(kept < 60, `${kept} of ${bodies.length} bodies are kept`);
    }
  }
  while (line.queuedBytes > 0) stream.onDrained();
  assert.equal(stream.bytes, bodies.length * (headerBytes + bodyBytes));
});
