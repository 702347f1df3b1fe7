/** A member that sends whatever the wire can carry: nobody fails of it, and what was promised to others stands. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as fc from 'fast-check';

import { InfinitError } from '../../src/base/index.ts';
import {
  decodeLeaseMessage,
  encodeLeaseMessage,
  LeaseHolder,
  type LeaseMessage,
  LeaseTable,
  Proposer,
  type ProposalOutcome,
  putAny,
  putIfAbsent,
  read,
  type Reply,
} from '../../src/consensus/index.ts';
import { ballot, block, bytes, Cluster, record, source } from './fixtures.ts';
import { leaseMessages, replies } from './generators.ts';

const termMs = 1000;
const hostile = 'E';

void test('arbitrary bytes are no lease message, or one that comes back as it was', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), leaseMessages.map(encodeLeaseMessage).chain(damaged)), (raw) => {
      let message: LeaseMessage;
      try {
        message = decodeLeaseMessage(hostile, raw);
      } catch (error) {
        assert.ok(error instanceof InfinitError && error.code !== 'bug', String(error));
        return;
      }
      // A time is rounded down to the microsecond, each time that it is written.
      const untimed = (given: LeaseMessage): LeaseMessage => ('sentAt' in given ? { ...given, sentAt: 0 } : given);
      assert.deepEqual(untimed(decodeLeaseMessage(hostile, encodeLeaseMessage(message))), untimed(message));
    }),
  );
});

/** With one byte another. */
function damaged(raw: Uint8Array): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.nat(raw.length - 1), fc.integer({ min: 1, max: 255 }))
    .map(([at, flip]) => raw.map((byte, index) => (index === at ? byte ^ flip : byte)));
}

void test('whatever a host says to an acceptor about leases, it ends none of another', () => {
  const ask = fc.record({ mode: fc.constantFrom('shared' as const, 'exclusive' as const), incarnation: fc.nat(3), sequence: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(fc.oneof(leaseMessages, ask), { maxLength: 30 }), (said) => {
      const table = new LeaseTable({ self: 'A', incarnation: 1, termMs, startedAt: 0, earlierHolders: [] });
      table.heartbeat({ type: 'heartbeat', from: 'H', incarnation: 1, sentAt: 0 }, 0);
      assert.ok(table.grant('H', block, { mode: 'exclusive', incarnation: 1, sequence: 1 }, 0) > 0);
      for (const [at, message] of said.entries()) {
        if ('mode' in message) assert.equal(table.grant(hostile, block, message, at), 0);
        else if (message.type === 'heartbeat') table.heartbeat({ ...message, from: hostile }, at);
        else if (message.type === 'release') table.release({ ...message, from: hostile, block }, at);
      }
      for (const access of ['read', 'write'] as const) assert.equal(table.allows(hostile, block, access, termMs - 1, []), false);
      assert.equal(table.allows('H', block, 'write', termMs - 1, []), true);
    }),
  );
});

void test('whatever a host answers to heartbeats, a minority makes no lease', () => {
  fc.assert(
    fc.property(fc.array(leaseMessages, { maxLength: 20 }), (said) => {
      const holder = new LeaseHolder({ self: 'H', incarnation: 1, termMs, drift: 0.02 });
      holder.heartbeat(0);
      for (const message of said) if (message.type === 'heartbeat-reply') holder.onHeartbeatReply({ ...message, from: hostile });
      const request = holder.request(block, 'shared');
      if (request === undefined) return;
      const accepted = { ballot: ballot(3), record: record(2, 'two', ['A', 'B', hostile]), pointer: false };
      holder.granted(block, { request, accepted, sessions: new Map([[hostile, 1]]) }, 1);
      assert.equal(holder.read(block, 2), undefined);
    }),
  );
});

void test('whatever one of three acceptors answers, an operation ends, and never by an error', () => {
  const operations = fc.constantFrom(read, putAny(bytes('x')), putIfAbsent(bytes('x')), { kind: 'forget' as const }, { kind: 'renew' as const });
  fc.assert(
    fc.property(fc.array(replies, { minLength: 1, maxLength: 30 }), operations, fc.boolean(), (lies, operation, exists) => {
      const cluster = new Cluster(['A', 'B', hostile]);
      if (exists) cluster.run(source('W'), putAny(bytes('old')));
      const proposer = new Proposer({ block, tag: 1, operation, views: cluster.views, ballots: source('P'), random: () => 0.5 });
      let outcome: ProposalOutcome | undefined;
      let lie = 0;
      const queue = [...proposer.start()];
      for (let turn = 0; turn < 200 && outcome === undefined; turn++) {
        const effect = queue.shift();
        if (effect === undefined) queue.push(...proposer.step({ type: turn < 150 ? 'wake' : 'deadline' }));
        else if (effect.type === 'done') ({ outcome } = effect);
        else if (effect.type === 'send') {
          const { attempt } = effect.message;
          for (const peer of effect.to) {
            const reply: Reply | undefined =
              cluster.acceptors.has(peer) && peer !== hostile
                ? cluster.serve(peer, effect.message)
                : { ...lies[lie++ % lies.length]!, from: peer, block, tag: 1, attempt };
            queue.push(...proposer.step({ type: 'reply', reply }));
          }
        }
      }
      if (outcome === undefined) for (const effect of proposer.step({ type: 'deadline' })) if (effect.type === 'done') ({ outcome } = effect);
      assert.ok(outcome !== undefined, 'it goes on past its deadline');
    }),
  );
});
