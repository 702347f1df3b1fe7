import { maxClockDrift } from '../../src/consensus/index.ts';
import { SeededRandom } from './random.ts';

/** Everything about a run that is not a fault: drawn from the seed, or given by a scenario. */
export interface Settings {
  readonly seed: number;
  readonly hosts: number;
  /** Replicas of a block. */
  readonly replicas: number;
  readonly blocks: number;
  /** Client operations that are answered, so that judges can judge them. */
  readonly operations: number;
  /** Mean time between two operations of one host, ms. */
  readonly thinkMs: number;
  /** One-way delay of a message: at least, and the mean of what comes on top. */
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly loss: number;
  readonly doubling: number;
  /** Messages that come very late: how many of them, and how late at most. */
  readonly straggling: number;
  readonly stragglerMs: number;
  readonly syncMs: number;
  /** After how long a client gives up. */
  readonly deadlineMs: number;
  readonly leaseTermMs: number;
  /** Share of reads that ask for a lease; of writes a quarter of that. */
  readonly leases: number;
  /** Share of those reads that ask for an exclusive one. */
  readonly exclusiveReads: number;
  readonly drift: number;
  /** A host that is down for so long is counted out: its copies are replaced, and when it returns it counts as having lost them. */
  readonly evictionMs: number;
  /** Views are agreed on by the rules of src/membership, and hosts counted out that live: see agreement.ts. */
  readonly agreed: boolean;
  /** How long it counts there that another host confirmed to know no newer roster. */
  readonly confirmMs: number;
  /** Any number of hosts may drain at once. */
  readonly drainsTogether: boolean;
  /** Changes of the roster, each of which moves blocks. */
  readonly rosterChanges: number;
  /** How likely it is, every 40 ms, that somebody moves a block just so. */
  readonly rivals: number;
  /** How often, of each tick, a record is renewed and a bare promise forgotten; 0: nor are floors heard that are told too late. */
  readonly mending: number;
  /** How likely it is, likewise, that a block is removed for good. */
  readonly removals: number;
  /**
   * Blocks that are removed are written again all the same, and forgotten whoever is at work on them. Then rivals may not move a block just so: versions
   * go on only where blocks are where some view in force says.
   */
  readonly recreated: boolean;
  /** A majority of some block's hosts is lost for good, and what is left is salvaged: see disaster.ts. */
  readonly salvage: boolean;
  /** All hosts of that block are lost. */
  readonly wiped: boolean;
  /** Blocks are founded without looking where that is allowed. */
  readonly fresh: boolean;
  /** Faults to plan. */
  readonly faults: number;
}

/** Time within which faults may start, as a share of the time that the workload takes. */
export function workloadMs({ operations, hosts, thinkMs }: Settings): number {
  return (operations / hosts) * thinkMs;
}

/** Seeds in which blocks are written again after they were removed: drawn from a stream of its own, so that the others stay what they are. */
const recreatedShare = 0.3;

/** Of seeds whose roster is agreed on, each so many loses a majority: so that those that are kept stay what they are. */
const salvageEvery = 5;

/** What was removed and forgotten would have to be told from what was lost, so nothing is; and who acknowledges from memory loses that with its quorum. */
export const salvaging = { agreed: true, salvage: true, recreated: false, removals: 0, exclusiveReads: 0 } as const satisfies Partial<Settings>;

/** Blocks move, so that hosts which are left know of those that are gone; and they are in few places. */
export const wiping = { wiped: true, hosts: 6, replicas: 2, blocks: 5, rosterChanges: 8 } as const satisfies Partial<Settings>;

/** Seeds whose roster is agreed on. */
const agreedShare = 0.3;

/** The settings of a seed. `operations` may be given to make runs longer. */
export function settingsOf(seed: number, operations = 620): Settings {
  const random = new SeededRandom(seed, 1);
  const hosts = random.pick([1, 2, 3, 3, 3, 4, 5, 5, 6, 7]);
  const quiet = random.chance(0.15);
  const settings: Settings = {
    seed,
    hosts,
    replicas: Math.min(hosts, random.pick([1, 2, 3, 3, 3, 3, 5])),
    blocks: random.pick([1, 2, 3, 5]),
    operations,
    thinkMs: random.pick([5, 20, 60]),
    delayMs: random.between(0.05, 2),
    jitterMs: random.pick([0.1, 1, 5, 20]),
    loss: quiet ? 0 : random.pick([0, 0.01, 0.05, 0.2]),
    doubling: quiet ? 0 : random.pick([0, 0.02, 0.1]),
    straggling: quiet ? 0 : random.pick([0, 0.01, 0.05]),
    stragglerMs: random.pick([200, 3000]),
    syncMs: random.pick([0.2, 2, 10]),
    deadlineMs: random.pick([30, 200, 2500, 2500]),
    leaseTermMs: random.pick([300, 1000, 3000]),
    leases: random.pick([0, 0, 0.3, 0.8]),
    exclusiveReads: 0.25,
    drift: maxClockDrift,
    evictionMs: Infinity,
    rosterChanges: quiet ? 0 : random.pick([0, 1, 3, 6]),
    fresh: random.chance(0.3),
    rivals: random.pick([0.02, 0.1, 0.5]),
    faults: quiet ? 0 : random.below(14),
    mending: random.pick([0, 0.05, 0.2]),
    removals: 0.03,
    agreed: false,
    confirmMs: 200,
    drainsTogether: false,
    recreated: new SeededRandom(seed, 8).chance(recreatedShare),
    salvage: false,
    wiped: false,
  };
  if (!random.chance(agreedShare)) return settings.recreated ? { ...settings, rivals: 0 } : settings;
  const agreed = { ...settings, agreed: true, evictionMs: random.pick([300, 800, 2500]), confirmMs: random.pick([150, 600, 2500]) };
  const salvage = settings.replicas >= 2 && hosts >= 3 && seed % salvageEvery === 1;
  return salvage ? { ...agreed, ...salvaging } : agreed;
}
