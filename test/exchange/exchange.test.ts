import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Exchange, frameType, type IncomingFrame, type Line, type OutgoingFrame, Switchboard } from '../../src/exchange/index.ts';

const mebibyte = 1024 * 1024;

/** A line that keeps what it is given. */
class KeptLine implements Line {
  readonly frames: OutgoingFrame[] = [];
  readonly queuedBytes = 0;

  send(frame: OutgoingFrame): void {
    frame.left = true;
    this.frames.push(frame);
  }
}

class Scene {
  readonly board = new Switchboard();
  readonly control = new KeptLine();
  readonly bulk = new KeptLine();
  readonly exchange = new Exchange('b', this.board, { control: this.control, bulk: this.bulk }, () => {});
}

function incoming(type: number, kind: number, id: number): IncomingFrame {
  return { type, kind, id, deadlineMs: 1000, body: new Uint8Array(0) };
}

test('requests that were given up while they waited make room for others', async () => {
  const { exchange, bulk } = new Scene();
  const body = new Uint8Array(4 * mebibyte);
  const request = (signal: AbortSignal): Promise<unknown> => exchange.request(7, body, { channel: 'bulk', signal });
  const first = [0, 1].map(() => request(new AbortController().signal));
  const givenUp = new AbortController();
  const waiting = Array.from({ length: 16 }, () => request(givenUp.signal));
  await assert.rejects(request(new AbortController().signal), { code: 'overloaded' });
  givenUp.abort();
  for (const { status } of await Promise.allSettled(waiting)) assert.equal(status, 'rejected');
  const next = request(new AbortController().signal);
  assert.equal(bulk.frames.length, 2);
  exchange.receive('bulk', incoming(frameType.reply, 7, bulk.frames[0]!.id));
  await first[0];
  assert.equal(bulk.frames.length, 3);
  for (const { id } of bulk.frames.slice(1)) exchange.receive('bulk', incoming(frameType.reply, 7, id));
  await Promise.all([...first, next]);
});

test('a deadline further away than a timer reaches keeps nobody busy', async (t) => {
  const { exchange } = new Scene();
  const timers = t.mock.method(globalThis, 'setTimeout');
  const reply = exchange.request(7, [], { deadlineMs: 60 * 24 * 60 * 60 * 1000 });
  await sleep(50);
  assert.ok(timers.mock.callCount() < 5, `${timers.mock.callCount()} timers`);
  exchange.close('over');
  await assert.rejects(reply, { code: 'unknown-outcome' });
});

test('an exchange keeps its program alive while a reply is awaited, and no longer', async () => {
  const { exchange, control } = new Scene();
  const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  for (const round of [1, 2, 3]) {
    const reply = exchange.request(7, []);
    assert.equal(timers(), before + 1, `round ${round}`);
    exchange.receive('control', incoming(frameType.reply, 7, control.frames.at(-1)!.id));
    await reply;
    assert.equal(timers(), before, `round ${round}`);
  }
  const late = exchange.request(7, [], { deadlineMs: 5 });
  await assert.rejects(late, { code: 'unknown-outcome' });
  assert.equal(timers(), before);
});

test('a request that waited until nobody serves its kind any longer is answered so', async () => {
  const { board, control, exchange } = new Scene();
  const stop = board.handle(7, () => new Promise(() => {}));
  const { promise: busy, resolve: finish } = Promise.withResolvers<undefined>();
  board.handle(8, () => busy);
  for (let id = 1; id <= 1024; id++) exchange.receive('control', incoming(frameType.request, 8, id));
  exchange.receive('control', incoming(frameType.request, 7, 5000));
  exchange.receive('control', incoming(frameType.request, 7, 5001));
  exchange.receive('control', incoming(frameType.cancel, 7, 5001));
  stop();
  finish(undefined);
  await sleep(1);
  const answers = control.frames.filter(({ id }) => id >= 5000);
  assert.deepEqual(
    answers.map(({ id, type }) => [id, type]),
    [[5000, frameType.error]],
  );
  assert.match(Buffer.concat(answers[0]!.body).toString(), /^unsupported\0/);
});

