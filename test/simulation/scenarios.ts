import { type Fault, planFaults } from './faults.ts';
import { salvaging, type Settings, settingsOf, wiping } from './settings.ts';

/** A run with a story: settings and faults that a person chose. The seed still draws everything else. */
export interface Scenario {
  readonly name: string;
  readonly story: string;
  readonly settings: (seed: number) => Settings;
  readonly faults: (settings: Settings) => readonly Fault[];
}

/** No faults but those of the story, a network that is merely slow. */
function calm(seed: number, changes: Partial<Settings>): Settings {
  const base = settingsOf(seed);
  return {
    ...base,
    hosts: 3,
    replicas: 3,
    blocks: 2,
    loss: 0,
    doubling: 0,
    straggling: 0,
    rosterChanges: 0,
    leases: 0,
    fresh: false,
    faults: 0,
    agreed: false,
    salvage: false,
    evictionMs: Infinity,
    ...changes,
  };
}

function losing(seed: number): Settings {
  const settings = settingsOf(seed);
  const hosts = Math.max(settings.hosts, 3);
  const replicas = Math.min(Math.max(settings.replicas, 2), hosts);
  return { ...settings, hosts, replicas, evictionMs: 800, confirmMs: 600, ...salvaging };
}

/** Hosts are soon counted out, and blocks are made anew. */
export const outcasts: Partial<Settings> = {
  agreed: true,
  salvage: false,
  recreated: true,
  rivals: 0,
  hosts: 5,
  replicas: 3,
  blocks: 20,
  operations: 900,
  thinkMs: 20,
  delayMs: 0.5,
  jitterMs: 1,
  loss: 0.02,
  doubling: 0,
  straggling: 0.05,
  stragglerMs: 3000,
  syncMs: 0.2,
  deadlineMs: 200,
  leases: 0,
  exclusiveReads: 0,
  mending: 0,
  leaseTermMs: 1000,
  fresh: false,
  evictionMs: 300,
  confirmMs: 150,
  rosterChanges: 10,
  removals: 0.5,
  faults: 20,
};

const end = ({ operations, hosts, thinkMs }: Settings): number => (operations / hosts) * thinkMs;

/** Named scenarios, each run from several seeds by the tests. */
export const scenarios: readonly Scenario[] = [
  {
    name: 'one-host',
    story: 'A single host whose process dies again and again: the single-host product.',
    settings: (seed) => calm(seed, { hosts: 1, replicas: 1, leases: 0.3 }),
    faults: (settings) => Array.from({ length: 12 }, (_, index) => ({ kind: 'crash', at: (end(settings) * (index + 1)) / 14, forMs: 30, host: 0 })),
  },
  {
    name: 'rolling-restart',
    story: 'Every host in turn is restarted, as in an upgrade.',
    settings: (seed) => calm(seed, { hosts: 5, leases: 0.5 }),
    faults: (settings) =>
      Array.from({ length: 10 }, (_, index) => ({ kind: 'crash', at: (end(settings) * (index + 1)) / 12, forMs: 60, host: index % 5 })),
  },
  {
    name: 'blackout',
    story: 'Power fails everywhere at once, twice.',
    settings: (seed) => calm(seed, { hosts: 5, syncMs: 10 }),
    faults: (settings) =>
      [1, 2].flatMap((part) =>
        [0, 1, 2, 3, 4].map((host) => ({ kind: 'crash' as const, at: (end(settings) * part) / 3, forMs: 20 + 10 * host, host })),
      ),
  },
  {
    name: 'return-after-a-year',
    story: 'A host is away while everything moves again and again, and then comes back with what it had.',
    settings: (seed) =>
      calm(seed, { hosts: 7, rosterChanges: 8, operations: 2000, thinkMs: 60, syncMs: 1, deadlineMs: 2500, evictionMs: 300, faults: 1 }),
    faults: (settings) => [{ kind: 'crash', at: end(settings) * 0.1, forMs: end(settings) * 0.8, host: 2 }],
  },
  {
    name: 'rotation',
    story: 'Blocks are moved through 32 hosts.',
    settings: (seed) => calm(seed, { hosts: 32, rosterChanges: 40, operations: 1500, blocks: 1, thinkMs: 60 }),
    faults: () => [],
  },
  {
    name: 'split-brain',
    story: 'The cluster falls apart in the middle, one way first, then both.',
    settings: (seed) => calm(seed, { hosts: 5, replicas: 5, leases: 0.5 }),
    faults: (settings) => [
      { kind: 'partition', at: end(settings) * 0.2, forMs: end(settings) * 0.2, side: [0, 1], both: false },
      { kind: 'partition', at: end(settings) * 0.5, forMs: end(settings) * 0.2, side: [0, 1, 2], both: true },
    ],
  },
  {
    name: 'sleeping-holder',
    story: 'A host that holds leases stands still for longer than they last, and wakes up believing in them.',
    settings: (seed) => calm(seed, { hosts: 4, leases: 0.9, leaseTermMs: 300, blocks: 1 }),
    faults: (settings) =>
      Array.from({ length: 8 }, (_, index) => ({ kind: 'pause', at: (end(settings) * (index + 1)) / 10, forMs: 400, host: index % 4 })),
  },
  {
    name: 'bit-rot',
    story: 'One host loses its copies to bit rot, restarts, and must not vote from an empty memory.',
    settings: (seed) => calm(seed, { hosts: 5, blocks: 2, faults: 1 }),
    faults: (settings) =>
      Array.from({ length: 6 }, (_, index) => ({ kind: 'bit-rot', at: (end(settings) * (index + 1)) / 8, forMs: 0, host: 1, block: index % 2 })),
  },
  {
    name: 'lost-majority',
    story: 'A majority of the hosts of some blocks is lost for good; what is left is salvaged by several hosts at once, under clients and faults.',
    settings: losing,
    faults: planFaults,
  },
  {
    name: 'lost-blocks',
    story: 'All hosts of some blocks are lost for good, at once; where others know of such a block it is given up.',
    settings: (seed) => ({ ...losing(seed), ...wiping }),
    faults: planFaults,
  },
  {
    name: 'drained-together',
    story: 'Most hosts of many blocks are drained at once, again and again, while blocks are removed, forgotten and founded anew.',
    settings: (seed) => {
      const drawn = settingsOf(seed);
      const roster = { agreed: true, salvage: false, evictionMs: 800, confirmMs: 600, rosterChanges: 14, drainsTogether: true };
      return { ...drawn, ...roster, hosts: Math.max(drawn.hosts, 6), blocks: 25, operations: 900, recreated: true, removals: 0.5, rivals: 0 };
    },
    faults: planFaults,
  },
  {
    name: 'outcasts',
    story: 'Hosts are soon counted out, alive or not, on disks that fail and fill up, while blocks are removed, forgotten and founded anew.',
    settings: (seed) => ({ ...settingsOf(seed), ...outcasts }),
    faults: planFaults,
  },
  {
    name: 'differing-rosters',
    story: 'Several hosts found the same named blocks while their rosters differ.',
    settings: (seed) => calm(seed, { hosts: 7, rosterChanges: 6, blocks: 5, operations: 250, thinkMs: 5 }),
    faults: () => [],
  },
];
