import assert from 'node:assert/strict';
import { test } from 'node:test';

import { type Accept, LeaseHolder, LeaseTable, maxGrantors, maxRoundMs, type PeerId } from '../../src/consensus/index.ts';
import { ballot, block, record } from './fixtures.ts';

const termMs = 1000;
const names = ['A', 'B', 'C'];
const accepted = { ballot: ballot(3), record: record(2, 'two'), pointer: false };

function table(self: PeerId, startedAt = 0, earlier: readonly PeerId[] = [], incarnation = 1): LeaseTable {
  return new LeaseTable({ self, incarnation, termMs, startedAt, earlierHolders: earlier.map((peer) => ({ peer, incarnation: 1 })) });
}

function holder(self: PeerId, incarnation = 1): LeaseHolder {
  return new LeaseHolder({ self, incarnation, termMs, drift: 0.02 });
}

function beat(one: LeaseHolder, tables: readonly LeaseTable[], now: number): void {
  for (const each of tables) one.onHeartbeatReply(each.heartbeat(one.heartbeat(now), now).reply!);
}

function take(one: LeaseHolder, self: PeerId, tables: readonly LeaseTable[], mode: 'shared' | 'exclusive', now: number): boolean {
  const request = one.request(block, mode)!;
  const grants = tables.map((each, index) => [names[index]!, each.grant(self, block, request, now)] as const);
  return one.granted(block, { request, accepted, sessions: new Map(grants.filter(([, session]) => session > 0)) }, now);
}

void test('a majority of grants is a lease, a minority is none', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  beat(one, tables, 0);
  assert.equal(take(one, 'A', tables.slice(0, 1), 'shared', 1), false);
  assert.equal(take(one, 'A', tables.slice(0, 2), 'shared', 1), true);
  assert.equal(one.read(block, 2)?.record.version, 2);
});

void test('a holder stops to trust before any acceptor lets go, at the worst rates of both clocks', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  beat(one, tables, 0);
  take(one, 'A', tables, 'shared', 0);
  // True time t: the holder's clock shows 0.98 t, the acceptor's 1.02 t.
  for (let t = 0; t < 1100; t++) {
    const trusted = one.read(block, t * 0.98) !== undefined;
    const lets = tables[0]!.allows('B', block, 'write', t * 1.02, []);
    assert.ok(!(trusted && lets), `at ${t} ms`);
  }
});

void test('shared leases exclude writers, exclusive ones readers too, and both are recalled', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  beat(one, tables, 0);
  take(one, 'A', tables, 'shared', 1);
  const recalls: PeerId[] = [];
  assert.equal(tables[0]!.allows('B', block, 'read', 2, recalls), true);
  assert.equal(tables[0]!.allows('B', block, 'write', 2, recalls), false);
  assert.deepEqual(recalls, ['A']);
  for (const each of tables) each.release(one.drop(block), 2);
  assert.equal(tables[0]!.allows('B', block, 'write', 3, recalls), true);
  take(one, 'A', tables, 'exclusive', 4);
  assert.equal(one.holdsExclusive(block, 5), true);
  assert.equal(tables[0]!.allows('B', block, 'read', 5, []), false);
});

void test('while somebody waits nothing new is granted', () => {
  const tables = names.map((name) => table(name));
  const [one, two] = [holder('A'), holder('B')];
  beat(one, tables, 0);
  beat(two, tables, 0);
  take(one, 'A', tables, 'shared', 1);
  for (const each of tables) each.allows('C', block, 'write', 2, []);
  assert.equal(take(two, 'B', tables, 'shared', 3), false);
});

void test('a holder that is heard and gives nothing back holds writers up for two terms at the most, and is given nothing for a while', () => {
  const acceptor = table('A');
  const one = holder('B');
  const beatAt = (now: number): boolean => acceptor.heartbeat(one.heartbeat(now), now).reply !== undefined;
  beatAt(0);
  assert.ok(acceptor.grant('B', block, one.request(block, 'shared')!, 1) > 0);
  let [now, held] = [2, 0];
  for (; !acceptor.allows('C', block, 'write', now, []); now += 100) {
    beatAt(now);
    held = now;
    assert.ok(now < 100 * termMs, 'it holds writers up for ever');
  }
  assert.ok(held <= 2 * termMs + 200, `for ${held} ms`);
  assert.equal(beatAt(now), false);
  assert.equal(acceptor.grant('B', block, one.request(block, 'shared')!, now), 0);
  const later = now + 20 * termMs;
  assert.equal(beatAt(later), true);
  assert.ok(acceptor.grant('B', block, one.request(block, 'shared')!, later) > 0);
});

void test('a holder that gives back what is recalled keeps its session, however often it is asked', () => {
  const acceptor = table('A');
  const one = holder('B');
  for (let now = 0; now < 10 * termMs; now += 500) {
    assert.notEqual(acceptor.heartbeat(one.heartbeat(now), now).reply, undefined);
    assert.ok(acceptor.grant('B', block, one.request(block, 'shared')!, now) > 0);
    assert.equal(acceptor.allows('C', block, 'write', now, []), false);
    acceptor.release(one.drop(block), now + 300);
    assert.equal(acceptor.allows('C', block, 'write', now + 301, []), true);
  }
});

