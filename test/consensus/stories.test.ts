/**
 * Histories that were found to break an earlier state of the core, told message by message. Each is told twice: to the core as it is,
 * which must keep its promises, and to one whose rule against it is taken away, which must break them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  type BallotSource,
  compareAndSet,
  type Effect,
  LeaseHolder,
  type LeaseMode,
  type LeaseGrants,
  type Operation,
  productionRules,
  type ProposalOutcome,
  Proposer,
  putAny,
  putIfAbsent,
  read,
  type Request,
  type Rules,
  update,
} from '../../src/consensus/index.ts';
import { block, bytes, Cluster, source, text } from './fixtures.ts';

interface SlowOptions {
  readonly leaseClock?: number;
  /** It asks for a lease, by request 1. */
  readonly lease?: LeaseMode;
}

/** An operation whose messages the story delivers one by one. */
class Slow {
  readonly #cluster: Cluster;
  readonly #proposer: Proposer;
  readonly #sent = new Map<string, Request>();
  outcome: ProposalOutcome | undefined;
  grants: LeaseGrants | null = null;

  constructor(cluster: Cluster, ballots: BallotSource, operation: Operation, { leaseClock = 0, lease: mode }: SlowOptions = {}) {
    this.#cluster = cluster;
    const { views, rules } = cluster;
    const lease = mode === undefined ? undefined : { mode, incarnation: 1, sequence: 1 };
    this.#proposer = new Proposer({ block, tag: 1, operation, views, ballots, random: () => 0.5, leaseClock: () => leaseClock, lease, rules });
    this.#take(this.#proposer.start());
  }

  /** The newest message to each of these hosts arrives, and the answer gets lost. */
  lost(...peers: readonly string[]): this {
    for (const peer of peers) this.#cluster.serve(peer, this.#sent.get(peer)!);
    return this;
  }

  /** What was not answered is sent again. */
  wake(): this {
    this.#take(this.#proposer.step({ type: 'wake' }));
    return this;
  }

  /** The newest message to each of these hosts arrives, and so does the answer. */
  reach(...peers: readonly string[]): this {
    for (const peer of peers) {
      const request = this.#sent.get(peer);
      if (request === undefined || this.outcome !== undefined) continue;
      this.#take(this.#proposer.step({ type: 'reply', reply: this.#cluster.serve(peer, request) }));
    }
    return this;
  }

  #take(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'send') for (const peer of effect.to) this.#sent.set(peer, effect.message);
      if (effect.type !== 'done') continue;
      this.outcome = effect.outcome;
      this.grants = effect.lease;
    }
  }
}

function told(outcome: ProposalOutcome | undefined): string {
  if (outcome === undefined) return 'nothing yet';
  if (outcome.status === 'unknown' || outcome.status === 'no-quorum') return outcome.status;
  return `${outcome.status} ${text(outcome.accepted?.record.value) ?? 'nothing'}`;
}

/** Ballots of rounds above this one. */
function above(round: number, peer: string): BallotSource {
  const ballots = source(peer);
  ballots.raiseFloor(round);
  return ballots;
}

/** What H knows of its leases; it asks for one only, by request 1. */
function leaseHolder(): LeaseHolder {
  return new LeaseHolder({ self: 'H', incarnation: 1, termMs: 1000, drift: 0.02 });
}

/** H and the acceptors of these hosts have a session from now on. */
function beat({ acceptors, now }: Cluster, holder: LeaseHolder, ...peers: readonly string[]): void {
  for (const peer of peers) holder.onHeartbeatReply(acceptors.get(peer)!.leases.heartbeat(holder.heartbeat(now), now).reply!);
}

/** What H sends of what it acknowledged from memory: nobody else can have written since that version. */
function flush(version: number): Operation {
  return update((current) => (current?.version === version ? bytes('mine') : undefined));
}

interface Story {
  readonly name: string;
  readonly without: Partial<Rules>;
  /** What the last one in the story is told, in words. */
  readonly tell: (rules: Rules) => string;
  readonly right: string;
  readonly wrong: string;
}

