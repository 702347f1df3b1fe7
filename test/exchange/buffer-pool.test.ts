import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BufferPool } from '../../src/exchange/buffer-pool.ts';
import { Exchange, FrameDecoder, headerBytes, type Line, type OutgoingFrame, Switchboard, writeHeader } from '../../src/exchange/index.ts';

test('a buffer that was given back is used for the next large message, and no other', () => {
  const pool = new BufferPool();
  const first = pool.take(1024 * 1024);
  const memory = first.buffer;
  assert.notEqual(pool.take(1024 * 1024).buffer, memory);
  pool.give(first);
  assert.notEqual(pool.take(1000).buffer, memory);
  const second = pool.take(500_000);
  assert.equal(second.length, 500_000);
  assert.equal(second.buffer, memory);
});

test('the memory of a message is reused once its handler is done with it, where the handler says so', async () => {
  const bodies: ArrayBufferLike[] = [];
  const contents: number[] = [];
  const finish: (() => void)[] = [];
  const board = new Switchboard();
  const handler = async (_peer: string, body: Uint8Array): Promise<undefined> => {
    bodies.push(body.buffer);
    await new Promise<void>((resolve) => finish.push(resolve));
    contents.push(body[0]!, body.at(-1)!);
    return undefined;
  };
  board.handle(1, handler, { borrows: true });
  board.handle(2, handler);
  const line: Line = { send: (_frame: OutgoingFrame) => {}, queuedBytes: 0 };
  const exchange = new Exchange('peer', board, { control: line, bulk: line }, () => {});
  const decoder = new FrameDecoder((frame) => exchange.receive('bulk', frame));
  const arrive = (kind: number, id: number, byte: number): void => {
    const frame = { type: 1 as const, kind, id, deadlineMs: 1000, body: [Buffer.alloc(600_000, byte)], bytes: 600_000, left: false, dropped: false };
    const header = Buffer.alloc(headerBytes);
    writeHeader(header, 0, frame);
    // In pieces, as a socket brings it.
    decoder.push(header);
    decoder.push(frame.body[0]!.subarray(0, 400_000));
    decoder.push(frame.body[0]!.subarray(400_000));
  };
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  arrive(2, 1, 1);
  finish.shift()!();
  await settled();
  arrive(1, 2, 2);
  arrive(1, 3, 3);
  assert.equal(new Set(bodies).size, 3, 'what a handler may still look at is left alone');
  finish.shift()!();
  await settled();
  arrive(1, 4, 4);
  assert.equal(bodies[3], bodies[1]);
  for (const end of finish.splice(0)) end();
  await settled();
  assert.deepEqual(contents, [1, 1, 2, 2, 3, 3, 4, 4]);
});
