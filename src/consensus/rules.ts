import { type Ballot, compareBallots, lowestRound, type PeerId, sameBallot } from './ballot.ts';
import type { LeaseMode } from './messages.ts';
import type { BlockRecord, ReplicaSet, View } from './record.ts';

/**
 * The decisions on which safety hangs, each a small pure function. Production uses {@link productionRules} and nothing else;
 * the simulator passes broken variants to prove that it would notice.
 */
export interface Rules {
  /** Whether an acceptor that promised `promised` may promise `ballot`. */
  mayPromise(promised: Ballot | null, ballot: Ballot): boolean;
  /** Whether an acceptor that promised `promised` may accept at `ballot`. */
  mayAccept(promised: Ballot | null, ballot: Ballot): boolean;
  /** Whether an acceptor whose last accepted ballot is `accepted` fulfils the condition of an accept without a promise. */
  meetsCondition(accepted: Ballot | null, condition: Ballot | null): boolean;
  /** Whether the acceptor may found the block on behalf of a proposer that knows the views up to `known`. */
  mayFound(known: number, views: readonly View[]): boolean;
  /** Which of its views an acceptor without the block tells a proposer that knows those up to `known`. */
  viewsToTell(known: number, views: readonly View[]): readonly View[];
  /** Whether an operation that found no block may found it, though a value of its own was sent before, at `doubtful`, given the highest floor of those that answered. */
  mayFoundAgain(floor: number, doubtful: Ballot): boolean;
  /** Whether a block may begin at this version where a block that is not here may have been forgotten up to `floor`. */
  mayBegin(floor: number, version: number): boolean;
  /** The round of a ballot that nobody promised, with which the first to write to an address begins; `next`: of one that it would ask a promise for. */
  freshRound(next: number): number;
  /** The epoch that a block begins with along with this version. */
  firstEpoch(version: number): number;
  /** How many of a set of `size` are a majority. */
  majority(size: number): number;
  /** The sets of which each must have a majority for the record to count. */
  setsOf(record: BlockRecord): readonly ReplicaSet[];
  /** Whether a read may answer with the highest record seen, given whether a quorum was seen to hold it. */
  mayAnswer(heldByQuorum: boolean): boolean;
  /** Whether a joint record may be followed by one without its previous sets, given whether it is known to be chosen. */
  mayFinish(chosen: boolean): boolean;
  /** Whether a change must be announced first, given how many hosts it may leave something with that the record does not list. */
  mustAnnounce(unlisted: number): boolean;
  /** Whether an accept that was given up may live on somewhere, given whether all who were asked rejected it. */
  leavesDoubt(rejectedByAll: boolean): boolean;
  /** Whether a client may be told that there is no such block, given whether all that had it may be lost. */
  mayTellAbsent(mayBeLost: boolean): boolean;
  /** Whether a block may be given up, given whether anybody who is left has a record of it. */
  mayGiveUp(hasRecord: boolean): boolean;
  /** Whether `candidate` replaces `best` as the record to build on. */
  isNewer(candidate: Ballot, best: Ballot | null): boolean;
  /** The sets that a founding must ask. */
  foundingSets(views: readonly View[]): readonly ReplicaSet[];
  /** Whether a tombstone or a pointer may be forgotten by this many acknowledgements of `all`. */
  mayForget(acknowledged: number, all: number): boolean;
  /** The round below which a forgotten block takes no ballot, given the highest that anybody who acknowledged had promised. */
  floorToForget(promised: number): number;
  /** Whether an acceptor without a record may learn one at this round. */
  mayLearn(floor: number, round: number): boolean;
  /** Whether what was promised along with an accept may be used after an outcome that is not known. */
  mayKeepHint(outcomeKnown: boolean): boolean;
  /** Whether an acceptor that lost its record may vote as if it never had one. */
  lostMayVote(): boolean;
  /** How long a holder trusts its leases after it sent a heartbeat that was answered, by its own clock. */
  trustMs(termMs: number, drift: number): number;
  /** Whether an acceptor that started at `startedAt` may treat blocks as free of leases that it does not remember. */
  remembersLeases(startedAt: number, termMs: number, now: number): boolean;
  /** Whether answers that may be of different times, with an exclusive lease between them, prove together what is chosen. */
  mayCombine(): boolean;
  /** Whether there may be a lease about the record. A tombstone is forgotten, and then other hosts may keep the block that is made anew: no lease that was granted here would stand in its way. */
  mayLease(record: BlockRecord): boolean;
  /**
   * Whether a lease of that mode may come with an answer to a read, with an accept, or with an accept of what had been accepted before. An exclusive one needs
   * the accept itself: in the same step everything below is refused and nothing above was promised, so that nobody's record can be above what the holder relies on.
   */
  mayGrant(mode: LeaseMode, along: 'read' | 'accept' | 'repeated accept'): boolean;
  /** Whether the leases of others (`shared`, `exclusive`: how many) allow the access. */
  leaseAllows(access: 'read' | 'write', shared: number, exclusive: number): boolean;
  /** Whether a holder's session is renewed, given whether it left a recall unanswered for a term. */
  mayRenew(lax: boolean): boolean;
  /** Whether a lease of that life of its holder and request number is younger than an accept of the same host. */
  leaseOutlives(leaseLife: number, sequence: number, acceptLife: number, leaseClock: number): boolean;
}

