import { type Ballot, BallotSource, compareBallots, productionRules, type Rules } from '../../src/consensus/index.ts';
import { outcasts } from './scenarios.ts';
import { salvaging, type Settings, wiping } from './settings.ts';

/** A variant of the code under test: the real one, or one that is broken on purpose. */
export interface Mutant {
  readonly name: string;
  readonly rules: Rules;
  readonly ballots: (peer: string, incarnation: number) => BallotSource;
  readonly repliesBeforeSync?: boolean;
  readonly ignoresRecalls?: boolean;
  /** Once a write has failed it takes what is in memory for durable. */
  readonly forgetsUnsaved?: boolean;
  /** It starts with a record that was cut in the middle as if it were whole. */
  readonly trustsTornRecords?: boolean;
  /** The acceptor answers though nobody confirms that the host was not counted out. */
  readonly answersUnconfirmed?: boolean;
  /** It salvages blocks whose hosts are merely away. */
  readonly salvagesWhatIsAway?: boolean;
  /** It has a salvaged record learnt, and nobody promises anything before. */
  readonly salvagesUnasked?: boolean;
  /** It gives up blocks of which something is left. */
  readonly givesUpWhatIsLeft?: boolean;
  /** It has hosts forget what they have of a block that is given up. */
  readonly forgetsGivenUp?: boolean;
  /** It leaves a tombstone in the place of a block that is given up. */
  readonly givesUpAsRemoved?: boolean;
  /** What a person accepts to be lost is made anew at versions that it had. */
  readonly acceptsWithoutFloor?: boolean;
  /** It says that it has resolved what it holds as soon as views begin to retire. */
  readonly retiresUnresolved?: boolean;
  /** A host that was counted out comes back with all that it had. */
  readonly keepsEverything?: boolean;
  /** It relies on a counting-out before all who count can know of it. */
  readonly reliesAtOnce?: boolean;
  /** What was forgotten by hosts of views that are retired is left out of where blocks begin. */
  readonly forgetsRetiredFloors?: boolean;
  /** It takes more seeds than a test has time for: only `--mutants` runs it. */
  readonly slow?: boolean;
  /** Settings in which the defect has something to break; drawn for each seed otherwise. */
  readonly settings?: Partial<Settings>;
}

const ballots = (peer: string, incarnation: number): BallotSource => new BallotSource(peer, incarnation);

/** The code as it ships. */
export const production: Mutant = { name: 'production', rules: productionRules, ballots };

/** What a variant's runs have instead of what their seeds draw: of a broken one the defect alone must be seen, and nothing that mends what it breaks. */
export function mutantSettings(mutant: Mutant): Partial<Settings> {
  return mutant === production
    ? {}
    : { mending: 0, exclusiveReads: 0, agreed: false, salvage: false, wiped: false, evictionMs: Infinity, recreated: false, ...mutant.settings };
}

/** Ballots that are told apart by their round alone, within a life of a process. */
class SerialLess extends BallotSource {
  override next(above: number): Ballot {
    return { ...super.next(above), serial: 0 };
  }
}

/** Ballots that are told apart by a count of rounds that a restart forgets. */
class Forgetful extends BallotSource {
  #last = 0;

