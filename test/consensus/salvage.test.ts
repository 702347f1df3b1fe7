import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compareAndSet, type Effect, type Operation, type ProposalOutcome, Proposer, putAny, read, type Request } from '../../src/consensus/index.ts';
import { block, bytes, Cluster, source, text } from './fixtures.ts';

const all = ['A', 'B', 'C', 'D', 'E'];
const survivors = ['A', 'B'];

/** Five replicas that hold `one`, of which three are gone for good. */
function afterTheLoss(): Cluster {
  const cluster = new Cluster(all);
  cluster.run(source('W'), putAny(bytes('one')));
  for (const peer of ['C', 'D', 'E']) cluster.down.add(peer);
  return cluster;
}

function salvage(cluster: Cluster): Extract<Operation, { kind: 'salvage' }> {
  return { kind: 'salvage', from: cluster.states.get('A')!.accepted!.ballot, pointer: null, survivors, unsettled: [] };
}

function told(outcome: ProposalOutcome): string {
  return outcome.status === 'committed' || outcome.status === 'conflict'
    ? `${outcome.status} ${text(outcome.accepted?.record.value) ?? 'nothing'}`
    : outcome.status;
}

/** An operation that stops before its first accept leaves; `go` delivers it. */
function untilAccept(cluster: Cluster, peer: string, operation: Operation, round: number): { readonly go: () => ProposalOutcome } {
  const ballots = source(peer);
  ballots.raiseFloor(round);
  const proposer = new Proposer({ block, tag: 9, operation, views: cluster.views, ballots, random: () => 0.5, rules: cluster.rules });
  const held: { peer: string; message: Request }[] = [];
  const take = (effects: readonly Effect[], holds: boolean): ProposalOutcome | undefined => {
    const queue = [...effects];
    for (let effect = queue.shift(); effect !== undefined; effect = queue.shift()) {
      if (effect.type === 'done') return effect.outcome;
      if (effect.type !== 'send') continue;
      for (const to of effect.to) {
        if (cluster.down.has(to)) continue;
        if (holds && effect.message.type === 'accept') held.push({ peer: to, message: effect.message });
        else queue.push(...proposer.step({ type: 'reply', reply: cluster.serve(to, effect.message) }));
      }
    }
    return undefined;
  };
  assert.equal(take(proposer.start(), true), undefined);
  assert.ok(held.length > 0);
  return {
    go: () => {
      for (const { peer: to, message } of held) {
        const outcome = take(proposer.step({ type: 'reply', reply: cluster.serve(to, message) }), false);
        if (outcome !== undefined) return outcome;
      }
      for (let wakes = 0; wakes < 10; wakes++) {
        const outcome = take(proposer.step({ type: 'wake' }), false);
        if (outcome !== undefined) return outcome;
      }
      return take(proposer.step({ type: 'deadline' }), false)!;
    },
  };
}

test('those that are left of a block whose majority is gone decide about it once it is salvaged', () => {
  const cluster = afterTheLoss();
  assert.equal(cluster.run(source('R'), read).outcome.status, 'no-quorum');
  assert.equal(told(cluster.run(source('S'), salvage(cluster)).outcome), 'committed one');
  assert.equal(told(cluster.run(source('R'), read).outcome), 'committed one');
  assert.equal(told(cluster.run(source('V'), compareAndSet(1, bytes('two'))).outcome), 'committed two');
  assert.deepEqual(
    survivors.map((peer) => cluster.states.get(peer)!.accepted!.record.replicas),
    [survivors, survivors],
  );
});

test('of two that salvage a block at once the second, whose messages are late, takes nothing back that was written since', () => {
  const cluster = afterTheLoss();
  const late = untilAccept(cluster, 'S', salvage(cluster), 10);
  const other = source('T');
  other.raiseFloor(20);
  assert.equal(told(cluster.run(other, salvage(cluster)).outcome), 'committed one');
  assert.equal(told(cluster.run(source('V'), putAny(bytes('two'))).outcome), 'committed two');
  assert.equal(told(late.go()), 'committed two');
  assert.equal(told(cluster.run(source('R'), read).outcome), 'committed two');
});

test('what one of those that are left accepted after the look is not passed over', () => {
  const cluster = afterTheLoss();
  const operation = salvage(cluster);
  // Its accept reached B, C and D before these were lost, and was acknowledged.
  const accepted = { ballot: { round: 9, peer: 'V', incarnation: 1, serial: 1 }, pointer: false };
  const record = { ...cluster.states.get('B')!.accepted!.record, version: 2, value: bytes('two') };
  cluster.states.set('B', { promised: accepted.ballot, accepted: { ...accepted, record }, lost: false });
  assert.equal(told(cluster.run(source('S'), operation).outcome), 'conflict two');
  assert.equal(told(cluster.run(source('S', 2), { ...operation, from: accepted.ballot }).outcome), 'committed two');
});

test('a late accept of before the loss finds nobody who takes it, and the salvaged block stands', () => {
  const cluster = afterTheLoss();
  cluster.down.clear();
  const late = untilAccept(cluster, 'V', putAny(bytes('late')), 5);
  for (const peer of ['C', 'D', 'E']) cluster.down.add(peer);
  assert.equal(told(cluster.run(source('S'), salvage(cluster)).outcome), 'committed one');
  assert.equal(told(cluster.run(source('R'), read).outcome), 'committed one');
  late.go();
  assert.equal(told(cluster.run(source('R', 2), read).outcome), 'committed one');
  assert.deepEqual(cluster.states.get('A')!.accepted!.record.replicas, survivors);
});

test('a salvage waits for each of those that are left', () => {
  const cluster = afterTheLoss();
  cluster.down.add('B');
  assert.equal(cluster.run(source('S'), salvage(cluster)).outcome.status, 'no-quorum');
  assert.deepEqual(cluster.states.get('A')!.accepted!.record.replicas, all);
});

test('where the answers to its accept were lost, what became of it is found out', () => {
  const cluster = afterTheLoss();
  const operation = salvage(cluster);
  let lost = 0;
  const { outcome } = cluster.run(source('S'), operation, { lose: ({ type }, to) => type === 'accept' && to === 'B' && lost++ < 2 });
  assert.equal(told(outcome), 'committed one');
  // Nobody answers in time: it may have happened.
  const again = afterTheLoss();
  const silent = again.run(source('S'), salvage(again), { lose: ({ type }, to) => type === 'accept' && to === 'B' });
  assert.equal(silent.outcome.status, 'unknown');
});
