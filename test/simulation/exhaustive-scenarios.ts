/** What the exhaustive search explores: who does what, with which faults; and the broken variants that it must catch. */
import {
  compareAndSet,
  type Operation,
  type PeerId,
  productionRules,
  putAny,
  putIfAbsent,
  read,
  type Rules,
  type View,
} from '../../src/consensus/index.ts';
import type { Budget } from './exhaustive-world.ts';
import type { Action } from './linearizability.ts';

/** What a client does: an action on the register, or a change of who keeps it. */
export type Task = Action | { readonly kind: 'change'; readonly fromEpoch: number; readonly replicas: readonly PeerId[] };

/** The task as the proposer takes it. */
export function operationOf(task: Task): Operation {
  if (task.kind === 'read') return read;
  if (task.kind === 'change') return task;
  const value = task.value === null ? null : Buffer.from(task.value);
  if (typeof task.expect === 'number') return compareAndSet(task.expect, value);
  return task.expect === 'absent' && value !== null ? putIfAbsent(value) : putAny(value);
}

export interface Scenario {
  readonly name: string;
  readonly acceptors: readonly PeerId[];
  /** Acceptors of the same letter play the same part. */
  readonly parts: string;
  readonly views: readonly View[];
  /** Operations that are over before the search begins. */
  readonly prelude: readonly Task[];
  readonly proposers: Readonly<Record<PeerId, readonly Task[]>>;
  readonly budget: Budget;
  /** Phases of an operation of each proposer before it gives up. */
  readonly maxAttempts: readonly number[];
  readonly maxWakes: number;
  /** The same for the search that every run of the tests does; absent: not part of it. */
  readonly quickAttempts?: readonly number[];
  /** Does not end within minutes: only for those who ask, and for mutants. */
  readonly isLong?: boolean;
}

const put = (value: string | null, expect: number | 'absent' | 'any' = 'any'): Task => ({ kind: 'write', expect, value });
const look: Task = { kind: 'read' };
const three: readonly PeerId[] = ['A', 'B', 'C'];
const calm: Budget = { losses: 0, copies: 0, crashes: 0, earlyWakes: 0, deadlines: 0 };
const basic = {
  acceptors: three,
  parts: 'aaa',
  views: [{ number: 1, replicas: three }],
  prelude: [],
  maxAttempts: [3, 3],
  maxWakes: 1,
  budget: calm,
};
const lossy: Budget = { ...calm, losses: 1 };
const crashing: Budget = { ...calm, crashes: 1 };

const race = { P: [put('p')], Q: [put('q')] };
const writeRead = { P: [put('p')], Q: [look, look] };
const twoEach = { P: [put('p'), put('pp')], Q: [put('q'), put('qq')] };
const twoToOne = { P: [put('p'), put('pp')], Q: [put('q')] };
const founded = [put('o')];
const moved = { ...basic, acceptors: ['A', 'B', 'C', 'D'], parts: 'aabc', prelude: founded };
const change: Task = { kind: 'change', fromEpoch: 1, replicas: ['A', 'B', 'D'] };

export const scenarios: readonly Scenario[] = [
  { ...basic, name: 'two foundings race', proposers: { P: [put('p', 'absent')], Q: [put('q', 'absent')] }, quickAttempts: [3, 3] },
  { ...basic, name: 'two writes race, one message lost', proposers: race, budget: lossy, quickAttempts: [2, 2] },
  { ...basic, name: 'two writes race, one host crashes', proposers: race, budget: crashing, quickAttempts: [2, 2] },
  { ...basic, name: 'a write and two reads, one message lost', proposers: writeRead, budget: lossy, maxAttempts: [2, 3] },
  { ...basic, name: 'a write and two reads, one host crashes', proposers: writeRead, budget: crashing, maxAttempts: [2, 3] },
  {
    ...basic,
    name: 'two compare-and-sets of one version, one message lost',
    prelude: founded,
    proposers: { P: [put('p', 1)], Q: [put('q', 1)] },
    budget: lossy,
  },
  { ...basic, name: 'two writes of one host against one of another, one message lost', proposers: twoToOne, budget: lossy, maxAttempts: [2, 2] },
  { ...basic, name: 'two writes of one host against one of another, one host crashes', proposers: twoToOne, budget: crashing, maxAttempts: [2, 2] },
  { ...basic, name: 'two writes of each of two hosts', proposers: twoEach, maxAttempts: [2, 2] },
  {
    ...basic,
    name: 'two writes of one host and a read of another, one caller gives up early',
    prelude: founded,
    proposers: { P: [put('p'), put('pp')], Q: [look] },
    budget: { ...calm, deadlines: 1 },
    maxAttempts: [2, 3],
  },
  { ...moved, name: 'a change of replicas races a write', proposers: { P: [change], Q: [put('q')] }, maxAttempts: [4, 2] },
  {
    ...moved,
    name: 'a change of replicas that is given up races a write',
    proposers: { P: [change], Q: [put('q')] },
    maxAttempts: [3, 3],
    quickAttempts: [3, 2],
  },
  {
    ...moved,
    name: 'a change of replicas that is given up races a write, one message lost',
    proposers: { P: [change], Q: [put('q')] },
    budget: lossy,
    maxAttempts: [3, 2],
  },
  {
    ...moved,
    name: 'a change of replicas that is given up races a write, one host crashes',
    proposers: { P: [change], Q: [put('q')] },
    budget: crashing,
    maxAttempts: [3, 2],
  },
  {
    ...moved,
    name: 'a change of replicas and then a write race a write',
    proposers: { P: [change, put('p')], Q: [put('q')] },
    maxAttempts: [4, 3],
    isLong: true,
  },
];

/** A rule broken on purpose, and the scenario in which the search must catch it. */
export interface Mutant {
  readonly name: string;
  readonly scenario: string;
  readonly rules: Rules;
  /** Restarted processes use the incarnation of their former life again. */
  readonly reusesIncarnation?: boolean;
}

const broken = (name: string, scenario: string, rules: Partial<Rules>): Mutant => ({ name, scenario, rules: { ...productionRules, ...rules } });

export const mutants: readonly Mutant[] = [
  broken('an acceptor accepts below its promise', 'two foundings race', { mayAccept: () => true }),
  broken('an acceptor promises below its promise', 'two foundings race', { mayPromise: () => true, mayAccept: () => true }),
  broken('one of three counts as a majority', 'two foundings race', { majority: (size) => size >> 1 }),
  broken('what was seen at a minority is told', 'two foundings race', { mayAnswer: () => true }),
  broken('the lowest record seen is built on', 'two foundings race', {
    isNewer: (candidate, best) => best === null || productionRules.isNewer(best, candidate),
  }),
  broken('the sets that are left need not agree', 'a change of replicas and then a write race a write', { setsOf: (record) => [record.replicas] }),
  broken('a promise made along is used after an unknown outcome', 'two writes of one host and a read of another, one caller gives up early', {
    mayKeepHint: () => true,
  }),
  {
    name: 'a restarted process numbers its ballots anew',
    scenario: 'two writes of one host against one of another, one host crashes',
    rules: productionRules,
    reusesIncarnation: true,
  },
];