const noSets: readonly ReplicaSet[] = [];
const noViews: readonly View[] = [];

/** What docs/consensus.md argues for. */
export const productionRules: Rules = {
  mayPromise: (promised, ballot) => compareBallots(ballot, promised) >= 0,
  mayAccept: (promised, ballot) => compareBallots(ballot, promised) >= 0,
  meetsCondition: (accepted, condition) => sameBallot(accepted, condition),
  mayFound: (known, views) => views.every(({ number }) => number <= known),
  // All that are newer, for each may be the one that leads to the block.
  viewsToTell: (known, views) => (views.length === 0 || views.at(-1)!.number <= known ? noViews : views.filter(({ number }) => number > known)),
  mayBegin: (floor, version) => version > floor,
  freshRound: () => lowestRound,
  // No epoch is above its ballot's round either: they never go back, and a change that began in an earlier life of the block finds none that it knows.
  firstEpoch: (version) => version,
  mayFoundAgain: (floor, doubtful) => floor < doubtful.round,
  majority: (size) => (size >> 1) + 1,
  setsOf: (record) => (record.previous.length === 0 ? [record.replicas] : [record.replicas, ...record.previous]),
  mayAnswer: (heldByQuorum) => heldByQuorum,
  mayFinish: (chosen) => chosen,
  mustAnnounce: (unlisted) => unlisted > 0,
  // One may have accepted it, its answer may have been lost, and only the repeated request was rejected.
  leavesDoubt: () => true,
  mayTellAbsent: (mayBeLost) => !mayBeLost,
  mayGiveUp: (hasRecord) => !hasRecord,
  isNewer: (candidate, best) => compareBallots(candidate, best) > 0,
  foundingSets: (views) => (views.length === 0 ? noSets : views.map(({ replicas }) => replicas)),
  mayForget: (acknowledged, all) => acknowledged === all,
  floorToForget: (promised) => promised,
  mayLearn: (floor, round) => round > floor,
  mayKeepHint: (outcomeKnown) => outcomeKnown,
  lostMayVote: () => false,
  trustMs: (termMs, drift) => (termMs * (1 - drift)) / (1 + drift),
  remembersLeases: (startedAt, termMs, now) => now - startedAt >= termMs,
  mayCombine: () => false,
  mayLease: ({ value }) => value !== null,
  mayGrant: (mode, along) => mode === 'shared' || along === 'accept',
  leaseAllows: (access, shared, exclusive) => exclusive === 0 && (access === 'read' || shared === 0),
  mayRenew: (lax) => !lax,
  leaseOutlives: (leaseLife, sequence, acceptLife, leaseClock) => leaseLife > acceptLife || (leaseLife === acceptLife && sequence > leaseClock),
};

/** Whether the peers for which `has` holds are a majority of every one of the sets. Of no set at all nothing is a quorum. */
export function isQuorum(rules: Rules, sets: readonly ReplicaSet[], has: (peer: PeerId) => boolean): boolean {
  for (const set of sets) {
    let count = 0;
    for (const peer of set) if (has(peer)) count++;
    if (count < rules.majority(set.length)) return false;
  }
  return sets.length > 0;
}

/** Whether one acceptor is the whole quorum of the sets. */
export function isSole(sets: readonly ReplicaSet[]): boolean {
  return sets.length === 1 && sets[0]!.length === 1;
}
