import assert from 'node:assert/strict';
import { test } from 'node:test';

import { compareAndSet, type ProposalOutcome, Proposer, putAny, putIfAbsent, read, update } from '../../src/consensus/index.ts';
import { ballot, block, bytes, Cluster, record, source, text } from './fixtures.ts';

const replicas = ['A', 'B', 'C'];

function valueOf(outcome: ProposalOutcome): string | null | undefined {
  assert.ok(outcome.status === 'committed' || outcome.status === 'conflict', outcome.status);
  return text(outcome.accepted?.record.value);
}

void test('what was written is read', () => {
  const cluster = new Cluster(replicas);
  assert.equal(valueOf(cluster.run(source('A'), putIfAbsent(bytes('one'))).outcome), 'one');
  assert.equal(valueOf(cluster.run(source('B'), read).outcome), 'one');
});

void test('a second write of the same host takes one round trip and one disk write a replica', () => {
  const cluster = new Cluster(replicas);
  const a = source('A');
  const { hint } = cluster.run(a, putAny(bytes('one')));
  cluster.requests = cluster.diskWrites = 0;
  const second = cluster.run(a, compareAndSet(1, bytes('two')), { hint });
  assert.equal(second.outcome.status, 'committed');
  assert.equal(cluster.requests, 3);
  assert.equal(cluster.diskWrites, 3);
});

void test('on a single host a write is one disk write and a read is none, with or without a hint', () => {
  const cluster = new Cluster(['A']);
  const a = source('A');
  const first = cluster.run(a, putAny(bytes('one')));
  assert.equal(cluster.diskWrites, 1);
  cluster.run(a, putAny(bytes('two')), { hint: first.hint });
  assert.equal(cluster.diskWrites, 2);
  cluster.run(source('A', 2), putAny(bytes('three')));
  assert.equal(cluster.diskWrites, 3);
  assert.equal(valueOf(cluster.run(a, read).outcome), 'three');
  assert.equal(cluster.diskWrites, 3);
});

void test('a reader that hears an unsure answer waits for no further one before it writes the record back', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('W'), putAny(bytes('one')));
  const proposer = new Proposer({ block, tag: 1, operation: read, views: cluster.views, ballots: source('P'), random: () => 0.5 });
  const [asks] = proposer.start();
  assert.ok(asks?.type === 'send');
  assert.deepEqual(proposer.step({ type: 'reply', reply: cluster.serve('A', asks.message) }), []);
  const [next] = proposer.step({ type: 'reply', reply: { ...cluster.serve('B', asks.message), unsure: true } });
  assert.ok(next?.type === 'send' && next.message.type === 'prepare');
});

void test('a fresh block is founded in one round trip', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('A'), putIfAbsent(bytes('one'), true));
  assert.equal(cluster.requests, 3);
});

void test('put-if-absent does not overwrite, but does write over a tombstone', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  const { outcome } = cluster.run(source('B'), putIfAbsent(bytes('two')));
  assert.equal(outcome.status, 'conflict');
  assert.equal(valueOf(outcome), 'one');
  cluster.run(source('A'), compareAndSet(1, null));
  const again = cluster.run(source('B'), putIfAbsent(bytes('three'))).outcome;
  assert.equal(again.status === 'committed' && again.accepted?.record.version, 3);
});

void test('compare-and-set on another version is a conflict that tells the current record', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  const { outcome } = cluster.run(source('B'), compareAndSet(7, bytes('two')));
  assert.equal(outcome.status, 'conflict');
  assert.equal(valueOf(outcome), 'one');
});

void test('an update sees the current record', () => {
  const cluster = new Cluster(replicas);
  for (let count = 0; count < 4; count++)
    cluster.run(
      source('ABC'[count % 3]!),
      update((current) => bytes(String(Number(text(current?.value) ?? 0) + 1))),
    );
  assert.equal(valueOf(cluster.run(source('A'), read).outcome), '4');
});

void test('without a majority nothing happens, and that is said', () => {
  const cluster = new Cluster(replicas);
  cluster.down.add('B').add('C');
  assert.equal(cluster.run(source('A'), putAny(bytes('one'))).outcome.status, 'no-quorum');
  cluster.down.clear();
  assert.equal(valueOf(cluster.run(source('B'), read).outcome), undefined);
});

