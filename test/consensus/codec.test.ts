import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { InfinitError } from '../../src/base/index.ts';
import {
  Acceptor,
  type AcceptorState,
  type Ballot,
  decodeLeaseMessage,
  decodeReply,
  decodeRequest,
  decodeState,
  encodeLeaseMessage,
  encodeReply,
  encodeRequest,
  encodeState,
  LeaseTable,
  maxEncodedBytes,
  maxValueBytes,
} from '../../src/consensus/index.ts';
import { ballot, record } from './fixtures.ts';
import { from, object, states, requests, replies, leaseMessages } from './generators.ts';

const joined = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** The decoder either gives a message that encodes to the very same bytes, or refuses with an error of ours. */
function refusesOrRoundTrips<T>(bytes: Uint8Array, decode: (bytes: Uint8Array) => T, encode: (value: T) => Uint8Array): void {
  let decoded: T;
  try {
    decoded = decode(bytes);
  } catch (error) {
    assert.ok(error instanceof InfinitError && error.code !== 'bug', String(error));
    return;
  }
  assert.deepEqual(encode(decoded), bytes);
}

void test('states, requests, replies and lease messages come back as they were', () => {
  fc.assert(fc.property(states, (state) => assert.deepEqual(decodeState(encodeState(state)), state)));
  fc.assert(fc.property(requests, (request) => assert.deepEqual(decodeRequest(from, joined(encodeRequest(request))), request)));
  fc.assert(fc.property(leaseMessages, (message) => assert.deepEqual(decodeLeaseMessage(from, encodeLeaseMessage(message)), message)));
  fc.assert(
    fc.property(replies, (reply) => {
      const { accepted, same } = reply;
      const expected = same && accepted !== null ? { ...reply, accepted: { ...accepted, record: { ...accepted.record, value: null } } } : reply;
      assert.deepEqual(decodeReply(from, joined(encodeReply(reply))), expected);
    }),
  );
});

void test('a value goes over the wire from where it lies, and is read where it arrived', () => {
  const large = new Uint8Array(maxValueBytes).fill(7);
  const state = record(1, 'x');
  const parts = encodeRequest({ type: 'learn', from, block: 'x', tag: 1, attempt: 1, ballot: ballot(1), record: { ...state, value: large } });
  assert.equal(parts[1], large);
  const bytes = joined(parts);
  const decoded = decodeRequest(from, bytes);
  assert.ok(decoded.type === 'learn' && decoded.record.value?.buffer === bytes.buffer);
});

void test('arbitrary bytes are refused with a typed error', () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(bytes, (raw) =>
      refusesOrRoundTrips(
        raw,
        (given) => decodeRequest(from, given),
        (request) => joined(encodeRequest(request)),
      ),
    ),
  );
  fc.assert(
    fc.property(bytes, (raw) =>
      refusesOrRoundTrips(
        raw,
        (given) => decodeReply(from, given),
        (reply) => joined(encodeReply(reply)),
      ),
    ),
  );
  fc.assert(fc.property(bytes, (raw) => refusesOrRoundTrips(raw, decodeState, encodeState)));
});

void test('damaged messages are refused or mean exactly what their bytes say', () => {
  const damage = object({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }), cut: fc.nat(400), more: fc.uint8Array({ maxLength: 4 }) });
  fc.assert(
    fc.property(requests, damage, (request, { at, to, cut, more }) => {
      const bytes = joined(encodeRequest(request));
      bytes[at % bytes.length] = to;
      const again = (given: Uint8Array): void =>
        refusesOrRoundTrips(
          given,
          (raw) => decodeRequest(from, raw),
          (each) => joined(encodeRequest(each)),
        );
      again(bytes);
      again(bytes.slice(0, cut));
      again(joined([bytes, more]));
    }),
    { numRuns: 500 },
  );
});

void test('absurd rounds, foreign ballots and oversize are refused by name', () => {
  const prepare = (made: Ballot): Uint8Array =>
    joined(encodeRequest({ type: 'prepare', from, block: 'x', tag: 1, attempt: 1, ballot: made, view: 0, known: null }));
  const code = (wanted: string) => (error: unknown) => error instanceof InfinitError && error.code === wanted;
  assert.throws(() => decodeRequest(from, prepare(ballot(2 ** 52))), code('bad-argument'));
  assert.throws(() => decodeRequest(from, prepare(ballot(2 ** 53 - 1))), code('bad-argument'));
  assert.throws(() => decodeRequest('B', prepare(ballot(1))), code('denied'));
  assert.throws(() => decodeRequest(from, new Uint8Array(maxEncodedBytes + 1)), code('too-large'));
  assert.throws(() => decodeState(new Uint8Array([1, 0, 0])), code('damaged'));
  assert.throws(() => decodeState(new Uint8Array([2])), code('wrong-version'));
});

void test('whatever a peer sends, an acceptor answers or refuses, and forgets no promise', () => {
  const leases = (): LeaseTable => new LeaseTable({ self: 'B', incarnation: 1, termMs: 1000, startedAt: 0, earlierHolders: [] });
  fc.assert(
    fc.property(fc.array(requests, { maxLength: 30 }), (sequence) => {
      const acceptor = new Acceptor({ self: 'B', leases: leases(), views: () => [] });
      let state: AcceptorState | undefined;
      for (const request of sequence) {
        const before = state;
        const step = acceptor.step(before, request, 0);
        if (!step.changed) assert.deepEqual(step.state, before);
        if (step.state !== undefined && before?.promised != null) assert.ok((step.state.promised?.round ?? 0) >= before.promised.round);
        if (step.state === undefined && before !== undefined) assert.ok(acceptor.floor >= (before.promised?.round ?? 0));
        state = step.state;
      }
    }),
  );
});

void test('hosts whose names are alike are not taken for one another, and the same set of them is the same one each time', () => {
  const alike = ['A1', 'B1', 'AA1', 'A'.repeat(40) + '1', 'B'.repeat(40) + '1'];
  const stateOf = (replicas: readonly string[]): AcceptorState => ({
    promised: null,
    accepted: { ballot: { ...ballot(1), peer: replicas[0]! }, record: record(1, null, replicas), pointer: false },
    lost: false,
  });
  const read = (replicas: readonly string[]): AcceptorState => decodeState(encodeState(stateOf(replicas)));
  for (let turn = 0; turn < 3; turn++) for (const peer of alike) assert.deepEqual(read([peer, 'C2']), stateOf([peer, 'C2']));
  assert.deepEqual(read(['A1', 'C2', 'B1']), stateOf(['A1', 'C2', 'B1']));
  assert.deepEqual(read(['A1', 'B1', 'C2']), stateOf(['A1', 'B1', 'C2']));
  const turns = [0, 1].map(() =>
    [
      ['A1', 'B1', 'C2'],
      ['C2', 'A1', 'B1'],
    ].map((set) => read(set).accepted!.record.replicas),
  );
  for (const index of [0, 1]) assert.equal(turns[0]![index], turns[1]![index]);
});
