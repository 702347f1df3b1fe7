import type { WakefulnessState } from '../base/index.ts';

/** The four states that people see, from good to bad. */
export type HealthState = 'HEALTHY' | 'DEGRADED' | 'READ-ONLY' | 'UNAVAILABLE';

/** A state and why it is not HEALTHY; empty reasons where it is. */
export interface Health {
  readonly state: HealthState;
  readonly reasons: readonly string[];
}

/** What a host's disk says of itself. */
export interface HostDisk {
  /** `read-only`: full or failed; it still serves reads. */
  readonly state: 'healthy' | 'read-only';
  /** Why it is read-only, for people. */
  readonly reason?: string;
  readonly blocks: number;
  readonly liveBytes: number;
  /** Bytes on the medium, garbage not yet compacted included. */
  readonly usedBytes: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Records found damaged since start. */
  readonly damaged: number;
}

/** One host as it sees itself: `GET /v1/status`. */
export interface HostStatus {
  readonly name: string;
  readonly peer: string;
  readonly version: string;
  readonly health: Health;
  /** Why it is no member of the cluster that it is to belong to (not let in yet, expelled …); absent: it is one, or alone by choice. */
  readonly outside?: string;
  readonly uptimeSeconds: number;
  /** Resident memory of the daemon. */
  readonly memoryBytes: number;
  /** Whether the main thread keeps processors awake: `held` while requests flow; `unavailable`: the device is missing or denied; `leave`: it is not to. */
  readonly idleLatency?: WakefulnessState;
  readonly disk: HostDisk;
  readonly replicas: { readonly wanted: number; readonly hosts: number };
  readonly volumes: number;
  readonly mounted: readonly string[];
  /** What of volumes programs on this host wait for: those that the daemon before had mounted and this one does not serve yet, files out of reach. A sentence each. */
  readonly waiting?: readonly string[];
  readonly hosts: readonly HostSummary[];
  readonly roster: RosterStatus;
  /** This host's wall clock, RFC 3339. */
  readonly time: string;
  /** How far this host is with bringing copies to where they belong; absent where it does not repair. */
  readonly repair?: RepairProgress;
}

/** One host's part of repair. */
export interface RepairProgress {
  /**
   * `waiting`: this host has done its part in moving blocks, others have not; `open`: something could not be looked at or mended, and is tried again; `idle`: all is
   * as it should be, as far as is known.
   */
  readonly phase: 'idle' | 'moving' | 'waiting' | 'checking' | 'open';
  /** Blocks walked over and blocks in all, of the walk under way. */
  readonly done: number;
  readonly total: number;
  readonly bytesPerSecond: number;
  readonly etaSeconds?: number;
  /** What the last check of everything on this host found, and whether it left something open: hosts did not answer, or what is missing could not be made. */
  readonly lastCheck?: { readonly ageSeconds: number; readonly counts: BlockCounts; readonly open: boolean };
  /** Copies that were missing or older somewhere and were brought up, since the start. */
  readonly repaired: number;
  readonly scrub: ScrubProgress;
}

/** How far a host is with reading all that it keeps. */
export interface ScrubProgress {
  readonly running: boolean;
  /** Of the run under way, or the last one since the start. */
  readonly blocks: number;
  readonly bytes: number;
  readonly damaged: number;
  /** Damaged copies that were replaced from another host, and runs that came to the end, since the start. */
  readonly repaired: number;
  readonly runs: number;
  /** Wall clock, ms: when everything was last read; absent: never. */
  readonly finishedAtMs?: number;
}

/** Copies on one host, and what is amiss with blocks; each block that is amiss is counted by one host. */
export interface BlockCounts {
  readonly immutable: number;
  readonly mutable: number;
  readonly named: number;
  /** Removed blocks that are not forgotten yet. */
  readonly tombstones: number;
  readonly underReplicated: number;
  readonly underQuorum: number;
  /** Copies that belong elsewhere. */
  readonly surplus: number;
  readonly damaged: number;
  /** Given up, since all their hosts were lost, and not made anew. */
  readonly givenUp: number;
}

/** The numbered views of the roster by which blocks are placed, as a host knows them. */
export interface RosterStatus {
  /** In force, the oldest first: more than one while blocks move. Empty while a host is joining, and on one that is alone. */
  readonly views: readonly number[];
  /** Hosts that store blocks by the newest view. */
  readonly hosts: number;
  /** The view that is about to be retired; 0: none. */
  readonly retiring: number;
  /** `member`: this host stores blocks, or did in a view that is still in force. `fresh`: it stores nothing. */
  readonly standing: 'stranger' | 'fresh' | 'member' | 'outcast';
  /** Hosts that were counted out, by name where it is known. */
  readonly countedOut: readonly string[];
  /** What hinders the roster on this host. */
  readonly troubles: readonly string[];
}

/** Another host of the cluster as this one sees it. */
export interface HostSummary {
  readonly name: string;
  readonly peer: string;
  readonly address: string;
  readonly zone: string;
  /** Bytes that it offers; 0: it stores nothing, by its own wish or because it may not. */
  readonly capacity: number;
  /** `alone`, or of this host `outside` where it has left its cluster for good or was expelled; else up, suspect, down, draining … */
  readonly state: string;
  /** RFC 3339: since when this host sees it so; absent of this host itself, and where it is not known. */
  readonly since?: string;
  /** RFC 3339: when its passport ends, where it does. */
  readonly passportExpiresAt?: string;
  readonly self: boolean;
  /** store, write, invite: the last is also the right to expel. */
  readonly rights: readonly string[];
}

