import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BallotSource, type PeerId, Proposer, putAny, read, type Reply, type Request } from '../../src/consensus/index.ts';
import { AnswerPace } from '../../src/store/answer-pace.ts';
import { Drive } from '../../src/store/drive.ts';

const hosts = ['a', 'b', 'c', 'd', 'e'];

/** A read by `a` of a block that five hosts have, which has waited for so long that its pauses are long. */
function readThatWaits(): { readonly drive: Drive; readonly asked: PeerId[][]; readonly answer: (from: PeerId) => void } {
  const asked: PeerId[][] = [];
  let message: Request | undefined;
  const send = (peers: readonly PeerId[], request: Request): void => {
    asked.push([...peers]);
    message = request;
  };
  const views = [{ number: 1, replicas: hosts }];
  const proposer = new Proposer({ block: 'block', tag: 1, operation: read, views, ballots: new BallotSource('a', 1), random: () => 0.5 });
  const drive = new Drive({ self: 'a', pace: new AnswerPace(), isConnected: () => true, send, beginsWriting: () => {}, ended: () => {} }, proposer, {
    deadlineMs: 10 ** 9,
  });
  const answer = (from: PeerId): void => {
    const { block, tag, attempt } = message!;
    const nothing = { promised: null, accepted: null, same: false, floor: 0, views: [], unsure: false, grant: 0 };
    const reply: Reply = { type: 'value', from, block, tag, attempt, ...nothing };
    drive.hear(reply);
  };
  drive.start();
  for (let pauses = 0; pauses < 8; pauses++) {
    answer('a');
    drive.tick(performance.now() + 60_000);
  }
  answer('a');
  asked.length = 0;
  return { drive, asked, answer };
}

/** Longer than a pause that begins anew, and shorter by far than the present one. */
const soonMs = 500;

test('where a host that an operation waits for is connected again it is asked at once, and pauses begin anew', () => {
  const { drive, asked } = readThatWaits();
  drive.tick(performance.now() + soonMs);
  assert.equal(asked.length, 0);
  drive.peerUp('b');
  assert.equal(asked.length, 1);
  assert.ok(asked[0]!.includes('b'));
  drive.tick(performance.now() + soonMs);
  assert.equal(asked.length, 2);
});

test('a connection to a host that has answered hurries nobody', () => {
  const { drive, asked } = readThatWaits();
  drive.peerUp('a');
  drive.peerUp('no replica');
  drive.tick(performance.now() + soonMs);
  assert.deepEqual(asked, []);
});

test('the first answer of a host that was silent for long has the others asked soon, later ones of the same host do not', () => {
  const { drive, asked, answer } = readThatWaits();
  answer('b');
  drive.tick(performance.now() + soonMs);
  assert.equal(asked.length, 1);
  for (let pauses = 0; pauses < 8; pauses++) drive.tick(performance.now() + 60_000);
  asked.length = 0;
  answer('b');
  drive.tick(performance.now() + soonMs);
  assert.deepEqual(asked, []);
});

test('a read of which a majority answers ends, though its pauses began anew', async () => {
  const { drive, answer } = readThatWaits();
  drive.peerUp('b');
  for (const host of ['a', 'b', 'c']) answer(host);
  assert.equal((await drive.outcome).status, 'committed');
});

test('an operation that was cancelled before it began sends nothing, and has changed nothing', async () => {
  const sent: Request[] = [];
  const views = [{ number: 1, replicas: hosts }];
  const operation = putAny(Uint8Array.of(1));
  const proposer = new Proposer({ block: 'block', tag: 1, operation, views, ballots: new BallotSource('a', 1), random: () => 0.5 });
  const send = (_: readonly PeerId[], request: Request): unknown => sent.push(request);
  const context = { self: 'a', pace: new AnswerPace(), isConnected: () => true, send, beginsWriting: () => {}, ended: () => {} };
  const drive = new Drive(context, proposer, { deadlineMs: 10 ** 9, signal: AbortSignal.abort() });
  drive.start();
  assert.deepEqual(sent, []);
  assert.deepEqual(await drive.outcome, { status: 'no-quorum' });
});