void test('a lease ends with its session, and no later session revives it', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  beat(one, tables, 0);
  take(one, 'A', tables, 'shared', 1);
  assert.equal(tables[0]!.allows('B', block, 'write', 1000, []), true);
  beat(one, tables, 1500);
  assert.equal(one.read(block, 1501), undefined);
});

void test('sessions of an acceptor that restarted are not taken for those before', () => {
  const one = holder('A');
  const before = names.map((name) => table(name));
  beat(one, before, 0);
  take(one, 'A', before, 'shared', 1);
  beat(
    one,
    names.map((name) => table(name, 2, ['A'], 2)),
    3,
  );
  assert.equal(one.read(block, 4), undefined);
});

void test('an acceptor that restarted abstains for one term from what others could hold', () => {
  const restarted = table('A', 5000, ['B']);
  assert.equal(restarted.allows('C', block, 'write', 5999, []), false);
  assert.equal(restarted.allows('C', block, 'read', 5999, []), false);
  assert.equal(restarted.allows('B', block, 'write', 5500, []), true);
  assert.equal(restarted.allows('C', block, 'write', 6000, []), true);
});

void test('an acceptor that restarted abstains no longer once all who may hold leases of before say that they rely on none', () => {
  const before = names.map((name) => table(name));
  const one = holder('B');
  beat(one, before, 0);
  take(one, 'B', before, 'shared', 1);
  const after = [table('A', 5, ['B'], 2), table('C', 5, ['B'], 2)];
  assert.deepEqual(after[0]!.forgot().to, ['B']);
  const answer = one.onForgot(after[0]!.forgot().message, 6)!;
  // The others' grants are a majority still.
  assert.ok(one.read(block, 6) !== undefined);
  after[0]!.onForgotReply(answer);
  assert.deepEqual(after[0]!.forgot().to, []);
  assert.equal(after[0]!.allows('C', block, 'write', 7, []), true);
  after[1]!.onForgotReply({ ...one.onForgot(after[1]!.forgot().message, 7)!, from: 'B' });
  assert.equal(one.read(block, 8), undefined);
});

void test('what an acceptor granted or renewed before it restarted does not count where it arrives after that was said', () => {
  const [first, ...others] = names.map((name) => table(name));
  const one = holder('B');
  const late = first!.heartbeat(one.heartbeat(0), 0).reply!;
  const request = one.request(block, 'shared')!;
  const session = first!.grant('B', block, request, 1);
  one.onForgot(table('A', 5, ['B'], 2).forgot().message, 5);
  one.sweep(6);
  one.onHeartbeatReply(late);
  beat(one, others.slice(0, 1), 2);
  const sessions = new Map([
    ['A', session],
    ['B', others[0]!.grant('B', block, request, 3)],
  ]);
  assert.equal(one.granted(block, { request, accepted, sessions }, 4), false);
});

void test('an answer to an earlier life of an acceptor ends nothing: it granted more after that', () => {
  const one = holder('B');
  const answer = one.onForgot(table('A', 5, ['B'], 2).forgot().message, 6)!;
  const again = table('A', 9, ['B'], 3);
  again.onForgotReply(answer);
  assert.equal(again.allows('C', block, 'write', 10, []), false);
});

void test('a host that never granted leases to others need not abstain', () => {
  assert.equal(table('A', 5000, ['A']).allows('A', block, 'write', 5001, []), true);
});

void test('a holder that restarted is waited for no longer', () => {
  const restarted = table('A', 5000, ['B']);
  restarted.heartbeat(holder('B', 2).heartbeat(5001), 5001);
  assert.equal(restarted.allows('C', block, 'write', 5002, []), true);
});

void test('a release does not take back a lease that was asked for after it', () => {
  const one = holder('A');
  const only = table('A');
  beat(one, [only], 0);
  const release = one.drop(block);
  const request = one.request(block, 'shared')!;
  assert.ok(only.grant('A', block, request, 1) > 0);
  only.release(release, 2);
  assert.equal(only.allows('B', block, 'write', 2, []), false);
});

void test('a read that began before or during an own write brings no lease', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  beat(one, tables, 0);
  const request = one.request(block, 'shared')!;
  one.beginWrite(block);
  assert.equal(one.request(block, 'shared'), undefined);
  one.endWrite(block, undefined, null, 1);
  const sessions = new Map(names.map((name, index) => [name, tables[index]!.grant('A', block, request, 1)] as const));
  assert.equal(one.granted(block, { request, accepted, sessions }, 2), false);
});