/** All hosts, each as it says itself: `GET /v1/cluster`. */
export interface ClusterStatus {
  /** undefined: this host is alone. */
  readonly clusterId: string | undefined;
  /** Of the cluster as a whole. */
  readonly health: Health;
  /** The host that was asked comes first. */
  readonly hosts: readonly HostStatus[];
  /** Members that did not answer. */
  readonly silent: readonly SilentHost[];
  /** What people should know: refused hosts, wrong clocks, copied identities. */
  readonly troubles: readonly { readonly kind: string; readonly about: string; readonly message: string }[];
}

/** A member that did not say how it is. */
export interface SilentHost {
  readonly name: string;
  readonly peer: string;
  readonly reason: string;
  /** It keeps blocks: its copies are missing. */
  readonly stores: boolean;
  /** It was silent for so long that other hosts took its place: it is missed no longer. */
  readonly countedOut: boolean;
}

/** What became of a host that left its cluster. */
export interface Left {
  /** It had not been let in yet, and is as it was before it tried. */
  readonly alone: boolean;
  /** Where the cluster's key is, where it is on this host. */
  readonly keyFile?: string;
}

/** An invitation just made. `text` is the secret. */
export interface TokenInfo {
  readonly id: string;
  readonly text: string;
  readonly rights: readonly string[];
  readonly expiresAt: string;
  readonly uses: number;
}

/** An invitation as all hosts together know it. Nothing secret. */
export interface TokenState {
  readonly id: string;
  readonly rights: readonly string[];
  readonly expiresAt: string;
  readonly uses: number;
  /** Who joined with it. */
  readonly hosts: readonly string[];
  readonly state: 'open' | 'used up' | 'expired' | 'revoked';
}

const order: readonly HealthState[] = ['HEALTHY', 'DEGRADED', 'READ-ONLY', 'UNAVAILABLE'];

/** The worst of several findings, with all their reasons, the worst first: they are what its word is for. */
export function worst(findings: readonly Health[]): Health {
  const state = findings.reduce<HealthState>((bad, { state }) => (order.indexOf(state) > order.indexOf(bad) ? state : bad), 'HEALTHY');
  const byState = findings.toSorted((one, other) => order.indexOf(other.state) - order.indexOf(one.state));
  return { state, reasons: byState.flatMap(({ reasons }) => reasons) };
}

/** The health of a host that is no member of its cluster: it serves nothing. */
export function healthOutside(why: string): Health {
  return { state: 'UNAVAILABLE', reasons: [`this host is no member of its cluster: ${why}`] };
}

/** Storing hosts as one of them sees them. */
export interface HostsSeen {
  /** Copies wanted of each block. */
  readonly wanted: number;
  /** Hosts that store, but for those that were counted out. */
  readonly storing: number;
  readonly up: number;
  /** Of those that store: who does not answer, and not only for a moment. */
  readonly lost: number;
}

/** Copies that a block has, and how many of them may be missing while it still has a majority. */
export function copiesOf(wanted: number, storing: number): { readonly copies: number; readonly spare: number } {
  const copies = Math.max(1, Math.min(wanted, storing));
  return { copies, spare: Math.ceil(copies / 2) - 1 };
}

/** Why blocks have no majority in reach; undefined: they have. */
export function noMajority({ wanted, storing, lost }: Omit<HostsSeen, 'up'>): Health | undefined {
  const { copies, spare } = copiesOf(wanted, storing);
  if (lost <= spare) return undefined;
  const which = storing <= wanted ? 'no block has' : `blocks with more than ${spare} of their ${copies} copies there do not have`;
  const answers = lost === 1 ? 'does not answer' : 'do not answer';
  return { state: 'UNAVAILABLE', reasons: [`${lost} of ${storing} storing hosts ${answers}: ${which} a majority of copies in reach`] };
}

/** The health that follows from a host's disk, from the hosts that store, and from what hinders the roster. */
export function healthOf(disk: HostDisk, hosts: HostsSeen, troubles: readonly string[] = []): Health {
  const findings: Health[] = troubles.length === 0 ? [] : [{ state: 'DEGRADED', reasons: troubles }];
  if (disk.state === 'read-only') findings.push({ state: 'READ-ONLY', reasons: [disk.reason ?? 'the disk takes no writes'] });
  if (disk.damaged > 0) findings.push({ state: 'DEGRADED', reasons: [`${disk.damaged} damaged records were found on this host's disk`] });
  const { wanted, up } = hosts;
  const cut = noMajority(hosts);
  if (cut !== undefined) findings.push(cut);
  else if (up < wanted) {
    findings.push({
      state: 'DEGRADED',
      reasons: [`${wanted} copies of each block are wanted and ${up === 1 ? 'there is 1 host' : `${up} hosts are up`}`],
    });
  }
  return worst(findings);
}

/** What a volume takes, in bytes and inodes; a size of 0 means no quota. */
export interface VolumeUsage {
  readonly name: string;
  readonly usedBytes: number;
  readonly sizeBytes: number;
  readonly inodes: number;
  /** Files and directories that cannot be read for now, since the hosts of their records are out of reach, as far as this host, which serves the volume, met any; absent: none. */
  readonly unreadable?: number;
}

/** What a check of a volume found. */
export interface VolumeCheck {
  readonly name: string;
  /** In words, one each; empty: all fits. */
  readonly problems: readonly string[];
  readonly directories: number;
  readonly files: number;
  readonly allocatedBytes: number;
  /** Blocks on this host that nothing refers to, and their bytes; absent where the volume is not mounted here. */
  readonly unreferenced?: number;
  readonly unreferencedBytes?: number;
  /** Where `repair` was asked for of a volume that nobody has mounted: how many files and directories without a name got one in /lost+found. */
  readonly gathered?: number;
}
