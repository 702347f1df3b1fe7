import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Acceptor, type AcceptorState, LeaseTable, lostState, type Request } from '../../src/consensus/index.ts';
import { ballot, block, record } from './fixtures.ts';

const head = { from: 'A', block, tag: 1, attempt: 1 };

function acceptor(self = 'A', floor = 0): Acceptor {
  const leases = new LeaseTable({ self, incarnation: 1, termMs: 1000, startedAt: 0, earlierHolders: [] });
  return new Acceptor({ self, leases, views: () => [], floor });
}

const prepare = (round: number, peer = 'A'): Request => ({ ...head, type: 'prepare', from: peer, ballot: ballot(round, peer), view: 0, known: null });
const accept = (round: number, version: number, next: number | null = null): Request => ({
  ...head,
  type: 'accept',
  ballot: ballot(round),
  record: record(version, String(version)),
  next: next === null ? null : ballot(next),
  condition: null,
  founding: -1,
  leaseClock: 0,
  lease: null,
});

function after(...requests: readonly Request[]): AcceptorState | undefined {
  const one = acceptor();
  let state: AcceptorState | undefined;
  for (const request of requests) state = one.step(state, request, 0).state;
  return state;
}

void test('a promise keeps lower ballots out', () => {
  const state = after(prepare(5));
  for (const request of [prepare(4), accept(4, 1)]) {
    const step = acceptor().step(state, request, 0);
    assert.equal(step.reply.type, 'rejected');
    assert.equal(step.changed, false);
    assert.equal(step.state, state);
  }
});

void test('the same prepare and the same accept are answered alike and change nothing', () => {
  for (const [state, request] of [
    [after(prepare(5)), prepare(5)],
    [after(accept(5, 1, 6)), accept(5, 1, 6)],
  ] as const) {
    const step = acceptor().step(state, request, 0);
    assert.ok(step.reply.type === 'promised' || step.reply.type === 'accepted');
    assert.equal(step.changed, false);
  }
});

void test('an accept promises the next ballot along with it', () => {
  const state = after(accept(5, 1, 9));
  assert.equal(acceptor().step(state, prepare(8, 'B'), 0).reply.type, 'rejected');
  assert.equal(acceptor().step(state, accept(9, 2), 0).reply.type, 'accepted');
});

void test('an acceptor that lost its record says so and keeps nothing', () => {
  for (const request of [prepare(5), accept(5, 1), { ...head, type: 'read', view: 0, known: null, lease: null } as const]) {
    const step = acceptor().step(lostState, request, 0);
    assert.equal(step.reply.type, 'lost');
    assert.equal(step.changed, false);
  }
});

void test('an acceptor that lost its record has a say again once a chosen record leaves it out', () => {
  const one = acceptor();
  const inside = one.step(lostState, { ...head, type: 'learn', ballot: ballot(7), record: record(3, 'three') }, 0);
  assert.equal(inside.reply.type, 'lost');
  const outside = one.step(lostState, { ...head, type: 'learn', ballot: ballot(7), record: record(3, 'three', ['B', 'C']) }, 0);
  assert.equal(outside.reply.type, 'learned');
  assert.equal(outside.state?.accepted?.pointer, true);
  assert.equal(outside.state?.accepted?.record.value, null);
});

void test('after forgetting, stragglers of what was forgotten are refused', () => {
  const one = acceptor();
  const tombstone: Request = { ...(accept(7, 3) as Extract<Request, { type: 'accept' }>), record: record(3, null) };
  let step = one.step(undefined, tombstone, 0);
  step = one.step(step.state, { ...head, type: 'forget', ballot: ballot(7), floor: 0 }, 0);
  assert.equal(step.state, undefined);
  assert.equal(step.floor, 7);
  for (const request of [prepare(7), accept(6, 2), { ...head, type: 'learn', ballot: ballot(6), record: record(2, 'two') } as const]) {
    assert.equal(one.step(undefined, request, 0).state, undefined);
  }
  // Also where a promise is all that is here.
  const promised = one.step(undefined, prepare(8), 0).state;
  assert.equal(one.step(promised, { ...head, type: 'learn', ballot: ballot(6), record: record(2, 'two') }, 0).state?.accepted, null);
});

void test('only the exact tombstone is forgotten', () => {
  const live = after(accept(7, 3));
  assert.equal(acceptor().step(live, { ...head, type: 'forget', ballot: ballot(7), floor: 0 }, 0).reply.type, 'rejected');
  assert.equal(acceptor().step(live, { ...head, type: 'forget', ballot: ballot(6), floor: 0 }, 0).reply.type, 'rejected');
});

