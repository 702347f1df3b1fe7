/** Messages and states of every shape that the wire can carry, for property tests. */
import * as fc from 'fast-check';

import {
  type Accepted,
  type AcceptorState,
  type Ballot,
  type BlockRecord,
  type LeaseMessage,
  maxCount,
  maxRound,
  type Reply,
  type Request,
} from '../../src/consensus/index.ts';

/** Whoever sends what is generated. */
export const from = 'A';
const peer = fc.constantFrom('A', 'B', 'C', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', '~');
/** Plain objects, as the decoders make them. */
export const object = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const count = fc.oneof(fc.nat(300), fc.integer({ min: 0, max: maxCount }));
const positive = count.map((value) => Math.max(1, value));
const anyBallot = (who: fc.Arbitrary<string>): fc.Arbitrary<Ballot> =>
  object({ round: fc.integer({ min: 1, max: maxRound }), peer: who, incarnation: count, serial: count });
export const ballots = anyBallot(peer);
const set = fc.uniqueArray(peer, { minLength: 1, maxLength: 5 });
const value = fc.option(fc.uint8Array({ maxLength: 300 }));
export const records: fc.Arbitrary<BlockRecord> = object({
  version: positive,
  epoch: positive,
  replicas: set,
  previous: fc.array(set, { maxLength: 3 }),
  unsettled: fc.uniqueArray(peer, { maxLength: 5 }),
  origin: object({ peer, incarnation: count, serial: count }),
  value,
});
const accepteds: fc.Arbitrary<Accepted> = fc.oneof(
  object({ ballot: ballots, record: records, pointer: fc.constant(false) }),
  object({ ballot: ballots, record: records.map((each) => ({ ...each, value: null })), pointer: fc.constant(true) }),
);
export const states: fc.Arbitrary<AcceptorState> = object({ promised: fc.option(ballots), accepted: fc.option(accepteds), lost: fc.boolean() });
const head = { from: fc.constant(from), block: fc.constantFrom('x', 'a1b2'), tag: count, attempt: count };
const view = fc.integer({ min: -1, max: maxCount - 1 });
const lease = fc.option(object({ mode: fc.constantFrom('shared' as const, 'exclusive' as const), incarnation: count, sequence: count }));
const own = anyBallot(fc.constant(from));
export const requests: fc.Arbitrary<Request> = fc.oneof(
  object({ type: fc.constant('prepare' as const), ...head, ballot: own, view, known: fc.option(ballots) }),
  object({ type: fc.constant('read' as const), ...head, view, known: fc.option(ballots), lease }),
  object({ type: fc.constant('learn' as const), ...head, ballot: ballots, record: records }),
  object({ type: fc.constant('forget' as const), ...head, ballot: ballots, floor: fc.nat() }),
  object({
    type: fc.constant('accept' as const),
    ...head,
    ballot: own.map((each) => ({ ...each, round: Math.min(each.round, maxRound - 1) })),
    record: records,
    next: fc.option(fc.constant({ round: maxRound, peer: from, incarnation: 1, serial: 1 })),
    condition: fc.option(object({ ballot: fc.option(ballots) })),
    founding: view,
    leaseClock: count,
    lease,
  }),
);
export const replies: fc.Arbitrary<Reply> = object({
  type: fc.constantFrom(
    'promised' as const,
    'accepted' as const,
    'value' as const,
    'rejected' as const,
    'leased' as const,
    'lost' as const,
    'learned' as const,
    'forgotten' as const,
  ),
  ...head,
  promised: fc.option(ballots),
  accepted: fc.option(accepteds),
  same: fc.boolean(),
  floor: count,
  views: fc.array(object({ number: count, replicas: set }), { maxLength: 3 }),
  unsure: fc.boolean(),
  grant: count,
}).map((reply) => ({ ...reply, same: reply.same && reply.accepted !== null }));
export const leaseMessages: fc.Arbitrary<LeaseMessage> = fc.oneof(
  object({ type: fc.constant('heartbeat' as const), from: head.from, incarnation: count, sentAt: fc.nat() }),
  object({ type: fc.constant('heartbeat-reply' as const), from: head.from, incarnation: count, sentAt: fc.nat(), session: count }),
  object({ type: fc.constant('recall' as const), from: head.from, block: head.block }),
  object({ type: fc.constantFrom('forgot' as const, 'forgot-reply' as const), from: head.from, session: count }),
  object({ type: fc.constant('release' as const), from: head.from, incarnation: count, block: head.block, sequence: count }),
);
