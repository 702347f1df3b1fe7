import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';

import { FramedStream, Switchboard } from '../../src/exchange/index.ts';
import { type Half, Session } from '../../src/overlay/session.ts';
import type { WireConnection } from '../../src/overlay/wire.ts';

/** A half of a session, and the way to break it. */
function half(): { readonly half: Half; readonly breakOff: () => void } {
  let close = (): void => {};
  const stream = { send: () => true, onData: () => {}, onDrain: () => {}, onClose: (listener: () => void) => (close = listener), abort: () => {} };
  const connection: WireConnection = {
    peer: 'b',
    address: 'b:1',
    dialled: true,
    openStream: () => Promise.reject(new Error('not here')),
    abort: () => {},
    onClose: () => {},
  };
  return { half: { connection, framed: new FramedStream(stream) }, breakOff: () => close() };
}

test('whoever waits for a hello learns at once that the connection broke: before the wait, or during it; and nothing stays on the signal', async () => {
  for (const isEarly of [true, false]) {
    const { signal } = new AbortController();
    const [control, bulk] = [half(), half()];
    if (isEarly) bulk.breakOff();
    const session = new Session('00', 'a', { control: control.half, bulk: bulk.half }, new Switchboard(), () => {});
    const hello = session.awaitHello(signal);
    if (!isEarly) bulk.breakOff();
    await assert.rejects(hello, { code: 'unavailable', message: /broke/ });
    assert.ok(session.broken);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  }
});