test('requests that are cancelled while they wait are forgotten in no time, however many wait', () => {
  const { board, exchange } = new Scene();
  board.handle(8, () => new Promise(() => {}));
  /** Processor time that it takes to cancel so many that wait, in µs: other programs' turns are not counted. */
  const cancelled = (count: number): number => {
    const ids = Array.from({ length: count }, (_, index) => index + 2000);
    for (const id of ids) exchange.receive('control', incoming(frameType.request, 8, id));
    const before = process.threadCpuUsage();
    for (const id of ids.toReversed()) exchange.receive('control', incoming(frameType.cancel, 8, id));
    const { user, system } = process.threadCpuUsage(before);
    return user + system;
  };
  for (let id = 1; id <= 1024; id++) exchange.receive('control', incoming(frameType.request, 8, id));
  const few = Array.from({ length: 32 }, () => cancelled(500)).reduce((sum, one) => sum + one, 0);
  const many = cancelled(16_000);
  // As many in one go as in 32: as long, and not 32 times. Processors' time is counted in ticks.
  const tick = 10_000;
  assert.ok(many < 8 * Math.max(few, tick), `${many} µs, and ${few} µs`);
});

test('of large requests only so many bytes are served at once, whatever the channel; the rest waits or is refused', async () => {
  for (const channel of ['control', 'bulk'] as const) {
    const { board, exchange, control, bulk } = new Scene();
    const body = new Uint8Array(4 * mebibyte);
    const finish: (() => void)[] = [];
    board.handle(7, () => new Promise((resolve) => finish.push(() => resolve(undefined))));
    for (let id = 1; id <= 100; id++) exchange.receive(channel, { ...incoming(frameType.request, 7, id), body });
    assert.ok(finish.length * body.length <= 64 * mebibyte, `${finish.length} on ${channel}`);
    const before = finish.length;
    const answers = (channel === 'control' ? control : bulk).frames;
    assert.ok(answers.length > 0 && answers.every(({ type }) => type === frameType.error), 'what would wait too long is refused');
    for (const done of finish.splice(0)) done();
    await sleep(1);
    assert.ok(finish.length > 0 && before > 1, 'what waited is served then');
  }
});

test('what is served on the bulk channel alone is refused on the other, and a notification of it passed over', () => {
  const { board, control, bulk, exchange } = new Scene();
  let served = 0;
  const stop = board.handle(7, () => void served++, { channel: 'bulk' });
  for (const type of [frameType.request, frameType.notify]) exchange.receive('control', incoming(type, 7, 1));
  assert.equal(served, 0);
  assert.deepEqual(
    control.frames.map(({ type }) => type),
    [frameType.error],
  );
  assert.match(Buffer.concat([...control.frames[0]!.body]).toString(), /^bad-argument/);
  exchange.receive('bulk', incoming(frameType.request, 7, 2));
  assert.deepEqual([served, bulk.frames[0]!.type], [1, frameType.reply]);
  stop();
  board.handle(7, () => void served++);
  exchange.receive('control', incoming(frameType.request, 7, 3));
  assert.equal(served, 2);
});

test('of requests with large answers only so many bytes are put together at once; others, and those of another sort, pass them by', async () => {
  const { board, exchange, control } = new Scene();
  const finish: (() => void)[] = [];
  let small = 0;
  board.handle(7, () => new Promise((resolve) => finish.push(() => resolve(new Uint8Array(mebibyte)))), {
    largeAnswer: ([sort]) => (sort === 0 ? undefined : { sort: String(sort), bytes: mebibyte }),
  });
  board.handle(8, () => void small++);
  const ask = (kind: number, id: number, sort: number): void =>
    exchange.receive('control', { ...incoming(frameType.request, kind, id), body: Uint8Array.of(sort) });
  for (let id = 1; id <= 1024; id++) ask(7, id, 1);
  assert.equal(finish.length, 32);
  ask(7, 2000, 2);
  ask(7, 2001, 0);
  ask(8, 2002, 0);
  assert.deepEqual([finish.length, small], [34, 1]);
  // Who gave up is passed over.
  for (let id = 33; id <= 1000; id++) exchange.receive('control', incoming(frameType.cancel, 7, id));
  for (let rounds = 0; finish.length > 0; rounds++) {
    assert.ok(finish.length <= 34 && rounds < 3);
    for (const done of finish.splice(0)) done();
    await sleep(1);
  }
  const answered = control.frames.filter(({ type }) => type === frameType.reply).map(({ id }) => id);
  const served = [
    ...Array.from({ length: 32 }, (_, index) => index + 1),
    ...Array.from({ length: 24 }, (_, index) => index + 1001),
    2000,
    2001,
    2002,
  ];
  assert.deepEqual(
    answered.toSorted((a, b) => a - b),
    served,
  );
});