void test('a write whose accepts were sent but not answered has an unknown outcome and leaves no hint', () => {
  const cluster = new Cluster(replicas);
  const { outcome, hint } = cluster.run(source('A'), putAny(bytes('one')), { lose: ({ type }, to) => type === 'accept' && to !== 'C' });
  assert.deepEqual(outcome, { status: 'unknown', sent: { from: 1, upon: 0 } });
  assert.equal(hint, null);
});

void test('an unknown outcome tells which version the write would have made, and upon what', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  cluster.run(source('A', 2), putAny(null));
  const { outcome } = cluster.run(source('B'), putIfAbsent(bytes('two')), { lose: ({ type }) => type === 'accept' });
  assert.deepEqual(outcome, { status: 'unknown', sent: { from: 3, upon: 2 } });
});

void test('a read finishes what a dead proposer left behind', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('A'), putAny(bytes('one')), { lose: ({ type }, to) => type === 'accept' && to !== 'C' });
  cluster.down.add('B');
  assert.equal(valueOf(cluster.run(source('B'), read).outcome), 'one');
  cluster.down.clear();
  cluster.down.add('C');
  assert.equal(valueOf(cluster.run(source('B'), read).outcome), 'one');
});

void test('a deposed proposer cannot commit on its fast path', () => {
  const cluster = new Cluster(replicas);
  const a = source('A');
  const { hint } = cluster.run(a, putAny(bytes('one')));
  cluster.run(source('B'), putAny(bytes('two')));
  const { outcome } = cluster.run(a, compareAndSet(1, bytes('three')), { hint });
  assert.equal(outcome.status, 'conflict');
  assert.equal(valueOf(outcome), 'two');
});

void test('a block grows from one replica to three to five and shrinks again', () => {
  const names = ['A', 'B', 'C', 'D', 'E'];
  const cluster = new Cluster(names, ['A']);
  cluster.run(source('A'), putAny(bytes('one')));
  const sets = [['A', 'B', 'C'], names, ['D', 'E', 'A'], ['E']];
  for (const [index, set] of sets.entries()) {
    const { outcome } = cluster.run(source('B', index + 1), { kind: 'change', fromEpoch: index + 1, replicas: set });
    assert.equal(outcome.status, 'committed');
    assert.deepEqual(outcome.status === 'committed' && outcome.accepted?.record.replicas, set);
    assert.equal(valueOf(cluster.run(source('C', index + 1), read).outcome), 'one');
  }
});

void test('a block rotates through 32 hosts, and no write is lost on the way', () => {
  const names = Array.from({ length: 32 }, (_, index) => `host-${index}`);
  const at = (index: number): string => names[index % names.length]!;
  const cluster = new Cluster(names, names.slice(0, 3));
  let count = 0;
  const add = (by: string): void => {
    const step = update((current) => bytes(`${text(current?.value) ?? ''}${count},`));
    assert.equal(cluster.run(source(by, 1000 + count), step).outcome.status, 'committed');
    count++;
  };
  add(at(0));
  for (let turn = 1; turn <= 2 * names.length; turn++) {
    const set = [at(turn), at(turn + 1), at(turn + 2)];
    // One of the old set hears nothing of the change and keeps what it had.
    cluster.down.add(at(turn - 1));
    const change = { kind: 'change', fromEpoch: turn, replicas: set } as const;
    assert.equal(cluster.run(source(at(turn + 7), turn), change).outcome.status, 'committed');
    add(at(turn + 5));
    cluster.down.clear();
    cluster.views = [{ number: 1 + turn, replicas: set }];
    // With what it had it comes back, and whoever asks it first is led on.
    add(at(turn - 1));
    if (turn % 2 === 0) assert.equal(cluster.run(source(at(turn), 2000 + turn), { kind: 'settle', revoked: [] }).outcome.status, 'committed');
  }
  const everything = Array.from({ length: count }, (_, index) => `${index},`).join('');
  for (const reader of names) assert.equal(valueOf(cluster.run(source(reader, 5000), read).outcome), everything);
});