  override next(above: number): Ballot {
    this.#last = Math.max(this.#last, above) + 1;
    return { round: this.#last, peer: this.peer, incarnation: 1, serial: 0 };
  }
}

const broken = (name: string, rules: Partial<Rules>, settings?: Partial<Settings>): Mutant => ({
  name,
  rules: { ...productionRules, ...rules },
  ballots,
  ...(settings === undefined ? {} : { settings }),
});

const leasing: Partial<Settings> = { hosts: 4, replicas: 3, blocks: 1, leases: 0.8, leaseTermMs: 300, faults: 10 };
const recreating: Partial<Settings> = {
  recreated: true,
  removals: 0.5,
  blocks: 3,
  loss: 0.2,
  straggling: 0.05,
  rivals: 0,
  rosterChanges: 0,
  fresh: false,
};
const moving: Partial<Settings> = { hosts: 6, replicas: 3, blocks: 2, rosterChanges: 6 };

const losing: Partial<Settings> = {
  ...salvaging,
  hosts: 5,
  replicas: 3,
  blocks: 3,
  thinkMs: 20,
  deadlineMs: 200,
  evictionMs: 800,
  confirmMs: 600,
  fresh: false,
};

/** Hosts are soon counted out, alive or not. */
const away: Partial<Settings> = {
  agreed: true,
  hosts: 5,
  replicas: 3,
  thinkMs: 20,
  delayMs: 0.5,
  jitterMs: 1,
  doubling: 0,
  straggling: 0,
  syncMs: 0.2,
  deadlineMs: 200,
  leases: 0,
  leaseTermMs: 1000,
  fresh: false,
  evictionMs: 300,
  confirmMs: 150,
};

/** Each of them must be caught. */
export const mutants: readonly Mutant[] = [
  broken('promises lower ballots', { mayPromise: () => true }),
  broken('accepts below its promise', { mayAccept: (promised, ballot) => promised === null || ballot.round >= promised.round - 2 }),
  {
    ...production,
    name: 'replies before its disk has synced',
    repliesBeforeSync: true,
    settings: { hosts: 3, replicas: 3, blocks: 1, syncMs: 10, faults: 25 },
  },
  {
    ...production,
    name: 'tells what it failed to write',
    forgetsUnsaved: true,
    settings: { hosts: 3, replicas: 3, blocks: 1, syncMs: 10, faults: 40 },
  },
  {
    ...production,
    name: 'takes a torn record for a whole one',
    trustsTornRecords: true,
    settings: { hosts: 3, replicas: 3, blocks: 1, syncMs: 10, faults: 25 },
  },
  { ...production, name: 'reuses ballots within a life', ballots: (peer, incarnation) => new SerialLess(peer, incarnation) },
  { ...production, name: 'reuses ballots after a restart', ballots: (peer, incarnation) => new Forgetful(peer, incarnation) },
  broken('answers a read without writing back', { mayAnswer: () => true }),
  broken('takes a minority for a majority', { majority: (size) => Math.max(1, size >> 1) }),
  broken('changes replicas without joint majorities', { setsOf: ({ replicas }) => [replicas] }, moving),
  broken(
    'drops the old set before the joint record is chosen',
    { mayFinish: () => true },
    { ...moving, rivals: 0.9, deadlineMs: 2500, loss: 0.2, faults: 20 },
  ),
  broken('asks the old set only, once it changed', { setsOf: ({ previous, replicas }) => [previous[0] ?? replicas] }, moving),
  broken(
    'forgets when a majority acknowledged',
    { mayForget: (acknowledged, all) => acknowledged * 2 > all },
    { hosts: 4, replicas: 3, blocks: 5, faults: 12 },
  ),
  broken('never has enough acknowledgements to forget', { mayForget: () => false }),
  broken('never drops the old set of a change', { mayFinish: () => false }, moving),
  broken(
    'keeps the fast path after an unknown outcome',
    { mayKeepHint: () => true },
    { hosts: 3, replicas: 3, blocks: 1, leases: 0, deadlineMs: 20, jitterMs: 20, loss: 0.05 },
  ),
  broken('builds on the lowest record it hears of', { isNewer: (candidate, best) => best === null || compareBallots(candidate, best) < 0 }),
  broken('lets a stale member win over a round', { isNewer: (candidate, best) => best === null || candidate.round > best.round + 3 }),
  broken('founds by its own view of the roster alone', { foundingSets: (views) => [views.at(-1)!.replicas] }, moving),
  broken(
    'lets hosts found in views that are gone',
    { mayFound: () => true, foundingSets: (views) => [views[0]!.replicas] },
    { ...moving, blocks: 25, rosterChanges: 12, thinkMs: 20, operations: 300 },
  ),
  broken('takes a rejection by all for proof that nothing was accepted', { leavesDoubt: (rejectedByAll) => !rejectedByAll }),
  broken('votes after it lost its record', { lostMayVote: () => true }, { hosts: 5, replicas: 3, faults: 30 }),
  broken('accepts without looking, where one acceptor is the quorum', { meetsCondition: () => true }, { hosts: 3, replicas: 1, blocks: 1 }),
  broken(
    'founds a fresh block above ballots of others',
    { freshRound: (next) => next + 100 },
    { hosts: 5, replicas: 3, blocks: 25, fresh: true, thinkMs: 5, loss: 0.2 },
  ),
  broken(
    'grants leases right after a restart',
    { remembersLeases: () => true },
    { ...leasing, replicas: 1, leaseTermMs: 3000, deadlineMs: 200, faults: 40 },
  ),
  broken(
    'trusts a lease to the last tick',
    { trustMs: (termMs) => termMs },
    { ...leasing, hosts: 3, replicas: 1, drift: 0.2, blocks: 5, thinkMs: 60, operations: 1500, leases: 0.9, faults: 60, deadlineMs: 2500 },
  ),
  broken(
    'reads under the exclusive lease of another',
    { leaseAllows: (access, shared, exclusive) => access === 'read' || shared + exclusive === 0 },
    leasing,
  ),
  broken('writes under the shared lease of another', { leaseAllows: (_access, _shared, exclusive) => exclusive === 0 }, leasing),
  broken(
    'lets its own stragglers pass under a younger lease',
    { leaseOutlives: () => false },
    {
      ...leasing,
      hosts: 3,
      replicas: 1,
      blocks: 3,
      straggling: 0.4,
      stragglerMs: 600,
      loss: 0,
      jitterMs: 0.1,
      delayMs: 0.5,
      syncMs: 0.2,
      thinkMs: 30,
      operations: 1500,
      leases: 0.9,
      leaseTermMs: 3000,
      deadlineMs: 20,
      fresh: false,
      faults: 0,
    },
  ),
  {
    ...broken(
      'tells founders of its newest view alone',
      { viewsToTell: (known, views) => productionRules.viewsToTell(known, views).slice(-1) },
      {
        hosts: 5,
        replicas: 1,
        blocks: 25,
        operations: 600,
        thinkMs: 5,
        delayMs: 0.1,
        jitterMs: 0.1,
        loss: 0.2,
        straggling: 0.05,
        stragglerMs: 200,
        syncMs: 0.2,
        deadlineMs: 2500,
        leases: 0,
        rosterChanges: 6,
        fresh: false,
        rivals: 0.9,
        faults: 5,
      },
    ),
    slow: true,
  },
  {
    ...broken(
      'forgets without minding what was promised',
      { floorToForget: () => 0 },
      {
        hosts: 3,
        replicas: 3,
        blocks: 20,
        operations: 600,
        thinkMs: 60,
        delayMs: 1,
        jitterMs: 20,
        loss: 0.05,
        doubling: 0,
        straggling: 0.4,
        stragglerMs: 600,
        syncMs: 0.2,
        deadlineMs: 2500,
        leases: 0,
        rosterChanges: 0,
        fresh: false,
        faults: 0,
      },
    ),
    slow: true,
  },
  broken(
    'learns what it has forgotten',
    { mayLearn: () => true },
    {
      hosts: 4,
      replicas: 3,
      blocks: 20,
      thinkMs: 20,
      delayMs: 0.5,
      jitterMs: 1,
      loss: 0.02,
      straggling: 0.3,
      stragglerMs: 3000,
      syncMs: 0.2,
      deadlineMs: 2500,
      leases: 0,
      rosterChanges: 3,
      rivals: 0.1,
      removals: 0.1,
      fresh: false,
      faults: 0,
    },
  ),
  {
    ...production,
    name: 'answers though nobody confirms that it was not counted out',
    answersUnconfirmed: true,
    slow: true,
    settings: {
      agreed: true,
      hosts: 5,
      replicas: 3,
      blocks: 40,
      operations: 800,
      thinkMs: 60,
      delayMs: 0.5,
      jitterMs: 1,
      loss: 0.05,
      doubling: 0,
      straggling: 0,
      syncMs: 2,
      deadlineMs: 200,
      leases: 0,
      leaseTermMs: 1000,
      fresh: false,
      rosterChanges: 3,
      removals: 0.6,
      evictionMs: 300,
      confirmMs: 150,
      faults: 60,
    },
  },
  { ...broken('renews who ignores recalls', { mayRenew: () => true }, { ...leasing, leaseTermMs: 3000 }), ignoresRecalls: true },
  // After about a thousand seeds; test/consensus/stories.test.ts tells it message by message.
  {
    ...broken(
      'grants exclusive leases with reads',
      { mayGrant: (mode, along) => mode === 'shared' || along !== 'repeated accept' },
      {
        ...leasing,
        hosts: 3,
        blocks: 3,
        leases: 0.9,
        exclusiveReads: 0.25,
        leaseTermMs: 3000,
        loss: 0.05,
        straggling: 0.1,
        stragglerMs: 200,
        thinkMs: 20,
        faults: 0,
      },
    ),
    slow: true,
  },
  {
    ...production,
    name: 'salvages blocks whose hosts are merely away',
    salvagesWhatIsAway: true,
    settings: { ...losing, faults: 60 },
  },
  {
    ...production,
    name: 'teaches a salvaged record to those that are left, whatever they promised',
    salvagesUnasked: true,
    settings: { ...losing, hosts: 5, replicas: 5, thinkMs: 5, leaseTermMs: 300, faults: 0 },
  },
  {
    ...broken('gives up blocks of which something is left', { mayGiveUp: () => true }, losing),
    givesUpWhatIsLeft: true,
  },
  {
    ...production,
    name: 'forgets what is left of a block that is given up',
    forgetsGivenUp: true,
    settings: { ...losing, ...wiping, blocks: 20 },
  },
  {
    ...production,
    name: 'removes blocks that are given up',
    givesUpAsRemoved: true,
    settings: { ...losing, ...wiping, blocks: 20 },
  },
  {
    ...production,
    name: 'lets what was lost and accepted begin at a version that it had',
    acceptsWithoutFloor: true,
    settings: { ...losing, ...wiping, blocks: 20 },
  },
  {
    ...production,
    name: 'says that all is resolved as soon as views retire',
    retiresUnresolved: true,
    settings: { ...away, blocks: 20, operations: 700, loss: 0.02, straggling: 0.05, stragglerMs: 3000, rosterChanges: 4, faults: 40 },
  },
  {
    ...production,
    name: 'comes back with all that it had after it was counted out',
    keepsEverything: true,
    settings: { ...away, blocks: 40, operations: 800, thinkMs: 60, loss: 0.05, syncMs: 2, rosterChanges: 3, removals: 0.6, faults: 60 },
  },
  {
    ...production,
    name: 'relies on a counting-out before all who count can know of it',
    reliesAtOnce: true,
    slow: true,
    settings: { ...away, blocks: 40, operations: 800, thinkMs: 60, loss: 0.05, syncMs: 2, rosterChanges: 3, removals: 0.6, faults: 60 },
  },
  {
    ...production,
    name: 'begins blocks without minding what retired views have forgotten',
    forgetsRetiredFloors: true,
    settings: { ...outcasts, hosts: 4, replicas: 1, straggling: 0.1, deadlineMs: 2500 },
  },
  broken('tells that there is nothing where all may be lost', { mayTellAbsent: () => true }, { ...losing, ...wiping, blocks: 20 }),
  broken('founds again what was removed and forgotten', { mayFoundAgain: () => true }, recreating),
  broken(
    'begins a block at a version of before',
    { mayBegin: () => true },
    { ...recreating, hosts: 2, replicas: 1, thinkMs: 20, stragglerMs: 200, straggling: 0.1, deadlineMs: 2500 },
  ),
];