void test('a straggling accept of the holder itself does not pass under a younger lease', () => {
  const only = table('A');
  const one = holder('A');
  beat(one, [only], 0);
  const accept: Accept = {
    type: 'accept',
    from: 'A',
    block,
    tag: 1,
    attempt: 1,
    ballot: ballot(9),
    record: record(3, 'three'),
    next: null,
    condition: null,
    founding: -1,
    leaseClock: one.clock,
    lease: null,
  };
  only.grant('A', block, one.request(block, 'shared')!, 1);
  assert.equal(only.allows('A', block, 'write', 2, [], accept), false);
  assert.equal(only.allows('A', block, 'write', 2, [], { ...accept, leaseClock: one.clock }), true);
});

void test('after an exclusive lease answers are unsure for a while, except to its holder', () => {
  const only = table('A');
  const one = holder('A');
  beat(one, [only], 0);
  only.grant('A', block, one.request(block, 'exclusive')!, 1);
  only.release(one.drop(block), 10);
  assert.equal(only.isUnsure('B', block, 11), true);
  assert.equal(only.isUnsure('A', block, 11), false);
  assert.equal(only.isUnsure('B', block, 10 + maxRoundMs), false);
});

void test('where leases of two hosts ended lately, neither may take an old answer for the newest', () => {
  const one = table('A');
  for (const peer of ['H', 'R']) one.heartbeat({ type: 'heartbeat', from: peer, incarnation: 1, sentAt: 0 }, 0);
  for (const [peer, at] of [
    ['H', 1],
    ['R', 3],
  ] as const) {
    assert.ok(one.grant(peer, block, { mode: 'exclusive', incarnation: 1, sequence: 1 }, at) > 0);
    one.release({ type: 'release', from: peer, incarnation: 1, block, sequence: 1 }, at + 1);
  }
  for (const peer of ['H', 'R', 'X']) assert.equal(one.isUnsure(peer, block, 5), true, peer);
  assert.equal(one.isUnsure('R', block, 5 + maxRoundMs), false);
});

void test('a holder that restarts with its acceptor may have forgotten what it acknowledged: its answers are unsure to others', () => {
  const before = table('A');
  const { remember } = before.heartbeat({ type: 'heartbeat', from: 'A', incarnation: 1, sentAt: 0 }, 0);
  assert.deepEqual(remember, [{ peer: 'A', incarnation: 1 }]);
  const after = new LeaseTable({ self: 'A', incarnation: 2, termMs, startedAt: 100, earlierHolders: remember });
  assert.equal(after.isUnsure('B', block, 101), true);
  assert.equal(after.isUnsure('A', block, 101), false);
  // Its own leases died with it: nobody waits for them.
  assert.equal(after.allows('B', block, 'write', 101, []), true);
  assert.equal(after.isUnsure('B', block, 100 + termMs + maxRoundMs), false);
});

void test('where leases are shared only, an acceptor that restarted answers readers at once, and for sure; an exclusive one is not granted', () => {
  const after = new LeaseTable({
    self: 'A',
    incarnation: 2,
    termMs,
    startedAt: 100,
    earlierHolders: [{ peer: 'B', incarnation: 1 }],
    sharedOnly: true,
  });
  assert.equal(after.allows('C', block, 'read', 101, []), true);
  assert.equal(after.isUnsure('C', block, 101), false);
  assert.equal(after.allows('C', block, 'write', 101, []), false);
  assert.equal(after.allows('C', block, 'write', 100 + termMs, []), true);
  after.heartbeat({ type: 'heartbeat', from: 'B', incarnation: 1, sentAt: 0 }, 2000);
  assert.equal(after.grant('B', block, { mode: 'exclusive', incarnation: 1, sequence: 1 }, 2001), 0);
  assert.ok(after.grant('B', block, { mode: 'shared', incarnation: 1, sequence: 2 }, 2001) > 0);
});

void test('a lease ends with the removal of its block, for others may keep it when it is made anew', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  beat(one, tables, 0);
  assert.equal(take(one, 'A', tables, 'shared', 1), true);
  one.beginWrite(block);
  assert.equal(one.endWrite(block, { ballot: ballot(4), record: record(3, null), pointer: false }, null, 2), false);
  assert.equal(one.read(block, 3), undefined);
});

void test('a holder relies on a bounded number of hosts, and forgets those that let it go', () => {
  const one = holder('A');
  for (let number = 0; number < maxGrantors; number++)
    one.onHeartbeatReply({ type: 'heartbeat-reply', from: `host-${number}`, incarnation: 1, sentAt: 0, session: 1 });
  const tables = names.map((name) => table(name));
  beat(one, tables, 1);
  assert.equal(take(one, 'A', tables, 'shared', 1), false, 'there is no room');
  one.sweep(termMs);
  beat(one, tables, termMs);
  assert.equal(take(one, 'A', tables, 'shared', termMs), true);
});

void test('a late answer to an old heartbeat brings no lease back', () => {
  const tables = names.map((name) => table(name));
  const one = holder('A');
  const late = tables.map((each) => each.heartbeat(one.heartbeat(0), 0).reply!);
  beat(one, tables, 10);
  assert.equal(take(one, 'A', tables, 'shared', 10), true);
  one.sweep(10 + termMs);
  for (const reply of late) one.onHeartbeatReply(reply);
  assert.equal(one.read(block, 10 + termMs), undefined);
});