const stories: readonly Story[] = [
  {
    name: 'a read does not put an answer of before an exclusive holder’s flush together with one of after its release',
    without: { mayCombine: () => true },
    right: 'nothing yet',
    wrong: 'committed old',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      cluster.run(source('H'), putAny(bytes('old')));
      // H has an exclusive lease from A and B. From now on it acknowledges writes from memory.
      const holder = leaseHolder();
      beat(cluster, holder, 'A', 'B');
      const leasing = new Slow(cluster, above(10, 'H'), read, { lease: 'exclusive', leaseClock: 1 }).reach('A', 'B').lost('C').reach('A', 'B');
      assert.ok(holder.granted(block, leasing.grants!, cluster.now));
      // Then somebody begins to read; only C is reached at once.
      const reading = new Slow(cluster, source('R'), read).reach('C');
      // H is recalled: it flushes to B and C, and lets go.
      assert.equal(
        told(new Slow(cluster, source('H', 2), putAny(bytes('new')), { leaseClock: 1 }).reach('B', 'C', 'B', 'C', 'B', 'C').outcome),
        'committed new',
      );
      for (const peer of ['A', 'B'])
        cluster.acceptors.get(peer)!.leases.release({ type: 'release', from: 'H', incarnation: 1, block, sequence: 1 }, cluster.now);
      return told(reading.reach('A').outcome);
    },
  },
  {
    name: 'what a minority accepted before an exclusive lease is below what the holder relies on, who asked for the lease with a read',
    without: { mayGrant: (mode, along) => mode === 'shared' || along !== 'repeated accept' },
    right: 'committed mine',
    wrong: 'conflict rival',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      cluster.run(source('W'), putAny(bytes('old')));
      // A accepts what a rival writes; the messages to B and C take their time.
      new Slow(cluster, above(10, 'P'), putAny(bytes('rival'))).reach('A', 'B', 'A');
      const holder = leaseHolder();
      beat(cluster, holder, 'A', 'B', 'C');
      const reading = new Slow(cluster, above(20, 'H'), read, { lease: 'exclusive', leaseClock: 1 }).reach('B', 'C', 'B', 'C');
      assert.equal(told(reading.outcome), 'committed old');
      assert.ok(holder.granted(block, reading.grants!, cluster.now));
      // H acknowledges a write from memory, is recalled, and flushes to whoever answers first.
      return told(cluster.run(source('H', 2), flush(1)).outcome);
    },
  },
  {
    name: 'an acceptor that promised something higher since it accepted a record grants no exclusive lease about it',
    without: { mayGrant: (mode, along) => mode === 'shared' || along !== 'read' },
    right: 'without a lease: conflict rival',
    wrong: 'under a lease: conflict rival',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      const holder = leaseHolder();
      beat(cluster, holder, 'A');
      // B has no session with H, so it grants nothing, and its answer is lost.
      const writing = new Slow(cluster, source('H'), putAny(bytes('old')), { lease: 'exclusive', leaseClock: 1 }).reach('A', 'B').lost('B');
      // A rival goes on from there. C accepts it; the message to B takes its time.
      new Slow(cluster, above(10, 'P'), putAny(bytes('rival'))).reach('B', 'C', 'C');
      beat(cluster, holder, 'B');
      assert.equal(told(writing.wake().reach('A', 'B').outcome), 'committed old');
      const holds = holder.granted(block, writing.grants!, cluster.now);
      // What H then writes, whether it acknowledged it from memory or not, meets what C has.
      cluster.down.add('A');
      return `${holds ? 'under' : 'without'} a lease: ${told(cluster.run(source('H', 2), flush(1)).outcome)}`;
    },
  },
  {
    name: 'what a change that came to nothing left with a newcomer does not outlive the block',
    without: { mustAnnounce: () => false },
    right: 'committed nothing',
    wrong: 'committed old',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C', 'D'], ['A', 'B', 'C'], rules);
      cluster.run(source('W'), putAny(bytes('old')));
      const change = new Slow(cluster, above(10, 'P'), { kind: 'change', fromEpoch: 1, replicas: ['D', 'A', 'B'] }).reach('A', 'B');
      if (rules.mustAnnounce(1)) change.reach('A', 'B');
      // D accepts the joint record. Whoever wanted the change is gone, and its other messages with it.
      change.reach('D');
      const later = above(20, 'W');
      for (const operation of [putAny(null), { kind: 'settle', revoked: [] }, { kind: 'forget' }] as const)
        assert.equal(cluster.run(later, operation).outcome.status, 'committed');
      cluster.views = [{ number: 2, replicas: ['D', 'A', 'B'] }];
      return told(cluster.run(source('R'), read).outcome);
    },
  },
  {
    name: 'a founder who knows an old view hears of every view since, for the block may be where one between them led',
    without: { viewsToTell: (known, views) => productionRules.viewsToTell(known, views).slice(-1) },
    right: 'conflict first',
    wrong: 'committed second',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], ['A'], rules);
      const late = new Slow(cluster, source('P'), putIfAbsent(bytes('second')));
      // Before its first message arrives, everybody else goes on to view 2, the block is founded where that leads, and view 3 comes.
      cluster.views = [{ number: 2, replicas: ['B'] }];
      assert.equal(told(cluster.run(source('Q'), putIfAbsent(bytes('first'))).outcome), 'committed first');
      cluster.views = [...cluster.views, { number: 3, replicas: ['A', 'C'] }];
      for (let turn = 0; turn < 5; turn++) late.reach('A', 'B', 'C');
      return told(late.outcome);
    },
  },
  {
    name: 'a promise of before a tombstone does not join promises of after it was forgotten',
    without: { floorToForget: () => 0 },
    right: 'committed nothing',
    wrong: 'committed again',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      cluster.run(source('W'), putAny(bytes('old')));
      const ballots = above(50, 'P');
      // C promises a high ballot and tells what it has; the messages to A and B take their time.
      const late = new Slow(cluster, ballots, compareAndSet(1, bytes('again'))).reach('C');
      cluster.down.add('C');
      assert.equal(told(cluster.run(source('W', 2), putAny(null)).outcome), 'committed nothing');
      cluster.down.clear();
      assert.equal(told(cluster.run(source('W', 3), { kind: 'forget' }).outcome), 'committed nothing');
      for (let turn = 0; turn < 3; turn++) late.reach('A', 'B');
      return told(cluster.run(source('R'), read).outcome);
    },
  },
  {
    name: 'a straggler that teaches a record does not bring a forgotten block back',
    without: { mayLearn: () => true },
    right: 'committed nothing',
    wrong: 'committed old',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      const { outcome } = cluster.run(source('W'), putAny(bytes('old')));
      assert.ok(outcome.status === 'committed' && outcome.accepted !== null);
      const { ballot, record } = outcome.accepted;
      cluster.run(source('W', 2), putAny(null));
      cluster.run(source('W', 3), { kind: 'forget' });
      for (const peer of ['A', 'B']) cluster.serve(peer, { type: 'learn', from: 'W', block, tag: 1, attempt: 9, ballot, record });
      return told(cluster.run(source('R'), read).outcome);
    },
  },
  {
    name: 'a value that was accepted, removed and forgotten while its answers were lost is not written a second time',
    without: { mayFoundAgain: () => true },
    right: 'unknown, then committed nothing',
    wrong: 'committed p, then committed p',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      const late = new Slow(cluster, source('P'), putIfAbsent(bytes('p'))).reach('A', 'B').lost('A', 'B', 'C');
      assert.equal(told(cluster.run(source('R'), read).outcome), 'committed p');
      cluster.run(source('Q'), putAny(null));
      cluster.run(source('Q', 2), { kind: 'forget' });
      assert.equal(told(cluster.run(source('R', 2), read).outcome), 'committed nothing');
      for (let turn = 0; turn < 6; turn++) late.wake().reach('A', 'B', 'C');
      return `${told(late.outcome)}, then ${told(cluster.run(source('R', 3), read).outcome)}`;
    },
  },
  {
    name: 'where one acceptor is the quorum, what was read before another life of the block does not begin it anew at an old version',
    without: { mayBegin: () => true },
    right: 'version 9',
    wrong: 'version 1',
    tell: (rules) => {
      const cluster = new Cluster(['A'], undefined, rules);
      const ballots = above(50, 'P');
      // It found nothing; what it writes takes its time.
      const late = new Slow(cluster, ballots, putIfAbsent(bytes('late'))).reach('A');
      for (const value of ['one', 'two']) cluster.run(source('W'), putAny(bytes(value)));
      cluster.run(source('W', 2), putAny(null));
      cluster.run(source('W', 3), { kind: 'forget' });
      for (let turn = 0; turn < 6; turn++) late.reach('A');
      const { outcome } = late;
      return outcome?.status === 'committed' ? `version ${outcome.accepted!.record.version}` : told(outcome);
    },
  },
  {
    name: 'a fresh block whose late accept finds that another wrote it meanwhile is not founded over that',
    without: { freshRound: (next) => next },
    right: 'conflict synced, then committed synced',
    wrong: 'committed late, then committed late',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C'], undefined, rules);
      // Its ballot is above all that the other draws, and it is cut off.
      const late = new Slow(cluster, above(50, 'P'), putIfAbsent(bytes('late'), true));
      cluster.run(source('W'), putIfAbsent(bytes('made again')));
      cluster.run(source('W', 2), putAny(bytes('synced')));
      for (let turn = 0; turn < 6; turn++) late.wake().reach('A', 'B', 'C');
      return `${told(late.outcome)}, then ${told(cluster.run(source('R'), read).outcome)}`;
    },
  },
  {
    name: 'a change of replicas that began before the block was removed and forgotten leaves the one that is made anew where it is',
    without: { firstEpoch: () => 1 },
    right: 'conflict, then at ABC',
    wrong: 'committed, then at ABD',
    tell: (rules) => {
      const cluster = new Cluster(['A', 'B', 'C', 'D'], ['A', 'B', 'C'], rules);
      cluster.run(source('W'), putAny(bytes('old')));
      // It waits for hosts that do not answer.
      const late = new Slow(cluster, source('P'), { kind: 'change', fromEpoch: 1, replicas: ['A', 'B', 'D'] });
      cluster.run(source('W', 2), putAny(null));
      cluster.run(source('W', 3), { kind: 'forget' });
      cluster.run(source('W', 4), putAny(bytes('new')));
      for (let turn = 0; turn < 12; turn++) late.wake().reach('A', 'B', 'C', 'D');
      const { outcome } = cluster.run(source('R'), read);
      assert.ok(outcome.status === 'committed' && text(outcome.accepted?.record.value) === 'new');
      return `${late.outcome?.status}, then at ${outcome.accepted!.record.replicas.join('')}`;
    },
  },
];

for (const { name, without, tell, right, wrong } of stories) {
  void test(name, () => {
    assert.equal(tell(productionRules), right);
    assert.equal(tell({ ...productionRules, ...without }), wrong);
  });
}