test('an operation that is cancelled while hosts are asked ends with the next tick, and asks no more', async () => {
  const cancel = new AbortController();
  let sent = 0;
  const views = [{ number: 1, replicas: hosts }];
  const operation = putAny(Uint8Array.of(1));
  const proposer = new Proposer({ block: 'block', tag: 1, operation, views, ballots: new BallotSource('a', 1), random: () => 0.5 });
  const context = { self: 'a', pace: new AnswerPace(), isConnected: () => true, send: () => sent++, beginsWriting: () => {}, ended: () => {} };
  const drive = new Drive(context, proposer, { deadlineMs: 10 ** 9, signal: cancel.signal });
  drive.start();
  const asked = sent;
  assert.ok(asked > 0);
  cancel.abort();
  drive.tick(performance.now());
  assert.equal((await drive.outcome).status, 'no-quorum');
  drive.tick(performance.now() + 60_000);
  assert.equal(sent, asked);
});

test('where answers take long these days they are waited for longer before they are asked for again', (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const pace = new AnswerPace();
  const asked: (readonly PeerId[])[] = [];
  const context = {
    self: 'a',
    pace,
    isConnected: () => true,
    send: (peers: readonly PeerId[]) => void asked.push(peers),
    beginsWriting: () => {},
    ended: () => {},
  };
  const start = (tag: number): Drive => {
    const views = [{ number: 1, replicas: ['a', 'b', 'c'] }];
    const proposer = new Proposer({ block: 'block', tag, operation: read, views, ballots: new BallotSource('a', 1), random: () => 0.5 });
    const drive = new Drive(context, proposer, { deadlineMs: 10 ** 9 });
    drive.start();
    return drive;
  };
  const quick = start(1);
  now += 110;
  quick.tick(now);
  assert.deepEqual(asked.length, 2, 'nothing is known yet');
  for (let tag = 2; tag < 50; tag++) {
    const drive = start(tag);
    const nothing = { promised: null, accepted: null, same: false, floor: 0, views: [], unsure: false, grant: 0 };
    now += 300;
    for (const from of ['b', 'c']) drive.hear({ type: 'value', from, block: 'block', tag, attempt: 1, ...nothing });
  }
  asked.length = 0;
  const slow = start(50);
  now += 890;
  slow.tick(now);
  assert.equal(asked.length, 1);
  now += 1000;
  slow.tick(now);
  assert.equal(asked.length, 2, 'but not for ever');
});

test('a host that cannot be asked is not waited for where its answer could only spare a reader to write back what it read', () => {
  const away = new Set<PeerId>();
  const sent: Request[] = [];
  const send = (_peers: readonly PeerId[], request: Request): void => void sent.push(request);
  const views = [{ number: 1, replicas: ['a', 'b', 'c'] }];
  const proposer = new Proposer({ block: 'block', tag: 1, operation: read, views, ballots: new BallotSource('a', 1), random: () => 0.5 });
  const context = {
    self: 'a',
    pace: new AnswerPace(),
    isConnected: (peer: PeerId) => !away.has(peer),
    send,
    beginsWriting: () => {},
    ended: () => {},
  };
  const drive = new Drive(context, proposer, { deadlineMs: 10 ** 9 });
  drive.start();
  const ballot = { round: 1, peer: 'b', incarnation: 1, serial: 1 };
  const record = { version: 1, epoch: 1, replicas: ['a', 'b', 'c'], previous: [], unsettled: [], origin: ballot, value: Uint8Array.of(1) };
  const answer = (from: PeerId, lags: boolean): void => {
    const accepted = lags ? null : { ballot, record, pointer: false };
    const { block, tag, attempt } = sent.at(-1)!;
    drive.hear({ type: 'value', from, block, tag, attempt, promised: null, accepted, same: false, floor: 0, views: [], unsure: false, grant: 0 });
  };
  answer('a', false);
  answer('b', true);
  assert.deepEqual(
    sent.map(({ type }) => type),
    ['read'],
    'c may show that a majority has it',
  );
  away.add('c');
  drive.goOn();
  assert.deepEqual(
    sent.map(({ type }) => type),
    ['read', 'prepare'],
  );
  drive.tick(Infinity);
});