void test('a bare promise is forgotten at any time, and what it refused stays refused', () => {
  const one = acceptor();
  const forget = { ...head, type: 'forget', ballot: ballot(0), floor: 0 } as const;
  const step = one.step(one.step(undefined, prepare(8), 0).state, forget, 0);
  assert.deepEqual([step.reply.type, step.state, step.changed, step.floor], ['forgotten', undefined, true, 8]);
  for (const request of [prepare(8), accept(7, 2), accept(8, 2)]) assert.equal(one.step(undefined, request, 0).reply.type, 'rejected');
  const live = one.step(undefined, accept(9, 3), 0).state;
  assert.equal(one.step(live, forget, 0).reply.type, 'rejected');
  assert.equal(one.step(lostState, forget, 0).reply.type, 'lost');
});

void test('forgetting raises the floor to what any replica had promised', () => {
  const one = acceptor();
  assert.equal(one.step(undefined, { ...head, type: 'forget', ballot: ballot(7), floor: 9 }, 0).floor, 9);
  assert.equal(one.step(undefined, prepare(9), 0).reply.type, 'rejected');
});

void test('an acceptor takes no record in which it has no say', () => {
  const one = acceptor();
  const held = one.step(undefined, accept(1, 1), 0).state;
  const foreign: Request = { ...(accept(9, 2) as Extract<Request, { type: 'accept' }>), record: record(2, 'two', ['E']) };
  const step = one.step(held, foreign, 0);
  assert.deepEqual([step.reply.type, step.changed, step.state], ['rejected', false, held]);
});

void test('an acceptor takes no founding on behalf of a view that it knows to be retired', () => {
  const views = [{ number: 2, replicas: ['B'] }];
  const one = new Acceptor({
    self: 'A',
    leases: new LeaseTable({ self: 'A', incarnation: 1, termMs: 1000, startedAt: 0, earlierHolders: [] }),
    views: () => views,
  });
  // Its founder knows views 1, which led here, and 2.
  const joint = record(1, 'five', ['B'], { previous: [['A']], unsettled: ['A'] });
  const founding: Request = { ...(accept(1, 1) as Extract<Request, { type: 'accept' }>), record: joint, founding: 2 };
  assert.equal(one.step(undefined, founding, 0).reply.type, 'rejected');
  views.unshift({ number: 1, replicas: ['A'] });
  assert.equal(one.step(undefined, founding, 0).reply.type, 'accepted');
});

void test('no lease is granted about a tombstone', () => {
  const leases = new LeaseTable({ self: 'A', incarnation: 1, termMs: 1000, startedAt: 0, earlierHolders: [] });
  const one = new Acceptor({ self: 'A', leases, views: () => [] });
  one.leases.heartbeat({ type: 'heartbeat', from: 'A', incarnation: 1, sentAt: 0 }, 0);
  const lease = { mode: 'shared', incarnation: 1, sequence: 1 } as const;
  for (const [value, granted] of [
    ['one', true],
    [null, false],
  ] as const) {
    const state: AcceptorState = { promised: ballot(1), accepted: { ballot: ballot(1), record: record(1, value), pointer: false }, lost: false };
    const { grant } = one.step(state, { ...head, type: 'read', view: 0, known: null, lease }, 1).reply;
    assert.equal(grant > 0, granted);
    const write = { ...(accept(2, 2) as Extract<Request, { type: 'accept' }>), record: record(2, value), lease, leaseClock: 9 };
    assert.equal(one.step(state, write, 1).reply.grant > 0, granted);
  }
});

void test('an exclusive lease comes with an accept, not with a read nor with an accept of what was there', () => {
  const leases = new LeaseTable({ self: 'A', incarnation: 1, termMs: 1000, startedAt: 0, earlierHolders: [] });
  const one = new Acceptor({ self: 'A', leases, views: () => [] });
  leases.heartbeat({ type: 'heartbeat', from: 'A', incarnation: 1, sentAt: 0 }, 0);
  const lease = { mode: 'exclusive', incarnation: 1, sequence: 1 } as const;
  const write = { ...(accept(2, 1) as Extract<Request, { type: 'accept' }>), leaseClock: 1 };
  const { state } = one.step(undefined, write, 1);
  assert.equal(one.step(state, { ...head, type: 'read', view: 0, known: null, lease }, 2).reply.grant, 0);
  assert.equal(one.step(state, { ...write, lease }, 2).reply.grant, 0);
  assert.ok(one.step(state, { ...write, ballot: ballot(3), lease }, 3).reply.grant > 0);
});