void test('a change that comes too late is a conflict', () => {
  const cluster = new Cluster(['A', 'B', 'C', 'D'], replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  cluster.run(source('A'), { kind: 'change', fromEpoch: 1, replicas: ['A', 'B', 'D'] });
  assert.equal(cluster.run(source('B'), { kind: 'change', fromEpoch: 1, replicas: ['B', 'C', 'D'] }).outcome.status, 'conflict');
});

void test('a proposer with an old hint follows the pointers to where the block went', () => {
  const cluster = new Cluster(['A', 'B', 'C', 'D', 'E', 'F'], replicas);
  const { hint } = cluster.run(source('A'), putAny(bytes('one')));
  cluster.run(source('B'), { kind: 'change', fromEpoch: 1, replicas: ['D', 'E', 'F'] });
  cluster.run(source('B', 2), { kind: 'settle', revoked: [] });
  cluster.run(source('C'), putAny(bytes('two')));
  assert.equal(valueOf(cluster.run(source('A', 2), read, { hint }).outcome), 'two');
});

void test('settling frees hosts that left, once no view leads to them', () => {
  const cluster = new Cluster(['A', 'B', 'C', 'D', 'E', 'F'], replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  cluster.run(source('A'), { kind: 'change', fromEpoch: 1, replicas: ['D', 'E', 'F'] });
  assert.equal(cluster.run(source('A', 2), { kind: 'settle', revoked: [] }).outcome.status, 'conflict');
  cluster.views = [{ number: 2, replicas: ['D', 'E', 'F'] }];
  assert.equal(cluster.run(source('A', 3), { kind: 'settle', revoked: [] }).outcome.status, 'committed');
  assert.equal(cluster.states.get('A'), undefined);
  assert.equal(valueOf(cluster.run(source('B'), read).outcome), 'one');
});

void test('a tombstone stays until every replica has it', () => {
  const cluster = new Cluster(replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  cluster.down.add('C');
  cluster.run(source('A', 2), putAny(null));
  assert.equal(cluster.run(source('A', 3), { kind: 'forget' }).outcome.status, 'no-quorum');
  cluster.down.clear();
  assert.equal(cluster.run(source('A', 4), { kind: 'forget' }).outcome.status, 'committed');
  for (const peer of replicas) assert.equal(cluster.states.get(peer), undefined);
  assert.equal(valueOf(cluster.run(source('B'), read).outcome), undefined);
});

void test('versions go on where a forgotten block is written again', () => {
  const cluster = new Cluster(replicas);
  for (const value of ['one', 'two', null]) cluster.run(source('A'), putAny(value === null ? null : bytes(value)));
  cluster.run(source('A', 2), { kind: 'forget' });
  const { outcome } = cluster.run(source('B'), putAny(bytes('again')));
  assert.ok(outcome.status === 'committed' && outcome.accepted!.record.version > 3);
});

void test('a record that a floor refuses is renewed above it, and nothing else changes', () => {
  const cluster = new Cluster(replicas);
  const tombstone = {
    from: 'A',
    block,
    tag: 1,
    attempt: 1,
    type: 'forget',
    ballot: { round: 9, peer: 'A', incarnation: 1, serial: 1 },
    floor: 9,
  } as const;
  cluster.serve('C', tombstone);
  const low = source('A');
  cluster.run(low, putAny(bytes('one')), { lose: (_request, to) => to === 'C' });
  const before = cluster.states.get('A')!.accepted!;
  const high = source('B');
  high.raiseFloor(cluster.serve('C', { ...tombstone, type: 'learn', ballot: before.ballot, record: before.record }).floor);
  assert.equal(cluster.states.get('C'), undefined);
  assert.equal(cluster.run(high, { kind: 'renew' }).outcome.status, 'committed');
  for (const peer of replicas) assert.deepEqual(cluster.states.get(peer)!.accepted!.record, before.record);
  // Who expects the version of before is not disturbed.
  assert.equal(cluster.run(low, compareAndSet(before.record.version, bytes('two'))).outcome.status, 'committed');
});

void test('founders whose rosters differ found one register', () => {
  const cluster = new Cluster(['A', 'B', 'C', 'D', 'E'], ['A', 'B', 'C']);
  const old = cluster.views;
  cluster.run(source('A'), putIfAbsent(bytes('one')));
  cluster.views = [...old, { number: 2, replicas: ['C', 'D', 'E'] }];
  cluster.down.add('C');
  const { outcome } = cluster.run(source('D'), putIfAbsent(bytes('two')));
  assert.equal(outcome.status, 'conflict');
  assert.equal(valueOf(outcome), 'one');
});

void test('a prepare begins above a round that is known to be promised', () => {
  const proposer = new Proposer({
    block,
    tag: 1,
    operation: putAny(bytes('x')),
    views: [{ number: 1, replicas }],
    ballots: source('A'),
    random: () => 0,
    promised: 41,
  });
  const [send] = proposer.start();
  assert.ok(send?.type === 'send' && send.message.type === 'prepare' && send.message.ballot.round > 41);
});

void test('a block that was forgotten by hosts of a view that is gone begins above its last version elsewhere', () => {
  const cluster = new Cluster(['A', 'B'], ['A']);
  for (const value of [bytes('one'), null]) cluster.run(source('A'), putAny(value));
  cluster.run(source('A', 2), { kind: 'forget' });
  cluster.views = [{ number: 2, replicas: ['B'] }];
  const { floor } = cluster.acceptors.get('A')!;
  const proposer = new Proposer({
    block,
    tag: 1,
    operation: putIfAbsent(bytes('new')),
    views: cluster.views,
    ballots: source('C'),
    random: () => 0,
    floor,
  });
  const effects = [...proposer.start()];
  let outcome: ProposalOutcome | undefined;
  for (let effect = effects.shift(); effect !== undefined; effect = effects.shift()) {
    if (effect.type === 'done') ({ outcome } = effect);
    else if (effect.type === 'send') effects.push(...proposer.step({ type: 'reply', reply: cluster.serve('B', effect.message) }));
  }
  assert.ok(outcome?.status === 'committed' && outcome.accepted!.record.version > 2);
  assert.equal(cluster.run(source('D'), compareAndSet(1, bytes('stale'))).outcome.status, 'conflict');
});

void test('a read that must hear its own host finds a record that it alone holds, above what all others know', () => {
  const names = ['A', 'B', 'C', 'D', 'E'];
  const cluster = new Cluster(names, replicas);
  cluster.run(source('A'), putAny(bytes('one')));
  const left = ['D', 'E', 'B'];
  const joint = record(1, 'one', left, { epoch: 2, previous: [replicas], unsettled: names });
  // A change that came to nothing after its joint record had reached one newcomer, which no view leads to.
  const held = { ballot: ballot(7, 'A'), record: joint, pointer: false };
  cluster.states.set('D', { promised: held.ballot, accepted: held, lost: false });
  const unaware = cluster.run(source('D'), read).outcome;
  assert.equal(unaware.status === 'committed' && unaware.accepted?.record.epoch, 1);
  const { outcome } = cluster.run(source('D', 2), { kind: 'read', own: true });
  assert.equal(outcome.status === 'committed' && outcome.accepted?.record.epoch, 2);
});

void test('a read that asks for an exclusive lease writes back what is there', () => {
  const cluster = new Cluster(replicas);
  const lease = { mode: 'exclusive', incarnation: 1, sequence: 1 } as const;
  const rounds = (): (number | undefined)[] => replicas.map((peer) => cluster.states.get(peer)?.accepted?.ballot.round);
  assert.equal(valueOf(cluster.run(source('B'), read, { lease }).outcome), undefined);
  cluster.run(source('A'), putAny(bytes('one')));
  const [before] = rounds();
  assert.equal(valueOf(cluster.run(source('B'), read, { lease }).outcome), 'one');
  assert.ok(rounds().every((round) => round! > before!));
  // There is no lease about a tombstone.
  cluster.run(source('A'), putAny(null));
  const removed = rounds();
  assert.equal(valueOf(cluster.run(source('B'), read, { lease }).outcome), null);
  assert.deepEqual(rounds(), removed);
});
